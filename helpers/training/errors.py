"""What goes wrong in a training and can be mended (memory, disk, rates), said in one line."""

from __future__ import annotations

import os
import re
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.multiprocessing.spawn import ProcessException

from helpers.common.errors import UserError
from helpers.common.files import FULL
from helpers.training.distributed import rank_and_world

ENDED = ("another process of this training has ended (it says why, if it could): run again with "
         "resume")
MEMORY_FULL = re.compile("not enough memory|DefaultCPUAllocator")
# what cuBLAS, cuDNN and the driver say
GPU_FULL = re.compile("ALLOC_FAILED|CUDA error: out of memory")
DISK_FULL = re.compile("No space left|PytorchStreamWriter|iostream error")
LOST = re.compile(r"closed by peer|reset by peer|Broken pipe|remote process exited|NCCL error",
                  re.IGNORECASE)


def in_a_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0] if said else 'it says no more'}"


def not_finite_error(what: str, step: int) -> UserError:
    """For losses, features or weights that became NaN or infinite: `what` says which."""
    return UserError(f"{what} at step {step}: try a smaller learning rate; any checkpoint before "
                     "it is good")


def cannot_write_error(folder: Path, error: OSError) -> UserError:
    """For a folder in which a run cannot be written."""
    return UserError(f"cannot write in {folder} ({error.strerror}): choose another folder for the "
                     "runs, with --out or RUN_DIR")


@contextmanager
def one_line_errors(folder: Path | None) -> Iterator[None]:
    """Turns what a person can mend (memory, disk, a lost folder) into a UserError; the line says
    whether there is a good checkpoint in the run's `folder`. Ctrl-C says that too, and stays a
    KeyboardInterrupt; Lightning makes a silent exit of it, and is deaf to the next one. The rest
    passes as it is."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
        raise KeyboardInterrupt(_kept(folder)) from None
    except Exception as error:
        line = explain(error, folder)
        if line is None:
            raise
        if _full_memory(error):
            free_frames(error)
        raise UserError(line) from error


def explain(error: Exception, folder: Path | None) -> str | None:
    """What to say of an error of a training in `folder`; None where nobody can mend it."""
    good = _kept(folder)
    kept = f"; {good}" if good else ""
    match error:
        case ProcessException():  # of a process that was forked from a notebook
            said = re.search(r"UserError: (.*)", str(error))
            return said[1] if said else f"{ENDED}{kept} ({str(error).strip().splitlines()[-1]})"
        case MemoryError() | RuntimeError() if memory := _full_memory(error):
            return f"the {memory} is full: use a smaller batch or image size{kept}"
        case OSError() | RuntimeError() if _is_disk_full(error):
            return f"the disk is full: free some space and run again with resume{kept}"
        case OSError() if folder is not None and _is_inside(error, folder):
            return str(cannot_write_error(folder, error))
        case RuntimeError() if rank_and_world()[1] > 1 and LOST.search(str(error)):
            return f"{ENDED}{kept}"
    return None


def _kept(folder: Path | None) -> str:
    """That there is a good checkpoint in a run's folder; nothing where there is none."""
    saved = folder is not None and any(folder.glob("[!.]*.ckpt"))
    return f"the last checkpoint in {folder} is good" if saved else ""


def _full_memory(error: Exception) -> str | None:
    """Which memory is full: the GPU's, the machine's or none (None)."""
    if isinstance(error, torch.OutOfMemoryError) or GPU_FULL.search(str(error)):
        return "GPU's memory"
    if isinstance(error, MemoryError) or MEMORY_FULL.search(str(error)):
        return "memory"
    return None


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in FULL
    return bool(DISK_FULL.search(str(error)))


def _is_inside(error: OSError, folder: Path) -> bool:
    return bool(error.filename) and Path(os.fsdecode(error.filename)).is_relative_to(folder)


def free_frames(error: BaseException) -> None:
    """Free what an error's frames hold: a notebook keeps it, and a second try finds no room."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
