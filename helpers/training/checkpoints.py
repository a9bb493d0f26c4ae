"""Checkpoints of a training, of which one is whole whenever the machine vanishes."""

from __future__ import annotations

import errno
import math
import os
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from helpers.common.errors import UserError
from helpers.common.files import atomic_path
from helpers.models.weights.checkpoint import misfits
from helpers.training.distributed import from_first
from helpers.training.errors import cannot_write_error, not_finite_error

NEEDED = {"state_dict", "optimizer_states", "global_step", "callbacks", "loops"}
SELDOM = 1.0  # minutes between two checkpoints at the ends of epochs
# steps after which several processes, which save together, ask for the first one's clock
ASK_EVERY = 16


class Saver(Callback):
    """Saves all that a training needs to go on: every few minutes, after epochs, and at the end.

    `last.ckpt` is replaced in one step after it is written whole, and the one before it is kept as
    `previous.ckpt`: whatever moment the machine vanishes, one of them can be read.

    Args:
        minutes: between two checkpoints.
        epoch: steps of an epoch, whose end is saved as well, but not twice within a minute.
    """

    def __init__(self, folder: Path, minutes: float = 5.0, epoch: float = math.inf) -> None:
        self.folder, self.minutes, self.epoch = folder, minutes, epoch
        self.last, self.previous = folder / "last.ckpt", folder / "previous.ckpt"
        self.saved_at = time.monotonic()

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
        if from_first(minutes > self.minutes or (epoch_ends and minutes > SELDOM)):
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
        self.saved_at = time.monotonic()
        if not trainer.is_global_zero:  # its random states are asked for; the first process writes
            trainer.save_checkpoint(self.last)
            return
        with atomic_path(self.last) as path:
            trainer.save_checkpoint(path)
            if self.last.exists():
                os.replace(self.last, self.previous)

    def hand_over(self, callbacks: Iterable[Callback]) -> None:
        """Give the callbacks the state they had in the processes that wrote the last checkpoint."""
        states = torch.load(self.last, map_location="cpu", weights_only=True)["callbacks"]
        for callback in callbacks:
            if callback.state_key in states:
                callback.load_state_dict(states[callback.state_key])

    def newest(self, module: pl.LightningModule | None = None) -> Path | None:
        """The newest checkpoint that is whole (and of such a `module`); None where there is none.

        Raises:
            UserError: when there are checkpoints and none can be used.
        """
        bad = []
        for path in (self.last, self.previous):
            if path.exists():
                reason = damage(path, module)
                if reason is None:
                    if bad:
                        print(f"{bad[0]}; going on from {path} instead")
                    return path
                bad.append(f"{path} {reason}")
        if bad:
            raise UserError(f"{'; '.join(bad)}: delete the folder {self.folder} or start without "
                            "resume")
        return None


def damage(path: Path, module: pl.LightningModule | None = None) -> str | None:
    """What is wrong with a checkpoint (for `module`), None if it is whole; executes nothing."""
    try:
        if not zipfile.is_zipfile(path) or zipfile.ZipFile(path).testzip():
            return "is truncated or damaged"
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or not content.keys() >= NEEDED:
            return "is not a checkpoint of a training (weights alone cannot be resumed)"
        if module:
            module.on_load_checkpoint(content)  # it may know earlier names of its weights
        wrong = misfits(module.state_dict(), content["state_dict"]) if module else ""
    except Exception as error:  # whatever a broken file provokes, the answer is the same
        return f"cannot be read ({type(error).__name__})"
    return f"is of another training ({wrong})" if wrong else None
