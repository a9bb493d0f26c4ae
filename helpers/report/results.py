"""Results as a file: one row a measurement, in `<results_dir>/summary.csv`.

A run is told by its notebook, dataset, preset and seed, and by the settings that were changed. What
is recorded again replaces the rows of the same run; those of other runs stay in the file.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.common.errors import UserError
from helpers.common.files import one_at_a_time, write_atomically
from helpers.common.markup import as_cell, from_cell

PLACE = ["notebook", "dataset", "preset"]  # of these, readers see the latest run
RUN = ["seed", "changed"]
MEASURED = ["method", "protocol", "labels_per_class", "sigma", "metric", "mean", "std", "n",
            "seconds", "note"]
COLUMNS = [*PLACE, *RUN, *MEASURED]
FIRST_COLUMNS = [*PLACE, *MEASURED]  # of files that were written before runs were told apart
REQUIRED = ["method", "metric", "mean"]
NUMBERS = ["sigma", "mean", "std", "n", "seconds"]
SHOWN = [*PLACE, *MEASURED[:5], "result", "n", "note"]
ROUNDING = 1e-9  # deviations below are those of equal numbers
HEADINGS = {"labels_per_class": "labels/class", "n": "runs"}


def record(results_dir: str | Path, notebook: str, rows: Iterable[Mapping[str, Any]],
           settings: Any = None) -> None:
    """Write the rows of a notebook into `summary.csv`, in place of its earlier rows.

    Rows of the same run are replaced, so call it once, with all rows.

    Args:
        results_dir: folder of `summary.csv`; made when missing.
        notebook: its name or number, such as "03_feature_extraction".
        rows: mappings from `COLUMNS` to values. `method`, `metric` and `mean` are required.
            `mean` and `std` of a metric that ends in "accuracy" are fractions in [0, 1];
            a `std` of NaN, that of a single number, is left empty;
            `labels_per_class` is a number or "all"; `n` counts runs or label draws.
        settings: the run's `Settings`, or anything with some of `.dataset`, `.preset`, `.seed` and
            `.changed`, for rows that do not name them.

    Raises:
        ValueError: an unknown column, a missing one, or an accuracy outside [0, 1].
        UserError: `summary.csv` is damaged or not one of ours, or cannot be written.
    """
    told = {name: getattr(settings, name, "") for name in [*PLACE[1:], *RUN]}
    base = {"notebook": str(notebook), **told}
    new = pd.DataFrame([_as_text({**base, **row}) for row in rows], columns=COLUMNS)
    if new.empty:
        raise ValueError(f"no rows to record for {notebook}")
    path = Path(results_dir) / "summary.csv"
    with one_at_a_time(path.parent):  # notebooks that run side by side share the file
        old = _read(path)
        replaced = _keys(old, [*PLACE, *RUN]).isin(_keys(new, [*PLACE, *RUN]))
        # A stable sort keeps the order in which a notebook lists its own rows, and the latest run
        # of a notebook last.
        whole = pd.concat([old[~replaced], new]).sort_values(PLACE, kind="stable")
        write_atomically(path, whole.to_csv(index=False, lineterminator="\n"))


def _keys(frame: pd.DataFrame, columns: list[str]) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[columns])


def latest(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each notebook, dataset and preset the rows of the run that was recorded last."""
    last = frame.drop_duplicates(PLACE, keep="last")
    return frame[_keys(frame, [*PLACE, *RUN]).isin(_keys(last, [*PLACE, *RUN]))]


def summary(results_dir: str | Path, every_run: bool = False) -> pd.DataFrame:
    """The recorded rows as a frame with `COLUMNS`; accuracies are fractions in [0, 1].

    Args:
        every_run: those of earlier runs as well, not of the `latest` ones alone.

    Raises:
        UserError: there is no `summary.csv`, or it is damaged or not one of ours.
    """
    path = Path(results_dir) / "summary.csv"
    if not path.exists():
        raise UserError(
            f"no results in {path}: run `python -m helpers run`, or name the right folder")
    frame = _read(path)
    if not every_run:
        frame = latest(frame).reset_index(drop=True)
    frame[NUMBERS] = frame[NUMBERS].apply(pd.to_numeric, errors="coerce")
    return frame.astype({"n": "Int64"})


def table(frame: pd.DataFrame) -> str:
    """The rows as plain text, empty columns left out.

    Accuracies are in percent, mean ± standard deviation.
    """
    if frame.empty:
        return "(no results)"
    words = frame.assign(result=[in_words(row) for row in frame.to_dict("records")])
    shown = words[SHOWN].map(cell).rename(columns=HEADINGS)
    shown = shown.loc[:, (shown != "").any()]
    aligned = shown.apply(lambda column: column.str.ljust(column.str.len().max()))
    text = aligned.to_string(index=False, justify="left")
    return "\n".join(line.rstrip() for line in text.splitlines())


def in_words(row: Mapping[str, Any]) -> str:
    """Mean and, where there is one, deviation of a row; accuracies in percent."""
    percent = _is_accuracy(row["metric"])
    scale, unit, form = (100, " %", ".1f") if percent else (1, "", ".4g")
    std = row["std"] if row["std"] > ROUNDING else 0.0
    deviation = "" if pd.isna(row["std"]) else f" ± {scale * std:{form}}"
    return f"{scale * row['mean']:{form}}{deviation}{unit}"


def _as_text(row: dict[str, Any]) -> dict[str, str]:
    unknown = sorted(set(row) - set(COLUMNS))
    if unknown:
        raise ValueError(f"unknown columns {unknown}; the columns are {COLUMNS}")
    missing = [name for name in REQUIRED if row.get(name) in (None, "")]
    if missing:
        raise ValueError(f"a row of {row['notebook']} lacks {missing}: {row}")
    if row.get("std") not in (None, "") and math.isnan(float(row["std"])):
        row = {**row, "std": None}  # one number has no deviation
    for name in ("mean", "std") if _is_accuracy(row["metric"]) else ():
        value = row.get(name)
        if value not in (None, "") and not 0 <= float(value) <= 1:
            raise ValueError(f"{name} of {row['metric']} is {value}; write a fraction in [0, 1]")
    return {name: _format(row.get(name)) for name in COLUMNS}


def _format(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "item"):  # a scalar of numpy or torch
        value = value.item()
    if isinstance(value, Real) and not isinstance(value, (Integral, bool)):
        number = float(value)
        lost = number != 0 and abs(number) < 5e-4  # a loss near zero should not read as zero
        return f"{number:.3e}" if lost else f"{number:.4f}"
    return as_cell(" ".join(value.split())) if isinstance(value, str) else str(value)


def _read(path: Path) -> pd.DataFrame:
    """The file's cells as text; no rows where there is no file."""
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS, dtype=str)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, strict=True)
    except (OSError, ValueError, csv.Error):  # unreadable, empty, or no table
        header, rows = [], []
    if header not in (COLUMNS, FIRST_COLUMNS):
        raise UserError(f"{path} does not begin with the columns of a results file: move it away")
    for number, row in enumerate(rows, 2):
        wrong = _wrong(header, row)
        if wrong:
            raise UserError(f"{path} is damaged in row {number} ({wrong}): mend that row, or move "
                            "the file away and run the notebooks again")
    frame = pd.DataFrame(rows, columns=header, dtype=str).map(from_cell)
    return frame.reindex(columns=COLUMNS, fill_value="")


def _wrong(header: list[str], row: list[str]) -> str:
    """What is wrong with a row of the file, "" where it is as `record` writes it."""
    if len(row) != len(header):
        return f"{len(row)} cells, not {len(header)}"
    cells = dict(zip(header, row, strict=True))
    empty = [name for name in REQUIRED if not cells[name]]
    if empty:
        return f"no {empty[0]}"
    for name in NUMBERS:
        try:
            number = float(cells[name] or 0)
        except ValueError:
            return f"{name} is {cells[name][:40]!r}, which is no number"
        if _is_accuracy(cells["metric"]) and name in ("mean", "std") and not 0 <= number <= 1:
            return f"{name} is {number:g}, not between 0 and 1"
    return ""


def _is_accuracy(metric: Any) -> bool:
    return str(metric).endswith("accuracy")


def cell(value: Any) -> str:
    """A value in a table; what is missing leaves a gap."""
    if pd.isna(value):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
