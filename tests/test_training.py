"""The loader, and that a training survives: killed at any moment it ends with the same weights."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from helpers.encoders import build
from helpers.errors import UserError
from helpers.methods import BYOL
from helpers.survival import Saver, damage, one_line_errors
from helpers.training import BatchLoader, fit, global_rank, precision
from helpers.views import DigitView

ROOT = Path(__file__).parents[1]
IMAGES = torch.randint(0, 256, (50, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def make(steps):
    torch.manual_seed(0)
    return BYOL(build("slim", channels=1, image_size=16, width=8), (DigitView(), DigitView()), steps=steps, hidden=16,
                projection=8)


def loader(steps, **options):
    return BatchLoader(IMAGES, None, batch_size=16, steps=steps, **options)


def test_every_image_comes_once_an_epoch():
    stream = torch.cat([loader(25).indices(step) for step in range(25)])  # 400 = 8 epochs of 50
    for epoch in stream.split(50):
        assert sorted(epoch.tolist()) == list(range(50))


def test_batches_depend_on_the_seed_and_the_step_alone():
    assert torch.equal(loader(9).indices(7), loader(20).indices(7))
    assert not torch.equal(loader(9).indices(7), loader(9, seed=1).indices(7))


def test_a_set_smaller_than_a_batch_is_repeated():
    small = BatchLoader(IMAGES[:10], torch.arange(10), batch_size=64, steps=1)
    images, labels = next(iter(small))
    assert len(images) == 64
    assert set(labels.bincount().tolist()) <= {6, 7}


def test_two_processes_share_a_batch_without_overlap():
    whole = loader(1).indices(0)
    shares = [next(iter(loader(1, rank=rank, world=2)))[0] for rank in (0, 1)]
    assert [len(share) for share in shares] == [8, 8]
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), IMAGES[whole])


def test_rank_is_read_from_the_launcher(monkeypatch):
    monkeypatch.setenv("NODE_RANK", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert global_rank(4) == 9
    monkeypatch.setenv("RANK", "3")
    assert global_rank(4) == 3


@pytest.mark.parametrize("amx,avx512,expected", [(False, False, "32-true"), (True, False, "bf16-mixed"),
                                                 (False, True, "bf16-mixed")])
def test_a_cpu_computes_in_bf16_only_where_the_chip_does(monkeypatch, amx, avx512, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    assert precision("cpu") == expected


def test_fit_is_reproducible():
    first, second = make(5), make(5)
    assert fit(first, loader(5)).losses == fit(second, loader(5)).losses


def test_a_loss_that_is_no_number_ends_in_one_line():
    module = make(5)
    with torch.no_grad():
        next(module.encoder.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="the loss became nan at step 1.*smaller learning rate"):
        fit(module, loader(5))


SCRIPT = """
import sys
sys.path.insert(0, {tests!r}); sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1)
import helpers.training as training
from helpers.survival import Saver
from test_training import make, loader
saver = Saver.__init__
def every_third(self, folder, minutes): saver(self, folder, minutes, steps=3)
Saver.__init__ = every_third
module = make(40)
history = training.fit(module, loader(40), folder={folder!r}, resume=True)
torch.save(dict(state=module.state_dict(), losses=history.losses), {result!r})
"""


def run_until_done(tmp_path, name, kill_after):
    """Run the training in a process of its own, killing it after each of the given seconds; its final state."""
    result = tmp_path / f"{name}.pt"
    script = SCRIPT.format(tests=str(ROOT / "tests"), root=str(ROOT), folder=str(tmp_path / name), result=str(result))
    for files in (*kill_after, None):
        process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"},
                                   stderr=subprocess.PIPE)
        if files is not None:
            _kill_after_saves(process, tmp_path / name / "last.ckpt", files)
        _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return torch.load(result, weights_only=True)


def _kill_after_saves(process, checkpoint, saves):
    """SIGKILL at an arbitrary moment after the checkpoint has been replaced `saves` times."""
    seen, stamp = 0, None
    deadline = time.monotonic() + 120
    while process.poll() is None and seen < saves and time.monotonic() < deadline:
        now = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        if now is not None and now != stamp:
            seen, stamp = seen + 1, now
        time.sleep(0.003)
    process.send_signal(signal.SIGKILL)


def test_killed_and_resumed_gives_the_same_weights_bit_for_bit(tmp_path):
    whole = run_until_done(tmp_path, "whole", [])
    killed = run_until_done(tmp_path, "killed", [2, 3])
    assert len(whole["losses"]) == 40
    assert killed["losses"] == whole["losses"]
    for name, value in whole["state"].items():
        assert torch.equal(value, killed["state"][name]), name


def test_a_finished_training_is_read_back(tmp_path):
    first, again = make(6), make(6)
    losses = fit(first, loader(6), folder=tmp_path).losses
    assert fit(again, loader(6), folder=tmp_path, resume=True).losses == losses
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_a_truncated_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path, capsys):
    fit(make(4), loader(4), folder=tmp_path)
    fit(make(4), loader(4), folder=tmp_path)
    last = tmp_path / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    assert Saver(tmp_path).newest() == tmp_path / "previous.ckpt"
    assert "last.ckpt is truncated or damaged" in capsys.readouterr().out


def test_foreign_checkpoints_are_refused_by_name(tmp_path):
    torch.save({"net": {}}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="last.ckpt is not a checkpoint of a training"):
        Saver(tmp_path).newest()


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "boom"),)

    torch.save({"state_dict": Bomb()}, tmp_path / "last.ckpt")
    assert "cannot be read" in damage(tmp_path / "last.ckpt")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("error,word", [(OSError(28, "No space left on device"), "disk is full"),
                                        (MemoryError(), "memory is full"),
                                        (torch.OutOfMemoryError("CUDA out of memory"), "GPU's memory is full")])
def test_a_full_machine_ends_in_one_line(tmp_path, error, word):
    with pytest.raises(UserError, match=word) as caught, one_line_errors(tmp_path):
        raise error
    assert "\n" not in str(caught.value) and "is good" in str(caught.value)


def test_a_full_disk_leaves_the_last_checkpoint_good(tmp_path, monkeypatch):
    fit(make(4), loader(4), folder=tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()

    def full(self, path, *args, **options):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytorch_lightning.Trainer.save_checkpoint", full)
    with pytest.raises(UserError, match="disk is full"):
        fit(make(4), loader(4), folder=tmp_path)
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt"]
