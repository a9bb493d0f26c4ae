"""How long the notebooks took, by machine: one table, written by `scripts.times`."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from helpers.common.environment import ROOT
from helpers.common.errors import UserError

PLACE = Path("benchmarks", "results", "times.csv")  # in the repository


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

    @property
    def machine_in_words(self) -> str:
        """The machine as a reader wants it: "2 CPU cores (AMD EPYC, avx2)", or a GPU's name."""
        return f"{self.cores} CPU cores ({self.chip})" if self.device == "cpu" else self.chip


def read_times(root: Path = ROOT) -> list[Time]:
    """The kept times of a repository; none where there is no file.

    Raises:
        UserError: the file is not one of times.
    """
    path = root / PLACE
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [Time(**row | {"seconds": float(row["seconds"]), "cores": int(row["cores"])})
                    for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path.name} is not a table of {', '.join(Time._fields)}: move it away") from None


def nearest(rows: Iterable[Time], device: str, preset: str, dataset: str, cores: int) -> list[Time]:
    """The rows of the machine whose number of cores is the nearest; none where nothing fits."""
    wanted = (device, preset, dataset)
    fitting = [row for row in rows if (row.device, row.preset, row.dataset) == wanted]
    best = min(fitting, key=lambda row: abs(row.cores - cores), default=None)
    return [row for row in fitting if row.machine == best.machine]


def in_words(seconds: float) -> str:
    """A time so coarse that a second run reads the same: tens of seconds, half minutes, hours."""
    if seconds < 115:
        return f"{max(10, 10 * round(seconds / 10))} seconds"
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.1f} hours"
    return f"{round(seconds / 30) / 2:g} minutes"
