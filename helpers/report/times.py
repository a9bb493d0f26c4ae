"""How long the notebooks took, by machine: measured by `scripts.executed`, and what is said of
it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.common.machine import BF16

PLACE = Path("benchmarks", "results", "times.csv")  # in the repository
KEPT = ROOT / PLACE
USUAL = ("quick", "digits")  # preset and dataset that need not be named
COUNTS = {1: "one", 2: "two", 4: "four", 8: "eight"}


class Time(NamedTuple):
    """The run of one notebook on one machine."""

    notebook: str  # such as "01_resnet18_baseline"
    seconds: float
    preset: str
    dataset: str
    device: str  # "cpu", "cuda" or "mps"
    chip: str
    cores: int
    torch: str

    @property
    def machine(self) -> tuple[str, str, str, int, str]:
        """What a run elsewhere, or of other sizes, does not share; in the order of the file."""
        return self.dataset, self.preset, self.device, self.cores, self.chip


def read(path: Path = KEPT) -> list[Time]:
    """The kept times; none where there is no file.

    Raises:
        UserError: the file is not one of times.
    """
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        try:
            if tuple(reader.fieldnames or ()) != Time._fields:
                raise ValueError
            return [
                Time(**row | {"seconds": float(row["seconds"]), "cores": int(row["cores"])})
                for row in reader
            ]
        except (TypeError, ValueError):
            raise UserError(
                f"{path.name} is not a table of {', '.join(Time._fields)}: move it away") from None


def keep(rows: Sequence[Time], path: Path = KEPT) -> None:
    """Write the rows of a run in place of all earlier ones of the same machine."""
    again = {row.machine for row in rows}
    rows = sorted([*(row for row in read(path) if row.machine not in again), *rows],
                  key=lambda row: (row.machine, row.notebook))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([Time._fields, *(row._replace(seconds=round(row.seconds, 1)) for row in rows)])
    write_atomically(path, text.getvalue())


def by_machine(rows: Iterable[Time]) -> dict[str, list[Time]]:
    """The rows of each machine, in the order of the file, under its name in a few words."""
    parts: dict[tuple, list[Time]] = {}
    for row in rows:
        parts.setdefault(row.machine, []).append(row)
    short = [machine_in_words(own[0]) for own in parts.values()]
    return {words if short.count(words) == 1 else machine_in_words(own[0], whole=True): own
            for words, own in zip(short, parts.values(), strict=True)}


def machine_in_words(row: Time, whole: bool = False) -> str:
    """"2 CPU cores (Intel, AMX)" or "Tesla T4 (GPU)", with dataset and preset where they are not
    the usual ones.

    Args:
        whole: the chip's name as it is in the file.
    """
    name, *flags = row.chip.split(", ")
    vendor = re.match(r"\w*", name)[0]
    inside = row.chip if whole else ", ".join([vendor, *(BF16.get(flag, flag) for flag in flags)])
    words = {"cuda": f"{name.removeprefix('NVIDIA ')} (GPU)", "mps": f"Apple's GPU ({row.chip})"
             }.get(row.device, f"{row.cores} CPU core{'s' * (row.cores != 1)} ({inside})")
    return words if (row.preset, row.dataset) == USUAL else f"{words}, {row.dataset}, {row.preset}"


def nearest(rows: Iterable[Time], device: str, preset: str, dataset: str, cores: int,
            chip: str = "") -> list[Time]:
    """The rows of the machine that is most like the one described; none if nothing like it was
    measured.

    The number of cores decides, then the chip, then the longer time.
    """
    like = [own for own in by_machine(rows).values()
            if (own[0].device, own[0].preset, own[0].dataset) == (device, preset, dataset)]
    return min(like, default=[], key=lambda own:
               (abs(own[0].cores - cores), own[0].chip != chip, -total(own)))


def total(rows: Iterable[Time]) -> float:
    """Seconds of all rows together."""
    return sum(row.seconds for row in rows)


def in_words(seconds: float) -> str:
    """A time so coarse that a second run reads the same: tens of seconds, from two minutes on
    halves."""
    if seconds < 115:
        value, unit = max(10, 10 * round(seconds / 10)), "second"
        value, unit = (1, "minute") if value == 60 else (value, unit)
    elif seconds < 115 * 60:
        value, unit = round(seconds / 30) / 2, "minute"
    else:
        value, unit = round(seconds / 1800) / 2, "hour"
    return f"{value:g} {unit}{'s' * (value != 1)}"


def in_short(seconds: float) -> str:
    """The same for a table: "50 s", "2.5 min", "3 h"."""
    value, unit = in_words(seconds).split()
    return f"{value} {dict(s='s', m='min', h='h')[unit[0]]}"


def sentence(rows: Iterable[Time], notebook: str) -> str:
    """What the first cell of a notebook says of its time, up to what only the notebook knows."""
    own = [row for row in rows if row.notebook == notebook]
    on_gpu = [row for row in own if row.device == "cuda"]
    cpu = nearest(own, "cpu", *USUAL, cores=2)
    if not cpu:
        return "**Time** not measured yet"
    cores = cpu[0].cores
    other = "on a GPU not measured"
    if on_gpu:  # the usual sizes first, and of those the slowest machine
        row = max(on_gpu, key=lambda row: ((row.preset, row.dataset) == USUAL, row.seconds))
        other = f"about {in_words(row.seconds)} on a GPU with {row.dataset}, preset {row.preset}"
    return (
        f"**Time** about {in_words(cpu[0].seconds)} on {COUNTS.get(cores, cores)} CPU "
        f"core{'s' * (cores != 1)} "
        f"with the embedded digits (measured; {other})")
