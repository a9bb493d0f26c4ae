"""Gather the files of results in `benchmarks/results` into the two tables that a reader needs.

`measured.csv` has every accuracy, `learning_curves.csv` the accuracies while training. Tables of
measurements and runs are known by their columns, so a new benchmark's results are found without a
change here. `python -m scripts.docs` writes both tables.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.common.names import METHODS
from helpers.report.collect import COLUMNS, CURVE, KEPT, NOISE, completed, contents_in
from helpers.report.tables import GPU

# seeds are averaged over
SETTING = ["dataset", "method", "encoder", "pixels", "protocol", "labels_per_class", "sigma"]
TITLES = {**METHODS, "lightly-byol": "lightly's BYOL"}
SEED = re.compile(r"-?seed\d+")


def read_results(folder: Path = KEPT, merged: bool = True) -> pd.DataFrame:
    """The accuracies in the files of a folder, with `COLUMNS`; no rows where it holds none.

    Args:
        merged: runs that differ in their seed alone become one row, with the mean and standard
            deviation over trainings.
    """
    runs = _runs_in(folder)
    parts = [completed(pd.DataFrame(run["results"]), name, **_facts_of(run))
             for name, run in runs.items()]
    for name, table in _tables_in(folder).items():
        if name not in runs and {"method", "mean"} <= set(table.columns):
            parts.append(completed(table, name))
        if set(table.columns) >= NOISE and table.training_seed.nunique() > 1:
            parts.append(completed(_over_noise(table), name))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.concat(parts, ignore_index=True)
    return (_over_seeds(rows) if merged else rows)[COLUMNS]


def learning_curves(folder: Path = KEPT) -> pd.DataFrame:
    """kNN accuracy on validation while training, with the columns `CURVE`.

    Evaluations of several seeds are averaged, the first ones, the second ones and so on; `std` is
    over seeds.
    """
    seeds: dict[tuple[str, Any], list[pd.DataFrame]] = {}
    for run in _runs_in(folder).values():
        facts, curve = _facts_of(run), pd.DataFrame(run.get("curve", []))
        if not {"knn", "cpu_seconds"} <= set(curve.columns):
            continue
        if "minutes" not in curve:
            curve["minutes"] = curve.cpu_seconds / 60
        name = ", ".join(filter(None, (facts.get("method"), facts.get("encoder"))))
        budget = run["settings"].get("minutes") or facts["epochs"]
        seeds.setdefault((name, budget), []).append(curve[["minutes", "knn"]])
    found = []
    for (name, budget), tables in seeds.items():
        each = pd.concat(tables).groupby(level=0)
        found.append(each.mean().assign(std=each.knn.std().fillna(0), method=name, budget=budget))
    return pd.concat(found, ignore_index=True)[CURVE] if found else pd.DataFrame(columns=CURVE)


def _tables_in(folder: Path) -> dict[str, pd.DataFrame]:
    """The CSV files of a folder that can be read."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        try:
            found[path.stem] = pd.read_csv(path, dtype={"labels_per_class": str, "notebook": str})
        except (OSError, ValueError):  # empty, or no table
            continue
    return found


def _runs_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON files that hold a run with its results."""
    return {name: content for name, content in contents_in(folder).items()
            if content.get("results")}


def _facts_of(run: dict[str, Any]) -> dict[str, Any]:
    """What holds for all rows of a run."""
    settings, cost = run.get("settings", {}), run.get("cost", {})
    facts = {"seed": settings.get("seed"), "pixels": settings.get("size"),
             "epochs": cost.get("epochs"), "minutes": cost.get("minutes")}
    if facts["minutes"] is None and "cpu_seconds" in cost:
        facts["minutes"] = cost["cpu_seconds"] / 60
    if "method" in settings:
        on_cpu = run.get("machine", {}).get("device", "cpu") == "cpu"
        facts["method"] = TITLES.get(settings["method"], settings["method"])
        facts["encoder"] = f"{settings['encoder']}{'' if on_cpu else GPU}"
    return facts


def _over_noise(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over the draws of the noise, so that the deviation is that over trainings."""
    means = table.groupby(["method", "training_seed", "sigma"], sort=False).accuracy.mean()
    means = means.reset_index().rename(columns={"training_seed": "seed", "accuracy": "mean"})
    return means.assign(protocol="noise, whole trainings")


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
