"""Every measured and every published number, each with its dataset, protocol and source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.report import results

BENCHMARKS = ROOT / "benchmarks"
KEPT = BENCHMARKS / "results"  # the files of results that came with the repository
MEASURED = BENCHMARKS / "measured.csv"  # what they say, made by `python -m scripts.docs`
CURVES = BENCHMARKS / "learning_curves.csv"
PUBLISHED = BENCHMARKS / "published.csv"
KEPT_RUN = ["digits", "quick", "0", ""]  # dataset, preset, seed, changes of the kept notebooks' run
COLUMNS = ["notebook", "dataset", "preset", "method", "encoder", "pixels", "protocol",
           "labels_per_class", "sigma", "metric", "mean", "std", "n", "over", "epochs", "minutes",
           "file"]
# columns of noise curves of whole trainings, and of curves while training
NOISE = {"method", "training_seed", "noise_seed", "sigma", "accuracy"}
CURVE = ["method", "budget", "minutes", "knn", "std"]


def gather(results_dir: str | Path, kept: Path = MEASURED) -> tuple[pd.DataFrame, str]:
    """All measured numbers, with `COLUMNS`, and a sentence on where they are from.

    Rows of a notebook that has been run here replace the kept ones of the same notebook, dataset
    and preset. `mean` and `std` are fractions in [0, 1]. `n` counts what `over` names: label
    subsets, draws of the noise, or trainings ("one run": nothing was repeated). `minutes` are those
    of the training: of one CPU core, or of a GPU by the wall.

    Args:
        results_dir: where the notebooks write `summary.csv`; may be missing.
        kept: the table that came with the repository; may be missing.

    Raises:
        UserError: there are no results at all, or `summary.csv` is not one of ours.
    """
    own, old = (pd.DataFrame(columns=COLUMNS) for _ in range(2))
    if (Path(results_dir) / "summary.csv").exists():
        own = completed(results.summary(results_dir).replace("", np.nan), "summary")[COLUMNS]
    if kept.exists():
        texts = ["notebook", "preset", "encoder"]
        old = pd.read_csv(kept, dtype=dict.fromkeys([*texts, "labels_per_class"], str))
        old[texts] = old[texts].fillna("")
    if own.empty and old.empty:
        raise UserError(f"no results in {results_dir} nor in {kept.name}: get the repository "
                        "again, or run notebooks")
    if own.empty:
        return old, (f"{results_dir} holds no results yet: all numbers are those kept in "
                     "benchmarks/results.")
    replaced = pd.MultiIndex.from_frame(old[results.PLACE]).isin(
        pd.MultiIndex.from_frame(own[results.PLACE]))
    ran = sorted({name[:2] for name in own.notebook if name})
    frame = pd.concat([own, old[~replaced]], ignore_index=True)
    return frame, (f"{len(own)} numbers were measured here (notebooks {', '.join(ran)}), "
                   f"{(~replaced).sum()} are kept in benchmarks/results.")


def with_kept(results_dir: str | Path, numbers: Sequence[str], settings: Any,
              kept: Path = MEASURED) -> tuple[pd.DataFrame, str]:
    """The rows of some notebooks for one run's settings, and a sentence on where they are from.

    A notebook that has not run here with these settings gives the numbers kept in the repository,
    where they are of the same settings; their methods end in "(kept)".

    Args:
        results_dir: where the notebooks write `summary.csv`.
        numbers: of the notebooks, such as "03".
        settings: with dataset, preset, seed and changed.
        kept: the table that came with the repository.

    Raises:
        UserError: there is no `summary.csv`, or it is damaged or not one of ours.
    """
    rows = results.summary(results_dir, every_run=True)
    run = [str(getattr(settings, name)) for name in (*results.PLACE[1:], *results.RUN)]
    same = (rows[[*results.PLACE[1:], *results.RUN]].astype(str) == run).all(axis=1)
    own = rows[same & rows.notebook.str[:2].isin(numbers)]
    missing = sorted(set(numbers) - set(own.notebook.str[:2]))
    if not missing:
        return own, f"Notebooks {', '.join(numbers)} ran here."
    names = f"{'Notebooks' if len(missing) > 1 else 'Notebook'} {', '.join(missing)}"
    if run != KEPT_RUN:
        return own, (f"{names} did not run here with these settings, and the repository keeps "
                     "numbers of the digits, preset quick, only: those rows are missing.")
    old = pd.read_csv(kept, dtype={"notebook": str, "labels_per_class": str})
    old = old[old.notebook.str[:2].isin(missing) & (old.preset == run[1])
              & (old.dataset == run[0])]
    return (pd.concat([own, old.assign(method=old.method + " (kept)")], ignore_index=True),
            f"{names} did not run here: (kept) marks the repository's kept numbers, preset quick.")


def completed(table: pd.DataFrame, name: str, **facts: Any) -> pd.DataFrame:
    """The rows of the file `name` with `COLUMNS` and `seed`; the facts hold for all of them."""
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


def noise_trainings(folder: Path = KEPT) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Accuracy under noise of whole trainings, by method.

    Returns:
        for each method sigmas (S, normalised units) and accuracies (trainings x S, fractions), the
        mean over the draws of the noise.
    """
    parts = [pd.read_csv(path) for path in sorted(folder.glob("digits-noise*.csv"))]
    found = {}
    for method, own in pd.concat(parts).groupby("method", sort=False) if parts else ():
        wide = own.pivot_table(index="training_seed", columns="sigma", values="accuracy")
        found[method] = (wide.columns.to_numpy(), wide.to_numpy())
    return found


def learning_curves(path: Path = CURVES) -> dict[str, list[pd.DataFrame]]:
    """kNN accuracy on validation while training.

    Returns:
        for each method and encoder a table of minutes, knn and std (over seeds) for each budget.
    """
    found: dict[str, list[pd.DataFrame]] = {}
    for (method, _), curve in pd.read_csv(path).groupby(["method", "budget"], sort=False):
        found.setdefault(method, []).append(curve)
    return found


def speeds(folder: Path = KEPT) -> dict[str, dict[str, Any]]:
    """The JSON files of the benchmarks of speed, by name; each has rows of contenders."""
    return {name: content for name, content in contents_in(folder).items()
            if content.get("rows") and all("contender" in row for row in content["rows"])}


def contents_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON files of a folder that hold an object, by name without ending.

    Raises:
        UserError: a file is damaged; its numbers would be missing without a word.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            raise UserError(f"{path} cannot be read ({problem}): restore or remove it") from None
        if isinstance(content, dict):
            found[path.stem] = content
    return found


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
