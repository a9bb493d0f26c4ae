"""Memory that a training step frees is kept for the next one."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# Names and numbers of glibc's malloc.h; see https://man7.org/linux/man-pages/man3/mallopt.3.html
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
NEVER, MMAP_DEFAULT, MIB = 2**31 - 1, 65536, 2**20


@contextmanager
def memory_kept(device: str) -> Iterator[None]:
    """Inside the block, a CPU's freed tensors stay with the process; at its end they go back to the system.

    Otherwise glibc maps each large tensor anew, and the first touch of each of its pages enters the kernel: some
    ten thousand times in a step of ResNet18 with 64 pictures of 96 pixels, a tenth of the step's time, and
    a fifth of a miniature's on digits. Nothing happens on a GPU, whose allocator keeps memory by itself, nor where
    the C library is not glibc.
    """
    libc = _glibc() if device == "cpu" else None
    if libc is None:
        yield
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:  # setting any of these ends glibc's own tuning of them, so leave what that would have arrived at
        libc.mallopt(M_MMAP_MAX, MMAP_DEFAULT)
        libc.mallopt(M_MMAP_THRESHOLD, 32 * MIB)
        libc.mallopt(M_TRIM_THRESHOLD, 64 * MIB)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version, library.mallopt, library.malloc_trim  # noqa: B018 - are they there?
    except (AttributeError, OSError, TypeError):
        return None
    return library
