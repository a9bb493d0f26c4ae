"""Damaged, mislabelled and malicious files: refused in one line, never run, nothing left behind.

Three thousand damaged files in all, each in bounded time and memory; ten thousand with
FEWLABELS_FUZZ=1000, which is how many are tried of each kind and each sort of damage.
"""

import gzip
import io
import os
import pickle
import random
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from foreign_weights import as_vit, dino, randomised, small_vit
from limits import little_is_used
from safetensors.torch import save

from helpers.common.errors import UserError
from helpers.models.encoder import build
from helpers.models.weights.checkpoint import load_encoder, save_encoder
from helpers.models.weights.convert import read_weights
from helpers.models.weights.safe_read import LEGACY_MAGIC, read_tensors

ROUNDS = int(os.environ.get("FEWLABELS_FUZZ", "300"))


def torch_file(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def own_file(folder):
    path = save_encoder(randomised(build("slim", channels=1, image_size=8, width=2)),
                        folder / "whole.safetensors")
    return path.read_bytes()


def vit_weights():
    return as_vit(
        "timm", randomised(small_vit(depth=1, patch_size=2, image_size=4, channels=1, mlp_ratio=1)))


WHOLE = {  # kind -> (suffix, how a whole file of it is made)
    "ours": (".safetensors", own_file),
    "safetensors": (".safetensors",
                    lambda folder: save({k: v.contiguous() for k, v in vit_weights().items()})),
    "torch zip": (".pth", lambda folder: torch_file(dino(vit_weights()))),
    "torch before 1.6": (".pth", lambda folder: torch_file(vit_weights(),
                                                           _use_new_zipfile_serialization=False)),
}


def read(path):
    """Tensors by name, read the way a person's file is; the other way for our own."""
    return read_weights(path, channels=1)[0].state_dict()


def refusal(path):
    """The one line that refuses a file, or None when it was read."""
    try:
        with little_is_used(path.stat().st_size):
            read(path)
    except UserError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return str(error)
    return None


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_truncated_file_is_refused_wherever_it_ends(kind, tmp_path):
    suffix, make = WHOLE[kind]
    data, dice = make(tmp_path), random.Random(1)
    path = tmp_path / f"cut{suffix}"
    before = sorted(tmp_path.iterdir())
    for length in [
            0, 1, 7, 8, 9,
            len(data) - 1, *(dice.randrange(len(data)) for _ in range(ROUNDS))
    ]:
        path.write_bytes(data[:length])
        assert refusal(path), f"read although only {length} of {len(data)} bytes are there"
    path.unlink()
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["ours", "torch zip"])
def test_a_flipped_bit_is_noticed_or_changes_nothing(kind, tmp_path):
    suffix, make = WHOLE[kind]
    data, dice = make(tmp_path), random.Random(2)
    path = tmp_path / f"flipped{suffix}"
    path.write_bytes(data)
    whole = read(path)
    for _ in range(ROUNDS):
        damaged = bytearray(data)
        for _ in range(dice.choice([1, 1, 2, 8])):
            damaged[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        assert refusal(path) or same(read(path), whole)


@pytest.mark.parametrize("kind", ["safetensors", "torch before 1.6"])
def test_a_flipped_bit_in_a_format_without_checksums_never_ends_in_a_crash(kind, tmp_path):
    suffix, make = WHOLE[kind]
    data, dice = make(tmp_path), random.Random(3)
    path = tmp_path / f"flipped{suffix}"
    refused = 0
    for _ in range(ROUNDS):
        damaged = bytearray(data)
        # the header, where structure is, more often than the numbers
        for _ in range(dice.choice([1, 2, 8])):
            end = min(len(data), 3000) if dice.random() < 0.7 else len(data)
            damaged[dice.randrange(end)] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        refused += refusal(path) is not None
    assert refused > ROUNDS // 20


@pytest.mark.parametrize("kind", WHOLE)
def test_bytes_replaced_by_noise_never_end_in_a_crash(kind, tmp_path):
    suffix, make = WHOLE[kind]
    data, dice = make(tmp_path), random.Random(4)
    path = tmp_path / f"noise{suffix}"
    for _ in range(ROUNDS // 2):
        begin, length = dice.randrange(len(data)), dice.randrange(1, 200)
        path.write_bytes(data[:begin] + dice.randbytes(length) + data[begin + length:])
        refusal(path)


def zipped(name, content, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def tarred(content):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("storages")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def numpy_file():
    file = io.BytesIO()
    np.savez(file, a=np.ones(3))
    return file.getvalue()


def unknown_header(header):
    text = header.encode()
    return struct.pack("<Q", len(text)) + text


MISLABELLED = {
    "empty": b"",
    "a page": b"<!DOCTYPE html><html>Quota exceeded</html>",
    "a page after blanks": b"\r\n\n  <html>",
    "text": b"Not found",
    "JSON": b'{"a": 1}',
    "gzip": gzip.compress(b"weights"),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a tar": tarred(b"x" * 100),
    "numpy": numpy_file(),
    "a zip of text": zipped("readme.txt", "hello"),
    "a zip with a page": zipped("archive/data.pkl", "<html>"),
    "a bare pickle": pickle.dumps({"weight": [1, 2]}),
    "an old pickle": pickle.dumps({"weight": [1, 2]}, protocol=0),
    "only the magic number": LEGACY_MAGIC,
    "a list of numbers": torch_file([1, 2, 3]),
    "a string": torch_file("weights"),
    "one tensor": torch_file(torch.ones(3)),
    "other weights": torch_file({"net.weight": torch.ones(3)}),
    "a header that is no JSON": unknown_header("{not json}"),
    "a header longer than the file": struct.pack("<Q", 1 << 40) + b"{}",
    "no tensors": unknown_header("{}"),
    "offsets outside": unknown_header('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
    "a huge shape": unknown_header(
        '{"a":{"dtype":"F32","shape":[1000000,1000000,1000000],"data_offsets":[0,4]}}'),
    "an unknown type": unknown_header('{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}')
    + bytes(4),
    "deep JSON": unknown_header('{"a":' + "[" * 50_000 + "]" * 50_000 + "}"),
    "a sparse tensor": torch_file({"weight": torch.eye(3).to_sparse()}),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".ckpt", ""])
@pytest.mark.parametrize("what", MISLABELLED)
def test_a_file_that_is_something_else_is_refused_whatever_its_name(what, suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(MISLABELLED[what])
    assert refusal(path)
    assert list(tmp_path.iterdir()) == [path]


class Runs:
    """An object that would run `what` on being unpickled."""

    def __init__(self, what, *args):
        self.call = what, args

    def __reduce__(self):
        return self.call


def bombs(canary):
    """Objects whose unpickling makes the file `canary`, each by another door."""
    code = f"open({canary!r}, 'w').close()"
    return {
        "os.system": Runs(os.system, f"touch {canary}"),
        "eval": Runs(eval, code),
        "exec": Runs(exec, code),
        "open": Runs(open, canary, "w"),
        "getattr": Runs(getattr, Runs(__import__, "os"), "system"),
        "import": Runs(__import__, "antigravity"),
        "torch.load": Runs(torch.load, canary),
        "numpy": Runs(np.fromfile, canary),
    }


def wrappings(bomb):
    """The same bomb as files of several kinds; the weights beside it are in order."""
    nested = {"state_dict": vit_weights(), "hyper_parameters": {"hook": [bomb]}}
    inside = io.BytesIO(torch_file({"net": vit_weights()}))
    swapped = io.BytesIO()
    with zipfile.ZipFile(inside) as old, zipfile.ZipFile(swapped, "w") as new:
        for entry in old.infolist():
            data = pickle.dumps(bomb) if entry.filename.endswith("data.pkl") else old.read(entry)
            new.writestr(entry.filename, data)
    return {
        "bare": pickle.dumps(bomb),
        "bare, protocol 0": pickle.dumps(bomb, protocol=0),
        "torch zip": torch_file({"net": bomb}),
        "torch zip, hidden": torch_file(nested),
        "torch zip, swapped": swapped.getvalue(),
        "torch before 1.6": torch_file(nested, _use_new_zipfile_serialization=False),
        "after the magic number": LEGACY_MAGIC + pickle.dumps(bomb),
    }


@pytest.mark.parametrize("door", bombs("x"))
def test_a_pickle_bomb_is_refused_and_does_not_go_off(door, tmp_path):
    canary = tmp_path / "canary"
    path = tmp_path / "weights.pth"
    for kind, content in wrappings(bombs(str(canary))[door]).items():
        path.write_bytes(content)
        assert refusal(path), f"{kind} was read"
        assert list(tmp_path.iterdir()) == [path]


def test_a_bomb_would_go_off_if_it_were_unpickled(tmp_path):
    for door in ("os.system", "eval", "exec", "open"):
        pickle.loads(pickle.dumps(bombs(str(tmp_path / door))[door]))
        assert (tmp_path / door).exists()


def looped():
    table = {"weight": torch.ones(2)}
    table["again"] = table
    return table


def deep():
    value = torch.ones(1)
    for _ in range(200):
        value = [value]
    return value


GREEDY = {
    "a tensor that claims more than it holds": lambda: torch_file({
        "cls_token": torch.zeros(1).expand(10**6, 10**6), "patch_embed.proj.weight": torch.zeros(1).
        expand(10**12)
    }),
    "a compressed archive": lambda: zipped("archive/data.pkl", bytes(50 << 20), zipfile.ZIP_DEFLATED
                                           ),
    "a loop": lambda: torch_file(looped()),
    "deep nesting": lambda: torch_file(deep()),
    "a pickle of endless brackets": lambda: LEGACY_MAGIC + b"\x80\x02" + b"]" * 200_000 + b"a" *
    199_999 + b".",
    "a storage of 8 GB": lambda: torch_file(torch.ones(
        70_000), _use_new_zipfile_serialization=False).replace(
            b"J" + struct.pack("<i", 70_000), b"J" + struct.pack("<i", (1 << 31) - 1)),
    "an exported program": lambda: zipped("archive/models/model.json", "{}"),
}


@pytest.mark.parametrize("what", GREEDY)
def test_a_file_that_asks_for_too_much_is_refused_without_giving_it(what, tmp_path):
    path = tmp_path / "greedy.pth"
    path.write_bytes(GREEDY[what]())
    assert refusal(path)


def test_our_own_loader_refuses_all_of_it_too(tmp_path):
    path = tmp_path / "weights.safetensors"
    for content in [
            *MISLABELLED.values(), *(wrappings(bombs(str(tmp_path / "canary"))["eval"]).values())
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError) as error:
            load_encoder(path)
        assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


def test_an_options_table_beside_the_weights_is_read_past(tmp_path):
    path = tmp_path / "dino.pth"
    path.write_bytes(torch_file(dino(vit_weights())))
    assert "dino_loss/center" in read_tensors(path)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    assert refusal(tmp_path)
