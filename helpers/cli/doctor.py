"""What this machine has and allows, what will run on it and for how long: `python -m helpers
doctor`.

The first cell of every notebook says the same in short.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from helpers.cli.execute import noted
from helpers.common import machine
from helpers.common.environment import ROOT, installed, is_older, on_colab, requirements
from helpers.common.errors import UserError
from helpers.common.progress import clock
from helpers.report import times

if TYPE_CHECKING:
    from helpers.settings import Settings

GIB = 1024**3


class Finding(NamedTuple):
    """A fact, what it means for a person, and whether something should be done about it."""

    fact: str
    meaning: str = ""
    problem: bool = False

    def __str__(self) -> str:
        return f"{'! ' if self.problem else ''}{self.fact}{': ' if self.meaning else ''}{self.meaning}"


def report(root: Path = ROOT) -> str:
    """All findings, one line each, and what to do next; a problem begins with "!"."""
    here = {
        "system": system, "Python": python, "packages": lambda: packages(root / "requirements.txt"),
        "GPU": gpu, "memory": memory, "disk": lambda: disk(root), "network": network
    }
    plan = {
        "dataset": dataset, "preset": preset, "time": lambda: duration(root),
        "encoders": lambda: encoders(root)
    }
    problems, lines = [], []
    for title, checks in (("This machine", here), ("What runs on it, unless you choose otherwise",
                                                   plan)):
        findings = {name: examine(check) for name, check in checks.items()}
        problems += [name for name, finding in findings.items() if finding.problem]
        lines += [
            title, *(f"  {name:<9} {_indent(str(finding))}" for name, finding in findings.items()),
            ""
        ]
    return "\n".join([*lines, verdict(problems)])


def brief(root: Path = ROOT) -> str:
    """Machine, versions and plan in a few lines, for the first cell of a notebook."""
    found = [examine(check) for check in (system, gpu, memory, lambda: disk(root), network, python)]
    facts = "{}, GPU: {}, {} of memory, {} on the disk, network: {}, Python {}".format(
        *(each.fact for each in found))
    plan = "dataset {}, preset {}".format(*map(examine, (dataset, preset)))
    plan = "; ".join(filter(None, [plan, str(examine(lambda: duration(root, in_short=True)))]))
    return "\n".join([
        f"Machine: {facts}, torch {installed('torch')}.", f'With everything on "auto": {plan}.',
        *(str(finding) for finding in found if finding.problem)
    ])


def verdict(problems: list[str]) -> str:
    """The last line: what to do next."""
    if problems:
        return f"Look at the lines marked with \"!\" first: {', '.join(problems)}."
    return ("Everything is in order: `python -m helpers run` executes all notebooks, or open the "
            "first one in Jupyter.")


def python() -> Finding:
    """The interpreter's version and place."""
    place = "on Colab" if on_colab() else "in a virtual environment" if sys.prefix != sys.base_prefix else \
        "not in a virtual environment"
    old = sys.version_info < (3, 11)
    return Finding(f"{platform.python_version()} {place}", "3.11 or newer is needed" if old else "",
                   old)


def system() -> Finding:
    """The operating system and its CPU cores."""
    usable = machine.cores()
    return Finding(f"{platform.system()} with {usable} CPU core{'s' if usable != 1 else ''}")


def packages(path: Path) -> Finding:
    """Every required package with its version; those missing or too old come first."""
    wanted = requirements(path)
    here = {name: installed(name) for name in wanted}
    missing = [name for name in wanted if here[name] is None]
    old = [name for name in wanted if here[name] and is_older(here[name], wanted[name])]
    good = ", ".join(f"{name} {here[name]}" for name in wanted if name not in missing + old)
    if not missing + old:
        return Finding(f"all {len(wanted)} are here", good)
    lines = [f"{name} is missing" for name in missing]
    lines += [f"{name} {here[name]} is older than {wanted[name]}" for name in old]
    return Finding(", ".join(lines),
                   f"python -m pip install -r {path.name}\nThe others are here: {good}", True)


def gpu() -> Finding:
    """The accelerator that torch would use."""
    import torch

    from helpers.common.machine import has_cuda

    if has_cuda():
        return Finding(", ".join(cards()) or "one that torch can use",
                       "photographs (STL-10, folders of your own) are within reach")
    if torch.backends.mps.is_available():
        return Finding("Apple's GPU", "used only when asked for, with FEWLABELS_DEVICE=mps")
    lent = "; Colab lends one: Runtime > Change runtime type > T4 GPU, then run all cells" if on_colab(
    ) else ""
    return Finding(
        "none that torch can use",
        "the CPU does everything, which is enough for the digits; photographs take it far "
        f"longer{lent}"
    )


def cards() -> list[str]:
    """Name and memory of each NVIDIA GPU that may be used; none where the driver's own program does
    not tell.

    torch would tell as well, but asking it takes the GPU, after which a notebook cannot share a
    training among several.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command + (["--id", visible] if visible else []), capture_output=True,
                              text=True, check=True, timeout=20).stdout
        rows = [line.rsplit(",", 1) for line in said.splitlines() if line.strip()]
        return [
            f"{name.strip()} with {float(mebibytes) / 1024:.0f} GiB" for name, mebibytes in rows
        ]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def memory(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> Finding:
    """The machine's memory, or a container's limit where that is lower."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):  # Windows
        return Finding("an unknown amount")
    if limit.exists() and limit.read_text().strip().isdecimal():
        size = min(size, int(limit.read_text()))
    small = size < 3.5 * GIB
    return Finding(f"{size / GIB:.0f} GiB",
                   "4 GiB or more of memory are advised" if small else "enough", small)


def disk(root: Path) -> Finding:
    """The free space where data and checkpoints go."""
    free = shutil.disk_usage(root).free / GIB
    if free < 8:
        return Finding(f"{free:.0f} GiB free",
                       "STL-10 alone needs about 6 GiB of disk; the digits need none", True)
    return Finding(f"{free:.0f} GiB free", "enough for every dataset")


def network() -> Finding:
    """Whether datasets could be downloaded."""
    from helpers.common.environment import has_network

    if has_network():
        return Finding("yes", "datasets and weights can be downloaded")
    return Finding("none",
                   "nothing can be downloaded; the digits and folders of your own can be used")


def dataset() -> Finding:
    """The dataset that will be taken, and why."""
    settings = _settings()
    return Finding(f"{settings.dataset} ({settings.why})")


def preset() -> Finding:
    """The preset that will be taken, and for what it is made."""
    from helpers.settings import WHAT

    settings = _settings()
    return Finding(
        f"{settings.preset} ({WHAT[settings.preset]}), encoder {settings.encoder} on "
        f"{settings.device}"
    )


def duration(root: Path = ROOT, in_short: bool = False) -> Finding:
    """How long the notebooks took on the measured machine most like this one, and here, if they ran
    here before.

    Args:
        in_short: only the sum; nothing if it is for a CPU that nobody measured.
    """
    settings = _settings()
    chip = machine.chip() if settings.device == "cpu" else ""  # asking a GPU would take it
    rows = times.nearest(times.read(root / times.PLACE), settings.device, settings.preset,
                         Path(settings.dataset).name, machine.cores(), chip)
    last = {} if in_short else last_times(root / "results" / "notebooks", settings.preset)
    own = f"\nhere, the last time: {_times(last)}" if last else ""
    if not rows and in_short and settings.device == "cpu":
        return Finding("")
    if not rows:
        where = {"cuda": "a GPU", "mps": "Apple's GPU"}.get(settings.device, "a CPU")
        sizes = f"{Path(settings.dataset).name}, preset {settings.preset}"
        return Finding(f"how long it takes was not measured on {where} with {sizes}", own.strip())
    fact = (f"all notebooks about {times.in_words(times.total(rows))} on "
            f"{times.machine_in_words(rows[0])}")
    return Finding(
        fact, "" if in_short else _times({row.notebook[:2]: row.seconds
                                          for row in rows}) + own)


def last_times(folder: Path, preset: str) -> dict[str, float]:
    """Seconds that each executed notebook of a folder took, if it ran with this preset."""
    found = {}
    for path in sorted(folder.glob("[0-9][0-9].ipynb")):
        try:
            ran = noted(path)
        except ValueError:  # being written just now
            continue
        if ran.get("parameters", {}).get("PRESET", preset) == preset and ran.get("duration"):
            found[path.stem] = ran["duration"]
    return found


def encoders(root: Path) -> Finding:
    """The encoders found, released ones and own ones."""
    folders = (root / "weights", Path(os.environ.get("FEWLABELS_RUN_DIR", root / "runs")))
    found = [path for folder in folders for path in sorted(folder.rglob("*.safetensors"))]
    lines = [f"{_short(path, root)} ({path.stat().st_size / 1e6:.1f} MB)" for path in found]
    return Finding("\n".join(lines) or "none yet: notebooks train what they need")


def examine(check: Callable[[], Finding]) -> Finding:
    """A doctor examines sick machines: what cannot be found out is said, not raised."""
    try:
        return check()
    except (ImportError, OSError, RuntimeError, UserError) as error:
        return Finding("could not be found out", str(error), True)


def _settings() -> Settings:
    from helpers.settings import Settings

    return Settings.resolve()


def _times(seconds: dict[str, float]) -> str:
    return ", ".join(f"{number} {clock(value)}" for number, value in seconds.items())


def _short(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def _indent(text: str) -> str:
    return text.replace("\n", "\n" + " " * 12)
