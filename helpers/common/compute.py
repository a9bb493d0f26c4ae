"""How a training or an evaluation uses the machine: precision, CPU threads, memory."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from helpers.common.errors import UserError

# Names and numbers of glibc's malloc.h; see https://man7.org/linux/man-pages/man3/mallopt.3.html
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
NEVER, MMAP_DEFAULT, MIB = 2**31 - 1, 65536, 2**20
LEAST_RECORDED = 50  # steps of a training from which recording it pays: that takes as long as 20
SMALL = 32  # up to this side, in pixels, a second thread gains nothing worth having
MOST_THREADS = 4  # of a probe: on 16 cores one took longer than on two of another machine
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}  # and Lightning's words
_kept = False  # whether memory is kept just now
GPU_QUESTION = "import torch; print(torch.cuda.is_bf16_supported(including_emulation=False))"


@contextmanager
def memory_kept(device: str) -> Iterator[None]:
    """Inside the block, a CPU's freed tensors stay with the process.

    At its end they go back to the system. Otherwise glibc maps each large tensor anew, and the
    first touch of each of its pages enters the kernel: some ten thousand times in a step of
    ResNet18 with 64 images of 96 pixels, a tenth of the step's time, and a fifth of that of the
    slim encoder on digits. Nothing happens on a GPU, whose allocator keeps memory by itself, nor
    where the C library is not glibc, nor in such a block within another.
    """
    global _kept
    libc = _glibc() if device == "cpu" and not _kept else None
    if libc is None:
        yield
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    _kept = True
    try:
        yield
    # setting any of these ends glibc's own tuning of them, so leave what that would have arrived at
    finally:
        _kept = False
        libc.mallopt(M_MMAP_MAX, MMAP_DEFAULT)
        libc.mallopt(M_MMAP_THRESHOLD, 32 * MIB)
        libc.mallopt(M_TRIM_THRESHOLD, 64 * MIB)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        # are they there?
        library.gnu_get_libc_version, library.mallopt, library.malloc_trim  # noqa: B018
    except (AttributeError, OSError, TypeError):
        return None
    return library


@contextmanager
def threads_given_back() -> Iterator[None]:
    """At the end of the block torch has the threads it had, whatever set their number meanwhile.

    numba, which compiles UMAP, starts a thread for each core and leaves that number to every
    library that shares its OpenMP; where other processes want the cores, the many small
    operations of a network then take a hundred times as long.
    """
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for tiny operations: two would spend their time waiting for each other."""
    with threads_given_back():
        torch.set_num_threads(1)
        yield


def threads_for(images: Tensor) -> AbstractContextManager[None]:
    """One thread for small images (... x S x S) on a CPU, torch's own choice otherwise.

    A step on 16-pixel images is hundreds of tiny operations. A second thread makes it 15 % quicker
    at best, and many times slower whenever something else wants a core.
    """
    small = images.device.type == "cpu" and images.shape[-1] <= SMALL
    return one_thread() if small else nullcontext()


@contextmanager
def threads_for_probes(images: Tensor) -> Iterator[None]:
    """`threads_for` N x C x S x S images, also for the linear algebra of NumPy and scikit-learn."""
    small = images.device.type == "cpu" and images.shape[-1] <= SMALL
    with threads_for(images), numpy_threads(small):
        yield


def numpy_threads(small: bool) -> AbstractContextManager[object]:
    """One thread for NumPy and scikit-learn where the task is small, else their own choice, but for
    linear algebra at most `MOST_THREADS`.

    A logistic regression on a few thousand rows is thousands of tiny products. Two threads, which
    spin while they wait for each other, take up to fifty times as long; and the last digits of the
    result would follow the number of cores.
    """
    pools = _numpy_pools()
    if small:
        return pools.limit(limits=1)
    algebra = pools.select(user_api="blas")
    own = [pool.num_threads for pool in algebra.lib_controllers if pool.num_threads]
    return algebra.limit(limits=min([MOST_THREADS, *own]))


@functools.cache
def _numpy_pools() -> ThreadpoolController:
    """The libraries that have threads of their own; finding them takes some milliseconds."""
    import sklearn.neighbors  # noqa: F401  so that its libraries are there to be found

    return ThreadpoolController()


def precision(device: str, forks: bool = False) -> str:
    """Lightning's precision for this machine: bf16 where the chip has it, fp16 on older GPUs.

    On a CPU without AMX or AVX512-BF16 half precision is emulated and many times slower, so fp32
    stays.

    Args:
        forks: this process will be forked, and so must not touch its GPU: another one asks.
    """
    if device == "cuda":
        if forks:
            answer = subprocess.run([sys.executable, "-c", GPU_QUESTION], capture_output=True,
                                    text=True, check=False)
            bf16 = "True" in answer.stdout
        else:
            bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if bf16 else "16-mixed"
    if device == "cpu":
        checks = (getattr(torch.cpu, name, lambda: False) for name in
                  ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
        return "bf16-mixed" if any(check() for check in checks) else "32-true"
    return "32-true"


def check_precision(wanted: str, device: str) -> str:
    """`wanted`; a UserError where it is none of `PRECISIONS`, or the device lacks its arithmetic
    (a CPU can emulate bf16, many times slower)."""
    usual = precision(device, forks=True)  # a notebook may fork after it has asked
    has = [word for word, name in PRECISIONS.items()
           if word == "32" or name == usual or (word == "fp16" and device == "cuda")]
    if wanted not in has:
        why = f"this {device} has no arithmetic for it" if wanted in PRECISIONS else "unknown"
        raise UserError(f"precision {wanted!r}: {why}: choose auto, {', '.join(has)}")
    return wanted
