"""What a file may cost a process that reads it."""

import contextlib
import time
from pathlib import Path

import pytest

MOST_MB, MOST_SECONDS = 250, 10  # beside twice the file; of a slow machine's processors


@contextlib.contextmanager
def little_is_used(size):
    """The block takes at most twice `size` and MOST_MB, and ends soon."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("peak memory is measured on Linux")
    before = _memory(status, "VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    began = time.process_time()
    yield
    assert time.process_time() - began < MOST_SECONDS
    assert _memory(status, "VmHWM") - before < MOST_MB + 2 * size / 1e6


def _memory(status, name):
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1000
