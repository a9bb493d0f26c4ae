"""Every measured and every published number in one table, each with its dataset, protocol and
source.

Files are known by their columns, not by their names, so a new benchmark's results are found without
a change here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.common.environment import ROOT
from helpers.common.errors import UserError

KEPT = ROOT / "benchmarks" / "results"
PUBLISHED = ROOT / "benchmarks" / "published.csv"
RUN = ("notebook", "dataset", "preset")  # a new run of these takes the place of the kept one
COLUMNS = (*RUN, "method", "encoder", "pixels", "protocol", "labels_per_class", "sigma", "metric",
           "mean", "std", "n", "over", "epochs", "minutes", "file")
# seeds are averaged over
SETTING = ("dataset", "method", "encoder", "pixels", "protocol", "labels_per_class", "sigma")
METHODS = {
    "byol": "BYOL", "noise-byol": "noise-BYOL", "dino": "DINO", "lightly-byol": "lightly's BYOL"
}
# columns of noise curves of whole trainings
NOISE = {"method", "training_seed", "noise_seed", "sigma", "accuracy"}
SEED = re.compile(r"-?seed\d+")


def gather(results_dir: str | Path, kept: Path = KEPT) -> tuple[pd.DataFrame, str]:
    """All measured numbers, and a sentence on where they are from.

    Rows of a notebook that has been run here replace the kept ones of the same notebook, dataset
    and preset.

    Args:
        results_dir: where the notebooks write `summary.csv`; may be missing.
        kept: a folder of results that came with the repository; may be missing.

    Raises:
        UserError: there are no results at all.
    """
    own, old = measured(Path(results_dir)), measured(kept)
    if own.empty and old.empty:
        raise UserError(
            f"no results in {results_dir} nor in {kept.name}: get the repository again, or run "
            "notebooks"
        )
    if own.empty:
        return old, (f"{results_dir} holds no results yet: all numbers are those kept in "
                     "benchmarks/results.")
    here = set(own[list(RUN)].itertuples(index=False, name=None))
    replaced = pd.Series([run in here for run in old[list(RUN)].itertuples(index=False, name=None)],
                         dtype=bool)
    ran = sorted({name[:2] for name in own.notebook if name})
    frame = pd.concat([own, old[~replaced]], ignore_index=True)
    return frame, (f"{len(own)} numbers were measured here (notebooks {', '.join(ran)}), "
                   f"{len(old) - replaced.sum()} are kept in benchmarks/results.")


def measured(folder: Path, merged: bool = True) -> pd.DataFrame:
    """The accuracies in the files of a folder, with `COLUMNS`; no rows where it holds none.

    `mean` and `std` are fractions in [0, 1]. `n` counts what `over` names: label draws, draws of
    the noise, or trainings ("one run": nothing was repeated). Runs that differ in their seed alone
    become one row, with the mean and deviation over trainings, unless `merged` is false. `minutes`
    are those of the training: of one CPU core, or of a GPU by the wall.
    """
    records = _records(folder)
    parts = [
        _common(pd.DataFrame(record["results"]), name, **_said(record))
        for name, record in records.items()
    ]
    parts += [_common(table, path.stem) for path, table in _tables(folder)
              if path.stem not in records and {"method", "mean"} <= set(table.columns)]
    parts += [_common(_over_noise(table), path.stem) for path, table in _tables(folder)
              if set(table.columns) >= NOISE and table.training_seed.nunique() > 1]
    empty = pd.DataFrame(columns=[*COLUMNS, "seed"])
    rows = pd.concat(parts, ignore_index=True) if parts else empty
    return (_over_seeds(rows) if merged else rows)[list(COLUMNS)]


def _tables(folder: Path) -> Iterator[tuple[Path, pd.DataFrame]]:
    """The CSV files of a folder that can be read."""
    for path in sorted(folder.glob("*.csv")):
        try:
            yield path, pd.read_csv(path, dtype={"labels_per_class": str, "notebook": str})
        except (OSError, ValueError):  # empty, or no table
            continue


def _contents(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON files of a folder that can be read, by name without ending."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict):
            found[path.stem] = content
    return found


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON files that hold a run with its results."""
    return {name: content for name, content in _contents(folder).items() if content.get("results")}


def _said(record: dict[str, Any]) -> dict[str, Any]:
    """What a record says of all its rows."""
    settings, cost = record.get("settings", {}), record.get("cost", {})
    said = {
        "seed": settings.get("seed"), "pixels": settings.get("size"), "epochs": cost.get("epochs"),
        "minutes": cost.get("minutes", cost["cpu_seconds"] / 60 if "cpu_seconds" in cost else None)
    }
    if "method" in settings:
        said |= {
            "method": METHODS.get(settings["method"], settings["method"]),
            "encoder": settings.get("encoder")
        }
    return said


def _over_noise(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over the draws of the noise, so that the deviation is that over trainings."""
    means = table.groupby(["method", "training_seed", "sigma"],
                          sort=False).accuracy.mean().reset_index()
    means = means.rename(columns={"training_seed": "seed", "accuracy": "mean"})
    return means.assign(protocol="noise, whole trainings", labels_per_class="all", n=1)


def noise_trainings(folder: Path = KEPT) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Accuracy under noise of whole trainings: method to sigmas (S, normalised units) and
    trainings x S accuracies."""
    parts = [table for _, table in _tables(folder) if set(table.columns) >= NOISE]
    if not parts:
        return {}
    means = pd.concat(parts).groupby(["method", "training_seed", "sigma"],
                                     sort=False).accuracy.mean()
    return {
        method: (own.columns.to_numpy(), own.to_numpy())
        for method in means.index.unique("method")
        for own in [means[method].unstack("sigma")]
    }


def _common(table: pd.DataFrame, name: str, **said: Any) -> pd.DataFrame:
    """Results of a file with `COLUMNS` and seed; `said` holds for all rows."""
    rows = table.reindex(columns=[*COLUMNS, "seed", "seconds"]).assign(
        file=name, **{key: value for key, value in said.items() if value is not None})
    defaults = {
        "dataset": name.split("-")[0], "metric": "test accuracy", "minutes": rows.seconds / 60,
        "n": 1, **dict.fromkeys(("notebook", "preset", "encoder"), ""), "labels_per_class": "all"
    }
    rows = rows.assign(
        **{key: rows[key].where(rows[key].notna(), value)
           for key, value in defaults.items()})
    rows["labels_per_class"] = rows.labels_per_class.astype(str)
    over = rows.sigma.notna().map({True: "draws of the noise", False: "label draws"})
    # of all there is one draw
    over = over.mask(rows.sigma.isna() & (rows.labels_per_class == "all"), "trainings")
    rows["over"] = over.where(rows.n > 1, "one run")
    return rows.drop(columns="seconds")


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Runs of several seeds as one row each, the others as they are."""
    seeded, merged = rows.seed.notna(), []
    group_of = rows.file.astype(str).str.replace(SEED, "", regex=True)
    for _, group in rows[seeded].groupby([group_of[seeded], *SETTING], dropna=False, sort=False):
        row = group.iloc[0].to_dict()
        if len(group) > 1:
            row.update(mean=group["mean"].mean(), std=group["mean"].std(), n=len(group),
                       over="trainings", minutes=group.minutes.mean(), epochs=group.epochs.mean(),
                       file=SEED.sub("", row["file"]))
        merged.append(row)
    return pd.concat(
        [part for part in (rows[~seeded], pd.DataFrame(merged, columns=rows.columns)) if len(part)]
        or [rows], ignore_index=True)


def learning_curves(folder: Path = KEPT) -> dict[str, pd.DataFrame]:
    """kNN accuracy on validation while training: what was trained, to its looks as minutes, knn and
    std.

    The looks of several seeds are averaged, the first ones, the second ones and so on; `std` is
    over seeds.
    """
    looks: dict[str, list[pd.DataFrame]] = {}
    for record in _records(folder).values():
        said, curve = _said(record), pd.DataFrame(record.get("curve", []))
        if {"knn", "cpu_seconds"} <= set(curve.columns):
            settings = record["settings"]
            budget = f"{settings['minutes']:g} min" if settings.get(
                "minutes") else f"{said['epochs']:g} epochs"
            gpu = " on a GPU" * (record.get("machine", {}).get("device", "cpu") != "cpu")
            label = ", ".join(str(said[key])
                              for key in ("method", "encoder")
                              if said.get(key)) + f"{gpu}, {budget}"
            looks.setdefault(label, []).append(curve if "minutes" in curve else
                                               curve.assign(minutes=curve.cpu_seconds / 60))
    found = {}
    for label, tables in looks.items():
        each = pd.concat([table[["minutes", "knn"]] for table in tables]).groupby(level=0)
        found[f"{label} (n = {len(tables)})"] = each.mean().assign(std=each.knn.std().fillna(0))
    return found


def speeds(folder: Path = KEPT) -> dict[str, dict[str, Any]]:
    """The JSON files of the benchmarks of speed: their names to their contents, each with rows of
    contenders."""
    return {name: content for name, content in _contents(folder).items()
            if content.get("rows") and all("contender" in row for row in content["rows"])}


def published(path: Path = PUBLISHED) -> pd.DataFrame:
    """What others report: system, method, dataset, protocol, value (a fraction), n, source and
    more.

    Raises:
        UserError: the file is missing or has a row without the address of its source.
    """
    if not path.exists():
        raise UserError(f"{path.name} is not there: get the repository again")
    frame = pd.read_csv(path, dtype={"labels_per_class": str})
    if not frame.source.astype(str).str.startswith("https://").all():
        raise UserError(f"{path.name}: every row needs the address of its source")
    return frame
