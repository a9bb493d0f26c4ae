"""TODO: docstring."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.multiprocessing.spawn import ProcessException

from helpers.common.errors import UserError
from helpers.training.distributed import rank_and_world

ENDED = ("another process of this training has ended (it says why, if it could): run again with "
         "resume")
FULL = re.compile("not enough memory|DefaultCPUAllocator")
# what cuBLAS, cuDNN and the driver say
GPU_FULL = re.compile("ALLOC_FAILED|CUDA error: out of memory")
LOST = re.compile(r"closed by peer|reset by peer|Broken pipe|remote process exited|NCCL error",
                  re.IGNORECASE)


def unwritable(folder: Path, error: OSError) -> UserError:
    """What to say where a run cannot be written."""
    return UserError(
        f"cannot write in {folder} ({error.strerror}): choose another folder for the runs, with "
        "--out or "
        "RUN_DIR")


def full(what: str, kept: str) -> UserError:
    """What to say where memory has run out; `kept` is what there is to go on from."""
    return UserError(f"the {what} is full: use a smaller batch or image size{kept}")


def let_go(error: BaseException) -> None:
    """Free what the frames of an error hold: a notebook keeps its last error, and a second try
    would find no room."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextmanager
def one_line_errors(folder: Path | None) -> Iterator[None]:
    """Turns what a person can mend (memory, disk, a lost folder) into one line; the rest passes as
    it is."""
    def kept() -> str:
        saved = folder is not None and any(folder.glob("[!.]*.ckpt"))
        return f"; the last checkpoint in {folder} is good" if saved else ""

    try:
        yield
    except ProcessException as error:  # of a process that was forked from a notebook
        said = re.search(r"UserError: (.*)", str(error))
        raise UserError(said[1] if said else
                        f"{ENDED}{kept()} ({str(error).strip().splitlines()[-1]})") from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        let_go(error)
        raise full("GPU's memory" if isinstance(error, torch.OutOfMemoryError) else "memory",
                   kept()) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"the disk is full: free some space and run again with resume{kept()}") from error
        if folder is not None and error.filename and Path(os.fsdecode(
                error.filename)).is_relative_to(folder):
            raise unwritable(folder, error) from error
        raise
    except RuntimeError as error:
        if FULL.search(str(error)) or GPU_FULL.search(str(error)):
            let_go(error)
            raise full("GPU's memory" if GPU_FULL.search(str(error)) else "memory",
                       kept()) from error
        if "No space left" in str(error) or "PytorchStreamWriter" in str(
                error) or "iostream error" in str(error):
            raise UserError(
                f"the disk is full: free some space and run again with resume{kept()}") from error
        if rank_and_world()[1] > 1 and LOST.search(str(error)):
            raise UserError(f"{ENDED}{kept()}") from error
        raise


def no_number(what: str, step: int) -> UserError:
    """What to say where a loss or weights stopped being numbers."""
    return UserError(
        f"{what} at step {step}: try a smaller learning rate; any checkpoint before it is good")
