"""Checkpoints of a training, of which one is whole whenever the machine vanishes."""

from __future__ import annotations

import errno
import math
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from helpers.common.errors import UserError
from helpers.common.files import atomic_path
from helpers.models.weights.checkpoint import misfits
from helpers.models.weights.safe_read import load_pickled
from helpers.training.errors import cannot_write_error, not_finite_error

NEEDED = {"state_dict", "optimizer_states", "global_step", "callbacks", "loops"}
SELDOM = 1.0  # minutes between two checkpoints at the ends of epochs
# steps after which several processes, which save together, ask for the first one's clock
ASK_EVERY = 16


class Saver(Callback):
    """Saves all that a training needs to go on: after a minute, every few, after epochs, and at
    the end.

    `last.ckpt` is replaced in one step after it is written whole, and the one before it is kept as
    `previous.ckpt`: whatever moment the machine vanishes, one of them can be read.

    Args:
        minutes: between two checkpoints; the first one comes after `SELDOM`.
        epoch: steps of an epoch, whose end is saved as well, but not twice within a minute.
        keep: epochs after each of which a checkpoint stays, as `epoch-0020.ckpt`; 0: none does.
    """

    def __init__(self, folder: Path, minutes: float = 5.0, epoch: float = math.inf,
                 keep: int = 0) -> None:
        self.folder, self.minutes, self.epoch, self.keep = folder, minutes, epoch, keep
        self.last, self.previous = folder / "last.ckpt", folder / "previous.ckpt"
        self.saved_at, self.wait = time.monotonic(), min(minutes, SELDOM)

    def make_folder(self) -> None:
        """Make the folder; a UserError before the training where it cannot be written in."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise cannot_write_error(self.folder, error) from error

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            for half in self.folder.glob(".last.*.ckpt"):  # of a process killed as it wrote
                half.unlink()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        epoch_ends = step % self.epoch < 1
        if trainer.world_size > 1 and not epoch_ends and step % ASK_EVERY:
            return
        minutes = (time.monotonic() - self.saved_at) / 60
        epochs = int(step // self.epoch)
        if self.keep and epoch_ends and epochs and epochs % self.keep == 0:
            self.save(trainer)
            if trainer.is_global_zero:
                with atomic_path(self.folder / f"epoch-{epochs:04}.ckpt") as path:
                    shutil.copyfile(self.last, path)
        elif trainer.strategy.broadcast(minutes > self.wait or (epoch_ends and minutes > SELDOM)):
            self.save(trainer)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write a checkpoint beside the last one, then let it take its place.

        Raises:
            UserError: a weight became NaN or infinite; nothing is written.
        """
        if not all(parameter.isfinite().all()
                   for parameter in trainer.lightning_module.parameters()):
            raise not_finite_error("a weight became NaN or infinite", trainer.global_step)
        self.saved_at, self.wait = time.monotonic(), self.minutes
        if not trainer.is_global_zero:  # its random states are asked for; the first process writes
            trainer.save_checkpoint(self.last)
            return
        with atomic_path(self.last) as path:
            trainer.save_checkpoint(path)
            if self.last.exists():
                os.replace(self.last, self.previous)

    def hand_over(self, callbacks: Iterable[Callback]) -> None:
        """Give the callbacks the state they had in the processes that wrote the last checkpoint."""
        states = load_pickled(self.last)["callbacks"]
        for callback in callbacks:
            if callback.state_key in states:
                callback.load_state_dict(states[callback.state_key])

    def newest(self, module: pl.LightningModule | None = None,
               callbacks: Iterable[Callback] = ()) -> Path | None:
        """The newest checkpoint that is whole (of such a `module`, with the states of these
        `callbacks`); None where there is none.

        Raises:
            UserError: when there are checkpoints and none can be used.
        """
        bad = []
        for path in (self.last, self.previous):
            if path.exists():
                reason = damage(path, module, callbacks)
                if reason is None:
                    if bad:
                        print(f"{bad[0]}; going on from {path} instead")
                    return path
                bad.append(f"{path} {reason}")
        if bad:
            raise UserError(f"{'; '.join(bad)}: delete the folder {self.folder} or start without "
                            "resume")
        return None


def damage(path: Path, module: pl.LightningModule | None = None,
           callbacks: Iterable[Callback] = ()) -> str | None:
    """What is wrong with a checkpoint (for `module` and `callbacks`), None if it is whole.

    Executes nothing from the file.
    """
    try:
        content = load_pickled(path)
        if not isinstance(content, dict) or not content.keys() >= NEEDED:
            return "is not a checkpoint of a training (weights alone cannot be resumed)"
        lost = _emptied(content, callbacks)
        if lost:
            return f"has lost the state of {lost}, without which another encoder would come out"
        if module:
            module.on_load_checkpoint(content)  # it may know earlier names of its weights
        wrong = misfits(module.state_dict(), content["state_dict"]) if module else ""
    except UserError as error:
        return str(error).removeprefix(f"{path} ").rpartition(": ")[0]
    except Exception as error:  # whatever a broken file provokes, the answer is the same
        return f"cannot be read ({type(error).__name__})"
    return f"is of another training ({wrong})" if wrong else None


def _has_averages(optimizer: dict[str, Any]) -> bool:
    """Whether an optimizer's state is there; plain gradient descent has none."""
    groups = optimizer["param_groups"]
    plain = groups and all(group.get("momentum") == 0 for group in groups)
    return bool(plain or optimizer["state"])


def _emptied(content: dict[str, Any], callbacks: Iterable[Callback]) -> str:
    """Whose state a checkpoint should have and lacks; "" where nothing is missing."""
    if not content["global_step"]:
        return ""
    optimizers = content["optimizer_states"]
    if not optimizers or not all(map(_has_averages, optimizers)):
        return "the optimizer"
    for callback in callbacks:
        keeps = type(callback).state_dict is not Callback.state_dict
        saved = content["callbacks"].get(callback.state_key)
        if keeps and (not saved or saved.get("losses") == [] or saved.get("ranks") == []):
            return callback.state_key
    return ""
