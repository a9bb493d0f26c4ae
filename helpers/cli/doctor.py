"""What this machine has and allows, and what will run on it: `python -m helpers doctor`.

The first cell of every notebook says the same in short. It works without the packages as well.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from helpers.common import machine
from helpers.common.environment import (
    ROOT,
    has_network,
    installed,
    is_older,
    on_colab,
    requirements,
)
from helpers.common.errors import UserError
from helpers.common.markup import wrapped
from helpers.report.times import in_words, nearest, read_times

GIB = 1024**3


class Found(NamedTuple):
    """A fact, and whether something should be done about it."""

    fact: str
    problem: bool = False


def report(root: Path = ROOT) -> str:
    """Everything that was found, a line each, and what to do next; a problem begins with "!"."""
    found = {name: examine(check) for name, check in checks(root).items()}
    lines = [wrapped(f"{'!' if each.problem else ' '} {name:<9} {each.fact}", further=" " * 12)
             for name, each in found.items()]
    problems = [name for name, each in found.items() if each.problem]
    last = ("Everything is in order: `python -m helpers run` executes all notebooks, or open one "
            "in Jupyter.")
    if problems:
        last = f'Look at the lines marked with "!" first: {", ".join(problems)}.'
    return "\n".join([*lines, "", last])


def say(options: argparse.Namespace) -> None:
    """`doctor`: print the report, or the plan of every notebook."""
    if not options.plan:
        print(report())
        return
    from helpers.cli import plan  # it needs the packages

    print(plan.report(options.device, options.details, dataset=options.dataset,
                      preset=options.preset))


def brief(root: Path = ROOT) -> str:
    """Machine, versions and plan in a few lines, for the first cell of a notebook."""
    found = {name: examine(check) for name, check in checks(root).items() if name != "packages"}
    facts = {name: each.fact for name, each in found.items()}
    return "\n".join([
        f"Machine: {facts['system']}, torch {installed('torch')}, GPU: {facts['GPU']}, "
        f"{facts['memory']} of memory, {facts['disk']}, network: {facts['network']}.",
        f'With everything on "auto": {facts["plan"]}.',
        *(f"! {name}: {each.fact}" for name, each in found.items() if each.problem)])


def checks(root: Path) -> dict[str, Callable[[], Found]]:
    """What is looked at, by name."""
    return {"system": system, "packages": lambda: packages(root / "requirements.txt"),
            "GPU": gpu, "memory": memory, "disk": lambda: disk(root), "network": network,
            "plan": lambda: plan(root)}


def examine(check: Callable[[], Found]) -> Found:
    """What a check found. What cannot be found out is said, not raised."""
    try:
        return check()
    except ImportError as error:  # the line of the packages is the problem
        return Found(f"not known without the packages ({error})")
    except (OSError, RuntimeError, UserError) as error:
        return Found(f"could not be found out: {error}", True)


def system() -> Found:
    """The operating system, its CPU cores, the interpreter and its place."""
    inside = "in" if sys.prefix != sys.base_prefix else "outside"
    place = "on Colab" if on_colab() else f"{inside} a virtual environment"
    old = sys.version_info < (3, 11)
    return Found(f"{platform.system()} with {machine.cores()} CPU cores, Python "
                 f"{platform.python_version()} {place}"
                 f"{': 3.11 or newer is needed' * old}", old)


def packages(path: Path) -> Found:
    """The required packages that are missing or too old, or all of them with their versions."""
    wanted = requirements(path)
    here = {name: installed(name) for name in wanted}
    wrong = [f"{name} is missing" for name in wanted if here[name] is None]
    wrong += [f"{name} {here[name]} is older than {wanted[name]}" for name in wanted
              if here[name] and is_older(here[name], wanted[name])]
    if wrong:
        return Found(f"{', '.join(wrong)}: python -m pip install -r {path.name}", True)
    return Found(", ".join(f"{name} {version}" for name, version in here.items()))


def gpu() -> Found:
    """The accelerator that torch would use."""
    import torch

    if machine.has_cuda():
        return Found(cards() or "one that torch can use")
    if torch.backends.mps.is_available():
        return Found("Apple's (used with FEWLABELS_DEVICE=mps)")
    if on_colab():
        return Found("none; Colab lends one: Runtime > Change runtime type > T4 GPU", True)
    return Found("none that torch can use")


def cards() -> str:
    """Name and memory of each NVIDIA GPU that may be used; "" where the driver does not tell.

    torch would tell as well, but asking it takes the GPU, after which a notebook cannot share a
    training among several.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command + (["--id", visible] if visible else []), check=True,
                              capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return "; ".join(line.strip() for line in done.stdout.splitlines() if line.strip())


def memory(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> Found:
    """The machine's memory, or a container's limit where that is lower."""
    if not hasattr(os, "sysconf"):  # Windows
        return Found("an unknown amount")
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if limit.exists() and limit.read_text().strip().isdecimal():
        size = min(size, int(limit.read_text()))
    small = size < 3.5 * GIB
    return Found(f"{size / GIB:.0f} GiB{' (4 GiB or more are advised)' * small}", small)


def disk(root: Path) -> Found:
    """The free space where data and checkpoints go."""
    free = shutil.disk_usage(root).free / GIB
    small = free < 8
    advice = " (STL-10 alone needs about 6 GiB, the digits need none)" * small
    return Found(f"{free:.0f} GiB free{advice}", small)


def network() -> Found:
    """Whether datasets and weights could be downloaded."""
    return Found("yes" if has_network() else "none (the digits and your own folders need none)")


def plan(root: Path) -> Found:
    """What will be taken and why, and how long all notebooks took on the most similar machine."""
    from helpers.settings import WHAT, Settings

    chosen = Settings.resolve()
    rows = nearest(read_times(root), chosen.device, chosen.preset, Path(chosen.dataset).name,
                   machine.cores())
    took = "how long the notebooks take was not measured for this"
    if rows:
        took = (f"all notebooks took about {in_words(sum(row.seconds for row in rows))} on "
                f"{rows[0].machine_in_words}")
    return Found(f"dataset {chosen.dataset} ({chosen.why}), preset {chosen.preset} "
                 f"({WHAT[chosen.preset]}), encoder {chosen.encoder} on {chosen.device}; {took}")
