"""Results in files: tables of measurements and runs, known by their columns, not by their names.

A new benchmark's results are found without a change here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.common.names import METHODS

COLUMNS = ["notebook", "dataset", "preset", "method", "encoder", "pixels", "protocol",
           "labels_per_class", "sigma", "metric", "mean", "std", "n", "over", "epochs", "minutes",
           "file"]
# seeds are averaged over
SETTING = ["dataset", "method", "encoder", "pixels", "protocol", "labels_per_class", "sigma"]
TITLES = {**METHODS, "lightly-byol": "lightly's BYOL"}
# columns of noise curves of whole trainings
NOISE = {"method", "training_seed", "noise_seed", "sigma", "accuracy"}
SEED = re.compile(r"-?seed\d+")


def read_results(folder: Path, merged: bool = True) -> pd.DataFrame:
    """The accuracies in the files of a folder, with `COLUMNS`; no rows where it holds none.

    `mean` and `std` are fractions in [0, 1]. `n` counts what `over` names: label subsets, draws of
    the noise, or trainings ("one run": nothing was repeated). `minutes` are those of the training:
    of one CPU core, or of a GPU by the wall.

    Args:
        merged: runs that differ in their seed alone become one row, with the mean and standard
            deviation over trainings.
    """
    runs = runs_in(folder)
    parts = [_rows(pd.DataFrame(run["results"]), name, **facts_of(run))
             for name, run in runs.items()]
    for name, table in tables_in(folder).items():
        if name not in runs and {"method", "mean"} <= set(table.columns):
            parts.append(_rows(table, name))
        if set(table.columns) >= NOISE and table.training_seed.nunique() > 1:
            parts.append(_rows(_over_noise(table), name))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.concat(parts, ignore_index=True)
    return (_over_seeds(rows) if merged else rows)[COLUMNS]


def tables_in(folder: Path) -> dict[str, pd.DataFrame]:
    """The CSV files of a folder that can be read."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        try:
            found[path.stem] = pd.read_csv(path, dtype={"labels_per_class": str, "notebook": str})
        except (OSError, ValueError):  # empty, or no table
            continue
    return found


def contents_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON files of a folder that hold an object, by name without ending."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict):
            found[path.stem] = content
    return found


def runs_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON files that hold a run with its results."""
    return {name: content for name, content in contents_in(folder).items()
            if content.get("results")}


def facts_of(run: dict[str, Any]) -> dict[str, Any]:
    """What holds for all rows of a run."""
    settings, cost = run.get("settings", {}), run.get("cost", {})
    facts = {"seed": settings.get("seed"), "pixels": settings.get("size"),
             "epochs": cost.get("epochs"), "minutes": cost.get("minutes")}
    if facts["minutes"] is None and "cpu_seconds" in cost:
        facts["minutes"] = cost["cpu_seconds"] / 60
    if "method" in settings:
        on_cpu = run.get("machine", {}).get("device", "cpu") == "cpu"
        facts["method"] = TITLES.get(settings["method"], settings["method"])
        facts["encoder"] = f"{settings['encoder']}{'' if on_cpu else ' on a GPU'}"
    return facts


def _over_noise(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over the draws of the noise, so that the deviation is that over trainings."""
    means = table.groupby(["method", "training_seed", "sigma"], sort=False).accuracy.mean()
    means = means.reset_index().rename(columns={"training_seed": "seed", "accuracy": "mean"})
    return means.assign(protocol="noise, whole trainings")


def _rows(table: pd.DataFrame, name: str, **facts: Any) -> pd.DataFrame:
    """The results of a file with `COLUMNS` and seed; the facts hold for all rows."""
    known = {key: value for key, value in facts.items() if value is not None}
    rows = table.reindex(columns=[*COLUMNS, "seed", "seconds"]).assign(file=name, **known)
    defaults = {"dataset": name.split("-")[0], "metric": "test accuracy", "n": 1, "notebook": "",
                "preset": "", "encoder": "", "labels_per_class": "all",
                "minutes": rows.seconds / 60}
    for column, value in defaults.items():
        rows[column] = rows[column].where(rows[column].notna(), value)
    rows["labels_per_class"] = rows.labels_per_class.astype(str)
    rows["over"] = "label subsets"
    # of all labels there is one subset
    rows.loc[rows.labels_per_class == "all", "over"] = "trainings"
    rows.loc[rows.sigma.notna(), "over"] = "draws of the noise"
    rows.loc[rows.n <= 1, "over"] = "one run"
    return rows.drop(columns="seconds")


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Runs of several seeds as one row each, the others as they are."""
    seeded, merged = rows.seed.notna(), []
    group_of = rows.file.str.replace(SEED, "", regex=True)
    for _, group in rows[seeded].groupby([group_of[seeded], *SETTING], dropna=False, sort=False):
        row = group.iloc[0].to_dict()
        if len(group) > 1:
            row |= {"mean": group["mean"].mean(), "std": group["mean"].std(), "n": len(group),
                    "over": "trainings", "minutes": group.minutes.mean(),
                    "epochs": group.epochs.mean(), "file": SEED.sub("", row["file"])}
        merged.append(row)
    parts = [rows[~seeded], pd.DataFrame(merged, columns=rows.columns)]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)
