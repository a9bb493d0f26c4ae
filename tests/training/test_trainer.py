"""A training survives: killed at any moment it ends with the same weights."""

import gc
import os
import random
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from torch.multiprocessing import ProcessRaisedException

from helpers.common import compute
from helpers.common.compute import precision
from helpers.common.errors import UserError
from helpers.methods.byol import BYOL
from helpers.methods.dino import DINO
from helpers.methods.recipes import BYOLRecipe, DINORecipe
from helpers.models.encoder import build
from helpers.training import trainer as training
from helpers.training.checkpoints import Saver, damage
from helpers.training.errors import one_line_errors
from helpers.training.loader import BatchLoader
from helpers.training.trainer import fit
from helpers.transforms.views import DigitView

ROOT = Path(__file__).parents[2]
IMAGES = torch.randint(0, 256, (50, 1, 16, 16), dtype=torch.uint8,
                       generator=torch.Generator().manual_seed(0))


ALONE = SimpleNamespace(broadcast=lambda value: value)  # the strategy of a single process


def make(steps):
    torch.manual_seed(0)
    return BYOL(build("slim", channels=1, image_size=16, width=8), (DigitView(), DigitView()),
                BYOLRecipe(steps=steps, hidden_dim=16, projection_dim=8))


def loader(steps, **options):
    return BatchLoader(IMAGES, None, batch_size=16, steps=steps, **options)


@pytest.mark.parametrize("amx,avx512,expected", [(False, False, "32-true"),
                                                 (True, False, "bf16-mixed"),
                                                 (False, True, "bf16-mixed")])
def test_a_cpu_computes_in_bf16_only_where_the_chip_does(monkeypatch, amx, avx512, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    assert precision("cpu") == expected


@pytest.mark.parametrize("saved", [True, False])
def test_ctrl_c_stays_one_says_what_is_kept_and_the_next_is_heard(tmp_path, saved):
    class Stopped(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 2:
                signal.raise_signal(signal.SIGINT)

    said = f"the last checkpoint in {tmp_path} is good" if saved else ""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt, match=f"^{said}$"):
            fit(make(4), loader(4), folder=tmp_path, save_minutes=0 if saved else 5,
                callbacks=[Stopped()])
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_after_a_training_the_module_is_where_it_was_trained(monkeypatch):
    """Lightning moves it to the CPU, where a GPU's user would wait for every evaluation."""
    module, moved = make(2), []
    monkeypatch.setattr(training.pl, "Trainer", lambda **_: SimpleNamespace(
        fit=lambda module, *_, **__: module.cpu(), strategy=SimpleNamespace()))
    monkeypatch.setattr(module, "cpu", lambda: moved.append("cpu"))
    monkeypatch.setattr(module, "to", lambda *where, **_: moved.extend(where))
    fit(module, loader(2, device="mps"))
    assert moved == ["cpu", "mps"]


def test_a_module_that_is_kept_keeps_no_optimizer():
    seen = []

    class Watch(Callback):
        def on_train_end(self, trainer, module):
            seen.append(weakref.ref(trainer.optimizers[0]))

    module = make(2)
    fit(module, loader(2), callbacks=[Watch()])
    gc.collect()
    assert module.trainer is not None and seen[0]() is None


def test_an_error_of_memory_that_is_kept_holds_nothing_of_what_filled_it():
    seen = []

    def fill():
        large = torch.zeros(1000)
        seen.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match="GPU's memory is full") as caught, one_line_errors(None):
        fill()
    assert caught.value.__cause__ is not None and seen[0]() is None


def test_fit_is_reproducible():
    first, second = make(5), make(5)
    assert fit(first, loader(5)).losses == fit(second, loader(5)).losses


def test_a_loss_that_is_no_number_ends_in_one_line():
    module = make(5)
    with torch.no_grad():
        next(module.encoder.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="the loss became nan at step 1.*smaller learning rate"):
        fit(module, loader(5))


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    """The loss of the step that spoils the weights is a number still."""
    fit(make(3), loader(3), folder=tmp_path)

    class Spoils(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            if trainer.global_step == 2:
                next(module.encoder.parameters()).data.fill_(float("nan"))

    # at a save in between, and at the end
    for options, steps in (dict(save_minutes=0), 3), ({}, 2):
        with pytest.raises(
                UserError,
                match="a weight became NaN or infinite at step 2: .* any checkpoint before it"):
            fit(make(steps), loader(steps), folder=tmp_path, callbacks=[Spoils()], **options)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert all(value.isfinite().all()
               for value in kept["state_dict"].values()) and kept["global_step"] in (1, 3)


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
import test_trainer

for name, delays in {runs!r}.items():
    folder = Path(name)
    for delay in [*delays, None]:
        before = test_trainer.stamp(folder)
        child = os.fork()  # the packages are imported once for all
        if child == 0:
            test_trainer.train_to_the_end(folder)
            os._exit(0)
        if delay is not None:
            test_trainer.wait_for_a_save(folder, before)
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        print(name, os.waitpid(child, 0)[1])
"""
STEPS = 60


def train_to_the_end(folder):
    torch.set_num_threads(1)
    module = make(STEPS)
    # saves at every step
    history = fit(module, loader(STEPS), folder=folder, resume=True, save_minutes=1e-4)
    torch.save({"state": module.state_dict(), "losses": history.losses}, folder.with_suffix(".pt"))


def stamp(folder):
    """When the last checkpoint was written, in ns; 0 before there is one."""
    try:
        return (folder / "last.ckpt").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def wait_for_a_save(folder, before):
    deadline = time.monotonic() + 60
    while stamp(folder) in (0, before) and time.monotonic() < deadline:
        time.sleep(0.002)


def test_killed_at_random_moments_and_resumed_gives_the_same_weights_bit_for_bit(tmp_path):
    delays = [random.uniform(0, 0.15) for _ in range(5)]  # seconds after a save
    script = SCRIPT.format(paths=[str(ROOT), str(Path(__file__).parent)],
                           runs={"whole": [], "killed": delays})
    done = subprocess.run([sys.executable, "-c", script],
                          env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=tmp_path,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"killed {int(signal.SIGKILL)}\n") >= 3, done.stdout
    assert done.stdout.endswith("killed 0\n")
    whole, killed = (torch.load(tmp_path / f"{name}.pt", weights_only=True)
                     for name in ("whole", "killed"))
    assert len(whole["losses"]) == STEPS
    assert killed["losses"] == whole["losses"], delays
    for name, value in whole["state"].items():
        assert torch.equal(value, killed["state"][name]), (name, delays)
    assert sorted(path.name
                  for path in (tmp_path / "killed").iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_an_epochs_end_is_saved_but_not_twice_within_a_minute(tmp_path, monkeypatch):
    saved, saver = [], Saver(tmp_path, minutes=5, epoch=2.5)
    monkeypatch.setattr(saver, "save", lambda trainer: saved.append(trainer.global_step))
    saver.wait = saver.minutes  # not the first one
    trainer = SimpleNamespace(world_size=1, strategy=ALONE)
    for trainer.global_step in range(1, 9):
        saver.saved_at = time.monotonic() - (90 if trainer.global_step != 5 else 30)
        saver.on_train_batch_end(trainer, None)
    assert saved == [3, 8]  # epochs end within steps 3, 5 and 8
    saver.saved_at -= 400
    trainer.global_step = 9
    saver.on_train_batch_end(trainer, None)
    assert saved == [3, 8, 9]


def test_a_checkpoint_of_every_second_epoch_stays_and_can_be_gone_on_from(tmp_path):
    module, steps = make(STEPS), loader(STEPS)
    losses = fit(module, steps, folder=tmp_path, save_every=2).losses
    epochs = int(STEPS // steps.steps_per_epoch)
    kept = sorted(tmp_path.glob("epoch-*.ckpt"))
    assert [path.name for path in kept] == [f"epoch-{n:04}.ckpt" for n in range(2, epochs + 1, 2)]
    for path in (tmp_path / "last.ckpt", tmp_path / "previous.ckpt"):
        path.unlink()
    kept[0].rename(tmp_path / "last.ckpt")
    again = make(STEPS)
    assert fit(again, loader(STEPS), folder=tmp_path, resume=True).losses == losses
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(),
                                                 strict=True))


def test_the_first_checkpoint_comes_after_a_minute_and_the_next_after_five(tmp_path, monkeypatch):
    saved, saver = [], Saver(tmp_path)
    trainer = SimpleNamespace(world_size=1, strategy=ALONE, is_global_zero=False,
                              lightning_module=make(1),
                              save_checkpoint=lambda path: saved.append(trainer.global_step))
    for step, seconds in enumerate((50, 61, 61, 299, 301), start=1):
        trainer.global_step = step
        saver.saved_at = time.monotonic() - seconds
        saver.on_train_batch_end(trainer, None)
    assert saved == [2, 5]


def test_a_gpus_training_lets_cudnn_choose_and_a_cpus_leaves_it_as_it_was(monkeypatch):
    asked = {}
    monkeypatch.setattr(training, "_precision", lambda *_: "32-true")
    monkeypatch.setattr(training.pl, "Trainer", lambda **options: asked.update(options) or
                        SimpleNamespace(fit=lambda *_, **__: None, strategy=SimpleNamespace()))
    for device, expected in (("cuda", True), ("cpu", None)):
        module = make(2)
        monkeypatch.setattr(module, "to", lambda *_, **__: None)
        fit(module, loader(2, device=device))
        assert asked["benchmark"] is expected


def test_a_finished_training_is_read_back(tmp_path):
    first, again = make(6), make(6)
    losses = fit(first, loader(6), folder=tmp_path).losses
    assert fit(again, loader(6), folder=tmp_path, resume=True).losses == losses
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_a_truncated_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path, capsys):
    fit(make(4), loader(4), folder=tmp_path)
    fit(make(4), loader(4), folder=tmp_path)
    last = tmp_path / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    assert Saver(tmp_path).newest() == tmp_path / "previous.ckpt"
    assert "last.ckpt is damaged or cut off" in capsys.readouterr().out


def test_foreign_checkpoints_are_refused_by_name(tmp_path):
    torch.save({"net": {}}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="last.ckpt is not a checkpoint of a training"):
        Saver(tmp_path).newest()


def test_a_checkpoint_of_another_model_is_named_and_the_one_before_it_is_used(tmp_path, capsys):
    fit(make(4), loader(4), folder=tmp_path)
    (tmp_path / "last.ckpt").rename(tmp_path / "previous.ckpt")
    other = DINO(build("slim", channels=1, image_size=16, width=8), None,
                 DINORecipe(steps=4, hidden_dim=16, bottleneck_dim=8, output_dim=32))
    foreign = torch.load(tmp_path / "previous.ckpt",
                         weights_only=True) | {"state_dict": other.state_dict()}
    torch.save(foreign, tmp_path / "last.ckpt")
    assert len(fit(make(4), loader(4), folder=tmp_path, resume=True).losses) == 4
    assert "last.ckpt is of another training (it lacks " in capsys.readouterr().out
    torch.save(foreign, tmp_path / "last.ckpt")
    torch.save(foreign, tmp_path / "previous.ckpt")
    with pytest.raises(
            UserError,
            match="last.ckpt is of another .*previous.ckpt is of another .*: delete the folder"):
        fit(make(4), loader(4), folder=tmp_path, resume=True)


@pytest.mark.parametrize("what", ["optimizer_states", "callbacks"])
def test_a_checkpoint_whose_states_were_emptied_is_not_gone_on_from(what, tmp_path):
    fit(make(4), loader(4), folder=tmp_path)
    last = tmp_path / "last.ckpt"
    whole = torch.load(last, weights_only=True)
    halves = {key: {} for key in whole[what]} if what == "callbacks" else [
        {**state, "state": {}} for state in whole[what]]
    for emptied in (type(whole[what])(), halves):
        torch.save(whole | {what: emptied}, last)
        (tmp_path / "previous.ckpt").unlink(missing_ok=True)
        with pytest.raises(UserError, match="last.ckpt has lost the state of .*delete the folder"):
            fit(make(4), loader(4), folder=tmp_path, resume=True)


def test_a_checkpoint_that_asks_for_gigabytes_is_not_gone_on_from(tmp_path):
    fit(make(4), loader(4), folder=tmp_path)
    whole = torch.load(tmp_path / "last.ckpt", weights_only=True)
    torch.save(whole | {"extra": bytearray(10)}, tmp_path / "last.ckpt")
    assert "holds more than tensors (builtins.bytearray)" in damage(tmp_path / "last.ckpt")


def test_a_checkpoint_of_other_sizes_is_of_another_training(tmp_path):
    fit(make(4), loader(4), folder=tmp_path)
    wide = BYOL(build("slim", channels=1, image_size=16, width=8), (DigitView(), DigitView()),
                BYOLRecipe(steps=4, hidden_dim=32, projection_dim=8))
    assert "is of another training" in damage(tmp_path / "last.ckpt", wide)
    assert damage(tmp_path / "last.ckpt", make(4)) is None


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UserError,
                       match="cannot write in .*runs/byol .*choose another folder") as caught:
        fit(make(4), loader(4), folder=tmp_path / "runs" / "byol")
    assert "\n" not in str(caught.value)


def test_a_folder_without_permission_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as for anybody but root
    with pytest.raises(UserError, match=f"cannot write in {tmp_path} \\(Permission denied\\)"):
        fit(make(4), loader(4), folder=tmp_path)


def test_a_folder_that_is_lost_on_the_way_is_one_line_and_other_files_are_not_meant(tmp_path):
    with pytest.raises(UserError, match="cannot write in"), one_line_errors(tmp_path):
        raise OSError(5, "Input/output error", str(tmp_path / "last.ckpt"))
    with pytest.raises(FileNotFoundError), one_line_errors(tmp_path / "byol"):
        raise FileNotFoundError(2, "No such file", str(tmp_path / "images.bin"))


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "boom"),)

    torch.save({"state_dict": Bomb()}, tmp_path / "last.ckpt")
    assert "holds more than tensors (posix.mkdir)" in damage(tmp_path / "last.ckpt")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    "error,word",
    [(OSError(28, "No space left on device"), "disk is full"), (MemoryError(), "memory is full"),
     (torch.OutOfMemoryError("CUDA out of memory"), "GPU's memory is full"),
     (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "GPU's memory is full"),
     (RuntimeError("CUDA error: out of memory"), "GPU's memory is full")])
def test_a_full_machine_ends_in_one_line(tmp_path, error, word):
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(UserError, match=word) as caught, one_line_errors(tmp_path):
        raise error
    assert "\n" not in str(caught.value) and "; the last checkpoint in" in str(caught.value)
    (tmp_path / "last.ckpt").unlink()
    with pytest.raises(UserError) as caught, one_line_errors(tmp_path):
        raise error
    assert "is good" not in str(caught.value)


@pytest.mark.parametrize(
    "text,line",
    [("-- Process 1 terminated:\nTraceback\n  File\nhelpers.errors.UserError: the loss became nan",
      "the loss became nan"),
     ("-- Process 0 terminated\nTraceback\nKeyError: 3",
      r"another process .* resume \(KeyError: 3\)")])
def test_what_a_notebooks_processes_complain_of_is_one_line(text, line):
    with pytest.raises(UserError, match=line), one_line_errors(None):
        raise ProcessRaisedException(text, 0, 17)


def test_a_kernel_that_will_fork_lets_another_process_look_at_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: pytest.fail("touched the GPU"))
    for said in ("True", "False"):
        monkeypatch.setattr(compute, "GPU_QUESTION", f"print({said})")
        assert precision("cuda", forks=True) == ("bf16-mixed" if said == "True" else "16-mixed")


def test_a_lost_process_is_one_line_among_several_only(monkeypatch):
    lost = RuntimeError(
        "[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1234")
    with pytest.raises(RuntimeError), one_line_errors(None):
        raise lost
    monkeypatch.setattr("helpers.training.errors.rank_and_world", lambda: (0, 2))
    with pytest.raises(UserError,
                       match="another process .* has ended .*with resume"), one_line_errors(None):
        raise lost


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


@pytest.mark.parametrize(("asked", "word"), [("32", "32-true"), ("bf16", "bf16-mixed"),
                                             ("fp16", "16-mixed"), ("16-mixed", "16-mixed")])
def test_a_precision_that_is_asked_for_is_lightnings(asked, word):
    assert training._precision(loader(1), asked, False) == word
    assert training._precision(loader(1), "auto", False) == training._precision(loader(1), None,
                                                                                False)
