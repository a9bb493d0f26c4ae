"""Keep the times of a run of the notebooks in `benchmarks/results/times.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from helpers.common.environment import ROOT
from helpers.common.files import write_atomically
from helpers.report.times import PLACE, Time, read_times

USUAL = ("cpu", "quick", "digits")


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
