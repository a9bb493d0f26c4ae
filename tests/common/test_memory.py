"""Freed memory stays with the process while training, and only then."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers.common import compute
from helpers.common.compute import memory_kept

resource = pytest.importorskip("resource")  # Windows has none
needs_glibc = pytest.mark.skipif(compute._glibc() is None, reason="the C library is not glibc")
ROOT = Path(__file__).parents[2]
# bytes; glibc maps what is larger than 32 MiB anew each time, whatever it learned before
LARGE = 40 * 2**20


# In a process of its own: what ran before in this one has left room in its heap, where no page is
# faulted in at all.
FAULTS = f"""
import resource, torch
from helpers.common.compute import memory_kept

def faults_of_ten_tensors():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones({LARGE // 4})
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults_of_ten_tensors())
with memory_kept("cpu"):
    faults_of_ten_tensors()  # pieces of the first few are left between small things
    faults_of_ten_tensors()
    print(faults_of_ten_tensors())
"""


@needs_glibc
def test_large_tensors_do_not_fault_their_pages_in_again() -> None:
    pages = LARGE // resource.getpagesize()
    done = subprocess.run([sys.executable, "-c", FAULTS], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    usual, kept = map(int, done.stdout.split())
    assert usual > 5 * pages and kept < pages


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@needs_glibc
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_it_goes_back_to_the_system_at_the_end_even_after_an_error() -> None:
    before = resident()
    with pytest.raises(ZeroDivisionError), memory_kept("cpu"):
        torch.ones(LARGE)
        assert resident() > before + 2 * LARGE  # freed, and still here
        raise ZeroDivisionError
    assert resident() < before + LARGE


@needs_glibc
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_block_within_another_gives_nothing_back() -> None:
    before = resident()
    with memory_kept("cpu"):
        with memory_kept("cpu"):
            torch.ones(LARGE)
        assert resident() > before + 2 * LARGE
    assert resident() < before + LARGE


def test_a_gpu_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute.ctypes, "CDLL",
                        lambda name: pytest.fail("the C library was touched"))
    with memory_kept("cuda"):
        pass


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute.ctypes, "CDLL", lambda name: object())
    with memory_kept("cpu"):
        assert torch.ones(10).sum() == 10
