"""Every measured and every published number, each with its dataset, protocol and source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.report.files import NOISE, contents_in, facts_of, read_results, runs_in, tables_in

KEPT = ROOT / "benchmarks" / "results"
PUBLISHED = ROOT / "benchmarks" / "published.csv"
RUN = ["notebook", "dataset", "preset"]  # a new run of these takes the place of the kept one


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
    own, old = read_results(Path(results_dir)), read_results(kept)
    if own.empty and old.empty:
        raise UserError(f"no results in {results_dir} nor in {kept.name}: get the repository "
                        "again, or run notebooks")
    if own.empty:
        return old, (f"{results_dir} holds no results yet: all numbers are those kept in "
                     "benchmarks/results.")
    replaced = pd.MultiIndex.from_frame(old[RUN]).isin(pd.MultiIndex.from_frame(own[RUN]))
    ran = sorted({name[:2] for name in own.notebook if name})
    frame = pd.concat([own, old[~replaced]], ignore_index=True)
    return frame, (f"{len(own)} numbers were measured here (notebooks {', '.join(ran)}), "
                   f"{(~replaced).sum()} are kept in benchmarks/results.")


def noise_trainings(folder: Path = KEPT) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Accuracy under noise of whole trainings, by method.

    Returns:
        for each method sigmas (S, normalised units) and accuracies (trainings x S, fractions), the
        mean over the draws of the noise.
    """
    parts = [table for table in tables_in(folder).values() if set(table.columns) >= NOISE]
    found = {}
    for method, own in pd.concat(parts).groupby("method", sort=False) if parts else ():
        wide = own.pivot_table(index="training_seed", columns="sigma", values="accuracy")
        found[method] = (wide.columns.to_numpy(), wide.to_numpy())
    return found


def learning_curves(folder: Path = KEPT) -> dict[str, list[pd.DataFrame]]:
    """kNN accuracy on validation while training.

    Returns:
        for each method and encoder a table of minutes, knn and std for each budget. Evaluations of
        several seeds are averaged, the first ones, the second ones and so on; `std` is over seeds.
    """
    seeds: dict[tuple[str, Any], list[pd.DataFrame]] = {}
    for run in runs_in(folder).values():
        facts, curve = facts_of(run), pd.DataFrame(run.get("curve", []))
        if not {"knn", "cpu_seconds"} <= set(curve.columns):
            continue
        if "minutes" not in curve:
            curve["minutes"] = curve.cpu_seconds / 60
        name = ", ".join(filter(None, (facts.get("method"), facts.get("encoder"))))
        budget = run["settings"].get("minutes") or facts["epochs"]
        seeds.setdefault((name, budget), []).append(curve[["minutes", "knn"]])
    found: dict[str, list[pd.DataFrame]] = {}
    for (name, _), tables in seeds.items():
        each = pd.concat(tables).groupby(level=0)
        found.setdefault(name, []).append(each.mean().assign(std=each.knn.std().fillna(0)))
    return found


def speeds(folder: Path = KEPT) -> dict[str, dict[str, Any]]:
    """The JSON files of the benchmarks of speed, by name; each has rows of contenders."""
    return {name: content for name, content in contents_in(folder).items()
            if content.get("rows") and all("contender" in row for row in content["rows"])}


def published(path: Path = PUBLISHED) -> pd.DataFrame:
    """What others report: system, method, dataset, protocol, value (a fraction), n, source, more.

    Raises:
        UserError: the file is missing or has a row without the address of its source.
    """
    if not path.exists():
        raise UserError(f"{path.name} is not there: get the repository again")
    frame = pd.read_csv(path, dtype={"labels_per_class": str})
    if not frame.source.astype(str).str.startswith("https://").all():
        raise UserError(f"{path.name}: every row needs the address of its source")
    return frame
