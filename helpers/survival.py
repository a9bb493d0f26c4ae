"""Keeping a training alive: checkpoints that are always whole, and errors that say what to do."""

from __future__ import annotations

import errno
import os
import re
import time
import traceback
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.multiprocessing.spawn import ProcessException

from helpers.checkpoints.saving import misfits
from helpers.distributed import from_first, rank_and_world
from helpers.errors import UserError
from helpers.files import atomic_path
from helpers.training import no_number

ENDED = "another process of this training has ended (it says why, if it could): run again with resume"
NEEDED = {"state_dict", "optimizer_states", "global_step", "callbacks", "loops"}
SELDOM = 1.0  # minutes between two checkpoints at the ends of epochs
ASK_EVERY = 16  # steps between two looks at the first process's clock, where several must save together
FULL = re.compile("not enough memory|DefaultCPUAllocator")
GPU_FULL = re.compile("ALLOC_FAILED|CUDA error: out of memory")  # what cuBLAS, cuDNN and the driver say
LOST = re.compile(r"closed by peer|reset by peer|Broken pipe|remote process exited|NCCL error", re.IGNORECASE)


class Saver(Callback):
    """Saves everything that a training needs to go on: every few minutes, after epochs, and at the end.

    `last.ckpt` is replaced in one step after it is written whole, and the one before it is kept as
    `previous.ckpt`: whatever moment the machine vanishes, one of them can be read.

    Args:
        folder: where to; on Colab a folder of the mounted Drive outlives the machine.
        minutes: between two checkpoints.
        epoch: steps of an epoch. Its end is saved as well, but not twice within a minute. None: by time alone.
    """

    def __init__(self, folder: Path, minutes: float = 5.0, epoch: float | None = None) -> None:
        self.folder, self.minutes, self.epoch = Path(folder), minutes, epoch
        self.saved_at = time.monotonic()

    @property
    def last(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def previous(self) -> Path:
        return self.folder / "previous.ckpt"

    def make_folder(self) -> None:
        """Make the folder, so that one that cannot be written in is noticed before the training.

        Raises:
            UserError: it cannot be made, or not be written in.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            for half in self.folder.glob(f".{self.last.stem}.*{self.last.suffix}"):  # of a process killed as it wrote
                half.unlink()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        epoch_ends = self.epoch is not None and step % self.epoch < 1
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
            UserError: a weight is no number; the last checkpoint stays as it is.
        """
        if not all(parameter.isfinite().all() for parameter in trainer.lightning_module.parameters()):
            raise no_number("the weights are no numbers any more", trainer.global_step)
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
        """The newest checkpoint that is whole (and of such a `module`), None where there is none at all.

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
            raise UserError(f"{'; '.join(bad)}: delete the folder {self.folder} or start without resume")
        return None


def damage(path: Path, module: pl.LightningModule | None = None) -> str | None:
    """What is wrong with a training checkpoint (for `module`), None if it is whole. Executes nothing from the file."""
    try:
        if not zipfile.is_zipfile(path) or zipfile.ZipFile(path).testzip():
            return "is truncated or damaged"
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or not content.keys() >= NEEDED:
            return "is not a checkpoint of a training (weights alone cannot be resumed)"
        wrong = misfits(module.state_dict(), content["state_dict"]) if module else ""
    except Exception as error:  # whatever a broken file provokes, the answer is the same
        return f"cannot be read ({type(error).__name__})"
    return f"is of another training ({wrong})" if wrong else None


def unwritable(folder: Path, error: OSError) -> UserError:
    """What to say where a run cannot be written."""
    return UserError(f"cannot write in {folder} ({error.strerror}): choose another folder for the runs, with --out or "
                     "RUN_DIR")


def full(what: str, kept: str) -> UserError:
    """What to say where memory has run out; `kept` is what there is to go on from."""
    return UserError(f"the {what} is full: use a smaller batch or image size{kept}")


def let_go(error: BaseException) -> None:
    """Free what the frames of an error hold: a notebook keeps its last error, and a second try would find no room."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextmanager
def one_line_errors(folder: Path | None) -> Iterator[None]:
    """Turns what a person can mend (memory, disk, a lost folder) into one line; the rest passes as it is."""
    def kept() -> str:
        saved = folder is not None and any(folder.glob("[!.]*.ckpt"))
        return f"; the last checkpoint in {folder} is good" if saved else ""

    try:
        yield
    except ProcessException as error:  # of a process that was forked from a notebook
        said = re.search(r"UserError: (.*)", str(error))
        raise UserError(said[1] if said else f"{ENDED}{kept()} ({str(error).strip().splitlines()[-1]})") from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        let_go(error)
        raise full("GPU's memory" if isinstance(error, torch.OutOfMemoryError) else "memory", kept()) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"the disk is full: free some space and run again with resume{kept()}") from error
        if folder is not None and error.filename and Path(os.fsdecode(error.filename)).is_relative_to(folder):
            raise unwritable(folder, error) from error
        raise
    except RuntimeError as error:
        if FULL.search(str(error)) or GPU_FULL.search(str(error)):
            let_go(error)
            raise full("GPU's memory" if GPU_FULL.search(str(error)) else "memory", kept()) from error
        if "No space left" in str(error) or "PytorchStreamWriter" in str(error) or "iostream error" in str(error):
            raise UserError(f"the disk is full: free some space and run again with resume{kept()}") from error
        if rank_and_world()[1] > 1 and LOST.search(str(error)):
            raise UserError(f"{ENDED}{kept()}") from error
        raise
