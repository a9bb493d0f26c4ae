"""What this machine has, what will run on it, and what is missing: `python -m helpers doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from helpers.colab import ROOT, installed, is_older, on_colab, requirements
from helpers.errors import UserError

# What the presets are made for; how long they take here depends on the machine.
DURATION = {"smoke": "a few minutes", "quick": "about ten minutes on two CPU cores",
            "full": "hours on one GPU, far too long on a CPU"}
GIB = 1024**3


def report(root: Path = ROOT) -> str:
    """The findings as text, one line each; a problem begins with "!"."""
    checks: dict[str, Callable[[], str]] = {
        "Python": python, "machine": machine, "packages": lambda: packages(root / "requirements.txt"),
        "device": device, "memory": memory, "disk": lambda: disk(root), "network": network,
        "will run": plan, "weights": lambda: weights(root)}
    return "\n".join(f"{name:<10} {_indent(_try(check))}" for name, check in checks.items())


def python() -> str:
    """The interpreter's version and place."""
    old = "! too old, 3.11 or newer is needed: " if sys.version_info < (3, 11) else ""
    place = "on Colab" if on_colab() else "in a virtual environment" if sys.prefix != sys.base_prefix else \
        "not in a virtual environment"
    return f"{old}{platform.python_version()}, {place}"


def machine() -> str:
    """The system and its CPU cores."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {usable} CPU cores usable"


def packages(path: Path) -> str:
    """Every required package with its version; those missing or too old are marked."""
    lines = []
    for name, lowest in requirements(path).items():
        version = installed(name)
        if version is None:
            lines.append(f"! {name} is missing: pip install '{name}>={lowest}'")
        elif lowest and is_older(version, lowest):
            lines.append(f"! {name} {version} is older than {lowest}")
        else:
            lines.append(f"{name} {version}")
    good = ", ".join(line for line in lines if line[0] != "!")
    return "\n".join([line for line in lines if line[0] == "!"] + [good])


def device() -> str:
    """The accelerator that torch would use."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        return ", ".join(f"{gpu.name} with {gpu.total_memory / GIB:.0f} GiB" for gpu in names)
    if torch.backends.mps.is_available():
        return "Apple GPU (mps), used when asked for with FEWLABELS_DEVICE=mps"
    return "no GPU that torch can use: the CPU"


def memory() -> str:
    """The machine's memory, in GiB; a container's own limit may be lower."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    except (AttributeError, ValueError, OSError):  # Windows
        return "unknown on this system"
    return f"{size:.0f} GiB" + (" (! 4 GiB or more are advised)" if size < 3.5 else "")


def disk(root: Path) -> str:
    """The free space where data and checkpoints go."""
    free = shutil.disk_usage(root).free / GIB
    return f"{free:.0f} GiB free" + (" (! STL-10 alone needs about 6 GiB)" if free < 8 else "")


def network() -> str:
    """Whether datasets could be downloaded."""
    from helpers.data import has_network

    return "yes" if has_network() else "none: only digits and folders of your own can be used"


def plan() -> str:
    """What `python -m helpers run` would do here."""
    from helpers.settings import Settings

    settings = Settings.resolve()
    return (f"dataset {settings.dataset} ({settings.why}), preset {settings.preset}, encoder "
            f"{settings.encoder}, on {settings.device}: {DURATION[settings.preset]}")


def weights(root: Path) -> str:
    """The encoders found, released ones and own ones."""
    folders = (root / "weights", Path(os.environ.get("FEWLABELS_RUN_DIR", root / "runs")))
    found = [path for folder in folders for path in sorted(folder.rglob("*.safetensors"))]
    lines = [f"{_short(path, root)} ({path.stat().st_size / 1e6:.1f} MB)" for path in found]
    return "\n".join(lines) or "none yet: notebooks train what they need"


def _short(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def _try(check: Callable[[], str]) -> str:
    """A doctor examines sick machines: what cannot be found out is said, not raised."""
    try:
        return check()
    except (ImportError, OSError, RuntimeError, UserError) as error:
        return f"! could not be found out: {error}"


def _indent(text: str) -> str:
    return text.replace("\n", "\n" + " " * 11)
