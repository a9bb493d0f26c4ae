"""Starting and ending Python sooner: torch and Lightning make half a million objects that stay."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_kept = False  # whether this process keeps anything out of the search yet; to count it takes long


@contextmanager
def nothing_is_garbage() -> Iterator[None]:
    """For imports at the start of a program: Python does not look for garbage within, nor ever
    again at what is there afterwards.

    To import the packages of a training takes 2.8 s in place of 4.2 s so (two cores). Only the
    first time something is kept so: what is there later, such as a trained network, would never be
    freed if it refers to itself.
    """
    global _kept
    usual = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not _kept:
            gc.freeze()
            _kept = True
            atexit.register(gc.unfreeze)  # else libraries complain at the end of what is not freed
        if usual:
            gc.enable()


def end_with_status_of(command: Callable[[], int]) -> None:
    """Call a program's `command` and end Python with the status it returns, at once after what is
    registered with atexit: to take all objects apart would take another second.

    To be called before anything is registered. An exception that `command` raises ends Python the
    usual way.
    """
    status: list[int] = []
    atexit.register(_leave, status)
    try:
        status.append(command())
    except SystemExit as stop:  # of argparse
        if isinstance(stop.code, int):
            status.append(stop.code)
        raise
    sys.exit(status[0])


def _leave(status: list[int]) -> None:
    if not status:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads, or it is closed: Python knows what to do then
        return
    os._exit(status[0])
