"""What training scripts keep beside their weights is read past; nothing of it is made or run."""

import argparse
import collections
import datetime
import decimal
import enum
import os
import pathlib
import random
import sys
import types
import uuid

import numpy as np
import pytest
import torch

from helpers.common.errors import UserError
from helpers.models.weights.safe_read import read_tensors


class Options(dict):
    """As EasyDict, yacs and Lightning keep options: a dict with attributes."""


class Kind(enum.Enum):
    BICUBIC = "bicubic"


def random_tables():
    return {"numpy": np.random.get_state(), "generator": np.random.default_rng(0),
            "python": random.getstate(), "torch": torch.get_rng_state()}


def losses():
    table = collections.defaultdict(list)
    table["train"] += [0.5, np.float32(0.4)]
    table["at"] = collections.defaultdict(float, {3: 0.1})
    return table


VALUES = {
    "NumPy scalars": lambda: [np.float64(0.7), np.float32(1), np.int64(3), np.bool_(True),
                              np.str_("a")],
    "NumPy arrays": lambda: {"a": np.arange(3), "b": np.ones((2, 2), np.float16),
                             "words": np.array(["a", "b"]), "none": np.array(None)},
    "NumPy types": lambda: (np.dtype("float32"), np.float64, np.dtype([("a", "i4")])),
    "paths": lambda: [pathlib.Path("/x/y"), pathlib.PurePosixPath("a"),
                      pathlib.PureWindowsPath("C:/a")],
    "options": lambda: argparse.Namespace(out=pathlib.Path("/x"), lr=np.float64(1), inner=argparse
                                          .Namespace(a=types.SimpleNamespace(b=1))),
    "tables": losses,
    "ordered tables": lambda: collections.OrderedDict([(1, collections.Counter("aab"))]),
    "queues": lambda: [collections.deque([1, np.float32(2)], maxlen=5), collections.deque()],
    "dates": lambda: [datetime.datetime(2024, 1, 1), datetime.date(2024, 1, 1), datetime
                      .timedelta(1), datetime.datetime.now(datetime.UTC), datetime.time(1)],
    "numbers": lambda: [decimal.Decimal("0.1"), 1 << 80, 1j, True, None, range(3), slice(1)],
    "sets": lambda: [{1, 2}, {"a"}, frozenset({3}), set()],
    "torch's own": lambda: [torch.Size([2]), torch.device("cuda:0"), torch.float16,
                            torch.__version__, torch.strided],
    "types": lambda: {"of": int, "kinds": [list, dict, str, float]},
    "keys that are no words": lambda: {(1, "a"): 1, 2: 2, None: 3, np.int64(4): 4, int: 5},
    "an identity": lambda: uuid.UUID(int=5),
    "states of chance": random_tables,
}


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("what", VALUES)
def test_harmless_values_are_read_past(what, new, tmp_path):
    content = {"state_dict": {"weight": torch.arange(3.0)}, "extra": VALUES[what](),
               "list": [VALUES[what]()], "last": torch.ones(2)}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    tensors = read_tensors(tmp_path / "w.pth")
    assert torch.equal(tensors["state_dict/weight"], torch.arange(3.0))
    assert torch.equal(tensors["last"], torch.ones(2))


def test_tensors_in_tables_with_a_default_are_kept(tmp_path):
    table = collections.defaultdict(dict, {"net": {"weight": torch.ones(2)}})
    torch.save({"state": table, "queue": collections.deque([torch.zeros(1)])}, tmp_path / "w.pth")
    assert set(read_tensors(tmp_path / "w.pth")) == {"state/net/weight", "queue/0"}


@pytest.mark.parametrize("module", ["easydict", "yacs.config", "omegaconf.dictconfig"])
def test_options_of_packages_that_are_not_here_are_read_past(module, tmp_path, monkeypatch):
    name = {"easydict": "EasyDict", "yacs.config": "CfgNode"}.get(module, "DictConfig")
    base = object if name == "DictConfig" else Options
    made = type(name, (base,), {"__module__": module})
    monkeypatch.setitem(sys.modules, module.partition(".")[0], types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**{name: made}))
    options = made()
    options.lr = 1.0
    if base is Options:
        options["weights"] = {"of": torch.ones(3)}
    torch.save({"cfg": options, "net": {"weight": torch.ones(2)}}, tmp_path / "w.pth")
    monkeypatch.delitem(sys.modules, module)
    tensors = read_tensors(tmp_path / "w.pth")
    assert "net/weight" in tensors
    assert ("cfg/weights/of" in tensors) == (base is Options)


class Runs:
    def __init__(self, *what):
        self.what = what

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize("what", [
    (os.system, ("touch ran",)), (eval, ("1",)), (getattr, ("a", "upper")), (open, ("ran", "w")),
    (type, ("A", (), {})), (pathlib.Path.touch, (pathlib.Path("ran"),))])
def test_what_runs_something_is_refused_and_does_not_run(what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"net": {"weight": torch.ones(2)}, "extra": Runs(*what)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="more than tensors"):
        read_tensors(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_an_object_of_an_unknown_class_is_refused(tmp_path):
    torch.save({"net": {"weight": torch.ones(2)}, "kind": Kind.BICUBIC}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="Kind"):
        read_tensors(tmp_path / "w.pth")
