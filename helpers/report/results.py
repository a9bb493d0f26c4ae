"""Results as a file: one row a measurement, in `<results_dir>/summary.csv`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.common.errors import UserError
from helpers.common.files import one_at_a_time, write_atomically

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("notebook", "dataset", "preset", "method", "protocol", "labels_per_class", "sigma",
           "metric", "mean", "std", "n", "seconds", "note")
KEY = ("notebook", "dataset", "preset")  # what is recorded again replaces what was recorded before
NUMBERS = ("sigma", "mean", "std", "n", "seconds")
HEADINGS = {"labels_per_class": "labels/class", "n": "runs"}


def record(results_dir: str | Path, notebook: str, rows: Iterable[Mapping[str, Any]],
           settings: Any = None) -> None:
    """Write the rows of a notebook into `summary.csv`, in place of its earlier rows.

    Rows of the same notebook, dataset and preset are replaced, so call it once, with all rows.

    Args:
        results_dir: folder of `summary.csv`; made when missing.
        notebook: its name or number, such as "03_feature_extraction".
        rows: mappings from `COLUMNS` to values. `method`, `metric` and `mean` are required.
            `mean` and `std` of a metric that ends in "accuracy" are fractions in [0, 1];
            `labels_per_class` is a number or "all"; `n` counts runs or label draws.
        settings: anything with `.dataset` and `.preset`, for rows that do not name them.

    Raises:
        ValueError: an unknown column, a missing one, or an accuracy outside [0, 1].
    """
    base = {"notebook": str(notebook), "dataset": getattr(settings, "dataset", ""),
            "preset": getattr(settings, "preset", "")}
    new = [_as_text({**base, **row}) for row in rows]
    if not new:
        raise ValueError(f"no rows to record for {notebook}")
    replaced = {tuple(row[name] for name in KEY) for row in new}
    path = Path(results_dir) / "summary.csv"
    with one_at_a_time(path.parent):  # notebooks that run side by side share the file
        kept = [row for row in _read(path) if tuple(row[name] for name in KEY) not in replaced]
        # A stable sort by key keeps the order in which a notebook lists its own rows.
        ordered = sorted(kept + new, key=lambda row: tuple(row[name] for name in KEY))
        write_atomically(path, _to_csv(ordered))


def summary(results_dir: str | Path) -> pd.DataFrame:
    """The recorded rows as a frame with `COLUMNS`; accuracies are fractions in [0, 1].

    Raises:
        UserError: there is no `summary.csv`, or it is not one of ours.
    """
    import pandas as pd

    path = Path(results_dir) / "summary.csv"
    if not path.exists():
        raise UserError(
            f"no results in {path}: run `python -m helpers run`, or name the right folder")
    frame = pd.DataFrame(_read(path), columns=list(COLUMNS))
    for name in NUMBERS:
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame["n"] = frame["n"].astype("Int64")
    return frame


def table(frame: pd.DataFrame) -> str:
    """The rows as plain text: accuracies in percent, mean ± standard deviation, empty columns left
    out."""
    if frame.empty:
        return "(no results)"
    shown = {HEADINGS.get(name, name): [_cell(value) for value in frame[name]]
             for name in COLUMNS if name not in ("mean", "std", "seconds")}
    shown["result"] = [written(row) for row in frame.to_dict("records")]
    order = ("notebook", "dataset", "preset", "method", "protocol", "labels/class", "sigma",
             "metric", "result", "runs", "note")
    columns = {name: shown[name] for name in order if any(shown[name])}
    return _layout(columns, right={"labels/class", "sigma", "result", "runs"})


def _as_text(row: dict[str, Any]) -> dict[str, str]:
    unknown = sorted(set(row) - set(COLUMNS))
    if unknown:
        raise ValueError(f"unknown columns {unknown}; the columns are {list(COLUMNS)}")
    missing = [name for name in ("method", "metric", "mean") if row.get(name) in (None, "")]
    if missing:
        raise ValueError(f"a row of {row['notebook']} lacks {missing}: {row}")
    if _is_accuracy(row["metric"]):
        for name in ("mean", "std"):
            value = row.get(name)
            if value not in (None, "") and not 0 <= float(value) <= 1:
                raise ValueError(
                    f"{name} of {row['metric']} is {value}; write a fraction in [0, 1]")
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
    return " ".join(str(value).split())


def _to_csv(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError(
                f"{path} does not begin with the columns of a results file: move it away")
        return list(reader)


def _is_accuracy(metric: Any) -> bool:
    return str(metric).endswith("accuracy")


def _cell(value: Any) -> str:
    if str(value) in ("None", "nan", "<NA>"):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def written(row: Mapping[str, Any]) -> str:
    """Mean and, where there is one, deviation of a row as a reader wants them: accuracies in
    percent."""
    scale, unit, digits = (100, " %", "1f") if _is_accuracy(row["metric"]) else (1, "", "4g")
    spread = row["std"]
    known = spread is not None and not math.isnan(spread)
    deviation = f" ± {scale * spread:.{digits}}" if known else ""
    return f"{scale * row['mean']:.{digits}}{deviation}{unit}"


def _layout(columns: dict[str, list[str]], right: set[str]) -> str:
    widths = {name: max(map(len, [name, *cells])) for name, cells in columns.items()}
    lines = [
        list(columns), ["-" * width for width in widths.values()],
        *zip(*columns.values(), strict=True)
    ]
    text = ["  ".join(cell.rjust(widths[name]) if name in right else cell.ljust(widths[name])
                      for name, cell in zip(columns, line, strict=True)).rstrip() for line in lines]
    return "\n".join(text)
