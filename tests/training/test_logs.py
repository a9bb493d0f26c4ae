"""The event file and the CSV of a training, read back."""

import csv
import shutil
from pathlib import Path

import pytest
import torch
from pytorch_lightning import loggers
from pytorch_lightning.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.data.loading import load
from helpers.methods.byol import BYOL
from helpers.methods.recipes import BYOLRecipe
from helpers.models.encoder import build
from helpers.training.checkpoints import Saver
from helpers.training.loader import BatchLoader
from helpers.training.logs import Logs
from helpers.training.monitor import Monitor
from helpers.training.trainer import fit
from helpers.transforms.views import CleanView

STEPS, EVERY = 10, 2
# a checkpoint of `run` at step 5 with a narrower encoder, written by an earlier release
EARLIER = Path(__file__).with_name("earlier_release.pt")
COLUMNS = {
    "step", "epoch", "loss", "learning_rate", "momentum", "images_per_second", "knn", "feature_std",
    "rank", "dimensions", "projection_std", "projection_rank"
}
LATER = {"projection_std", "projection_rank"}  # what an earlier release did not measure


@pytest.fixture(scope="module")
def splits():
    return load("digits")


def run(splits, folder, *callbacks, width=8):
    torch.manual_seed(0)
    module = BYOL(build("slim", channels=1, image_size=16, width=width), (CleanView(), CleanView()),
                  BYOLRecipe(steps=STEPS, hidden_dim=16, projection_dim=8))
    loader = BatchLoader(splits.unlabeled[:64], None, batch_size=16, steps=STEPS)
    monitor = Monitor(splits.train, splits.val, every=EVERY, limit=50, folder=folder / "logs")
    history = fit(module, loader, callbacks=[monitor, *callbacks], folder=folder, resume=True)
    return module, history, monitor


def table(folder):
    with open(folder / "logs" / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def events(folder):
    """The scalars of TensorBoard's files: name -> [(step, value)]."""
    reader = EventAccumulator(str(folder / "logs"))
    reader.Reload()
    return {
        name: [(event.step, event.value)
               for event in reader.Scalars(name)]
        for name in reader.Tags()["scalars"]
    }


@pytest.fixture(scope="module")
def whole(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, *run(splits, folder)


def test_every_evaluation_is_a_row_of_the_csv(whole):
    folder, module, history, monitor = whole
    rows = table(folder)
    assert set(rows[0]) == COLUMNS
    assert [int(row["step"]) for row in rows] == [0, 2, 4, 6, 8, 10]
    for row, seen in zip(rows, monitor.rows, strict=True):
        assert {name: float(row[name]) for name in seen} == pytest.approx(seen)
    assert [float(row["epoch"]) for row in rows] == [0, 0.5, 1, 1.5, 2, 2.5]
    momenta = [module.target_momentum(step) for step in range(0, 11, 2)]
    assert [float(row["momentum"]) for row in rows] == pytest.approx(momenta)
    means = [sum(history.losses[at:at + 2]) / 2 for at in range(0, 10, 2)]
    assert [float(row["loss"]) for row in rows[1:]] == pytest.approx(means, rel=1e-5)
    assert all(float(row["images_per_second"]) > 0 for row in rows[1:])
    assert float(rows[-1]["learning_rate"]) == pytest.approx(0, abs=1e-9)


def test_the_event_file_holds_what_the_csv_holds(whole):
    rows, scalars = table(whole[0]), events(whole[0])
    assert set(scalars) - {"hp_metric"} == COLUMNS - {"step"}
    for name in COLUMNS - {"step"}:
        wanted = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        assert scalars[name] == [(step, pytest.approx(value, rel=1e-5)) for step, value in wanted]


class PulledPlug(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 7:
            raise RuntimeError("the plug was pulled")


def test_a_resumed_run_has_every_row_once(splits, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Saver, "on_train_batch_end", lambda self, trainer, *_: self.save(trainer)
                      if trainer.global_step == 5 else None)
        with pytest.raises(RuntimeError, match="plug"):
            run(splits, tmp_path, PulledPlug())
    # step 6 will be done again
    assert [int(row["step"]) for row in table(tmp_path)] == [0, 2, 4, 6]
    run(splits, tmp_path)
    for ours, theirs in zip(table(tmp_path), table(whole[0]), strict=True):
        ours, theirs = ({name: value for name, value in row.items() if name != "images_per_second"}
                        for row in (ours, theirs))
        assert ours == theirs
    assert [step for step, _ in events(tmp_path)["knn"]] == [0, 2, 4, 6, 8, 10]


def test_a_run_that_an_earlier_release_began_goes_on_as_if_nothing_had_changed(splits, tmp_path):
    """It called feature_std spread, and kept the rows of the logs apart from the monitor's."""
    shutil.copy(EARLIER, tmp_path / "last.ckpt")
    history = run(splits, tmp_path, width=4)[1]
    fresh = run(splits, tmp_path / "fresh", width=4)[1]
    assert history.losses == pytest.approx(fresh.losses, abs=1e-3)
    for ours, theirs in zip(table(tmp_path), table(tmp_path / "fresh"), strict=True):
        assert ours.keys() == theirs.keys() == COLUMNS
        for name in COLUMNS - LATER - {"images_per_second", "knn"}:
            assert (ours[name] == "") == (theirs[name] == "")
            assert float(ours[name] or 0) == pytest.approx(float(theirs[name] or 0), rel=0.01)


def test_without_tensorboard_there_is_the_csv(tmp_path, monkeypatch):
    for name in ("tensorboard", "tensorboardX"):
        monkeypatch.setattr(f"pytorch_lightning.loggers.tensorboard._{name.upper()}_AVAILABLE",
                            False, raising=False)
        monkeypatch.setattr(f"lightning_fabric.loggers.tensorboard._{name.upper()}_AVAILABLE",
                            False)
    kinds = [type(logger).__name__ for logger in Logs(tmp_path / "logs").loggers]
    assert kinds == ["CSVLogger"]


@pytest.mark.parametrize("broken", ["CSVLogger", "TensorBoardLogger"])
@pytest.mark.parametrize("after", [0, 3])
def test_logs_that_fail_are_said_once_and_do_not_end_the_training(broken, after, splits, tmp_path,
                                                                  monkeypatch, capsys):
    kind, calls = getattr(loggers, broken), []
    write = kind.log_metrics

    def full(self, *given, **named):
        calls.append(1)
        if len(calls) > after:
            raise OSError(28, "No space left on device")
        return write(self, *given, **named)

    monkeypatch.setattr(kind, "log_metrics", full)
    history = run(splits, tmp_path)[1]
    assert len(history.losses) == STEPS
    said = [line for line in capsys.readouterr().out.splitlines() if "logs in" in line]
    assert len(said) == 1 and "No space left on device" in said[0] and "goes on" in said[0]


def test_a_folder_for_logs_that_cannot_be_made_is_said_once(tmp_path, capsys):
    (tmp_path / "file").touch()
    logs = Logs(tmp_path / "file" / "logs")
    logs.write({"step": 0, "loss": 1.0})
    logs.close()
    assert capsys.readouterr().out.count("cannot be written") == 1
