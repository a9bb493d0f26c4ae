"""How long the notebooks took, by machine: one table, written by `scripts.executed`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import write_atomically

PLACE = Path("benchmarks", "results", "times.csv")  # in the repository
USUAL = ("cpu", "quick", "digits")


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


def keep_times(rows: Sequence[Time], root: Path = ROOT) -> None:
    """Write the rows of a run in place of all earlier ones of the same machine."""
    again = {row.machine for row in rows}
    others = [row for row in read_times(root) if row.machine not in again]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Time._fields)
    for row in sorted([*others, *rows], key=lambda row: (row.machine, row.notebook)):
        writer.writerow(row._replace(seconds=round(row.seconds, 1)))
    write_atomically(root / PLACE, text.getvalue())


def nearest(rows: Iterable[Time], device: str, preset: str, dataset: str, cores: int) -> list[Time]:
    """The rows of the machine whose number of cores is the nearest; none where nothing fits."""
    fitting = [row for row in rows if (row.device, row.preset, row.dataset) == (device, preset,
                                                                               dataset)]
    best = min(fitting, key=lambda row: abs(row.cores - cores), default=None)
    return [row for row in fitting if row.machine == best.machine]


def in_words(seconds: float) -> str:
    """A time so coarse that a second run reads the same: tens of seconds, or half minutes."""
    if seconds < 115:
        return f"{max(10, 10 * round(seconds / 10))} seconds"
    return f"{round(seconds / 30) / 2:g} minutes"
