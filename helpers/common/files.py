"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from helpers.common.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Lend a temporary sibling of `path`; it takes the final name only if the block succeeds.

    The temporary name keeps the suffix (writers such as `numpy.save` look at it) and is removed
    when the block raises, Ctrl-C included, so that no half-written file ever bears `path`.
    Missing parent folders are made.

    Raises:
        FileNotFoundError: the block ended without writing the file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, target)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write text (UTF-8, line ends as given) or bytes to `path` in one step.

    Raises:
        UserError: it cannot be written there; what was at `path` stays.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
    except OSError as problem:
        raise unwritable(path, problem) from problem


def check_writable(path: str | Path, other: str = "choose another folder") -> None:
    """Make the folder of a file that is to be written after long work, and try to write in it.

    Args:
        other: what to do where it cannot be written.

    Raises:
        UserError: it cannot be written there.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as problem:
        raise unwritable(path, problem, other=other) from None


def unwritable(path: str | Path, problem: OSError, room: str = "free some space",
               other: str = "choose another folder") -> UserError:
    """The line for a file that cannot be written, or a folder that cannot be written in; `room` and
    `other` are what to do where the disk is full and else."""
    cure = room if problem.errno in FULL else other
    return UserError(f"cannot write {path} ({problem.strerror or problem}): {cure} and run again")


@contextmanager
def one_at_a_time(folder: Path, waiting: str = "") -> Iterator[None]:
    """Lets one process at a time use `folder`; the others wait, and say so with `waiting`.

    A process that is killed lets the next one in. On Windows, and on disks that know no locks,
    nobody waits.
    """
    with ExitStack() as stack:
        with suppress(ImportError, OSError):
            import fcntl

            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(folder / ".lock", "a"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    print(waiting, file=sys.stderr, flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _flush_to_disk(path: Path) -> None:
    # Without this a power cut can leave the new name on an empty file.
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
