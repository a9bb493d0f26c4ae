"""What a measurement was made on: cores, chip, GPU."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from helpers.common.fields import number_of

# the first that a CPU has decides its speed
BF16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "avx2": "AVX2"}


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers() -> int:
    """Threads that decode images: FEWLABELS_WORKERS, else one a core.

    Raises:
        UserError: the variable is no whole number above zero.
    """
    name = "FEWLABELS_WORKERS"
    return number_of(name, os.environ.get(name) or cores(), "int", 1)


def chip(device: str = "cpu", cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The name of the GPU, or of the CPU and the best of `BF16` it has: "AMD EPYC, avx512_bf16".

    Asking for a GPU's name takes the GPU: a process that wants to fork afterwards should not.
    """
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    pairs = (line.partition(":") for line in reversed(lines))
    said = {key.strip(): value.strip() for key, _, value in pairs}
    name = said.get("model name") or platform.processor() or platform.machine()
    best = [flag for flag in BF16 if flag in said.get("flags", "").split()][:1]
    return ", ".join([name, *best])


def has_cuda() -> bool:
    """Whether torch can use an NVIDIA GPU.

    The GPU stays usable for processes that a notebook forks.
    """
    # asked in another way, torch would take it
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    import torch

    return torch.cuda.is_available()


def devices() -> list[str]:
    """What torch can compute on here: "cpu", "cuda" (an NVIDIA GPU), "mps" (an Apple GPU)."""
    import torch

    here = {"cuda": has_cuda(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, available in here.items() if available]
