"""Tables of the trials on photographs: methods in a race, changes of a recipe."""

from __future__ import annotations

import pandas as pd

from helpers.report.tables import markdown


def race(frame: pd.DataFrame) -> str:
    """A line for each contender and budget of `benchmarks/imagenette.py race`.

    Args:
        frame: contender, pixels, budget (minutes), chip, seed, epochs and a column of kNN
            accuracies (k = 20).
    """
    knn = next(column for column in frame if column.startswith("kNN, k = 20,"))
    lines = [{"budget, one core or GPU": f"{budget:g} min, {chip}, {pixels:g} px",
              "method": contender, "epochs": f"{own.epochs.mean():.1f}",
              "kNN, k = 20": _mean(100 * own[knn]), "n": len(own)}
             for (budget, chip, pixels, contender), own in frame.groupby(
                 ["budget", "chip", "pixels", "contender"])]
    return markdown(pd.DataFrame(lines))


def search(frame: pd.DataFrame) -> str:
    """A line for each change of a recipe: kNN on validation, its lead, and the cost.

    Args:
        frame: change, seed, knn and cpu_seconds, as `benchmarks/imagenette.py search` keeps them. A
            change "+ ..." belongs to the line above it, "instead: ..." to the last of those.
    """
    lines, base = [], None
    for change, own in frame.groupby("change", sort=False):
        own, lead = own.set_index("seed"), ""
        if base is not None and change.startswith(("+", "instead")):
            lead = _mean(100 * (own.knn - base.knn).dropna(), "+z.1f")
        seconds = own.cpu_seconds.mean()
        lines.append({"recipe": change, "kNN": _mean(100 * own.knn),
                      "against the recipe it changes": lead, "n": len(own),
                      "CPU time": f"{seconds:.0f} s" if seconds > 0 else ""})
        plain = base is None and own.steps.notna().any()
        if plain or change.startswith("+"):
            base = own
    return markdown(pd.DataFrame(lines))


def _mean(values: pd.Series, form: str = ".1f") -> str:
    """Mean ± standard deviation, or the one value."""
    mean = f"{values.mean():{form}}"
    return f"{mean} ± {values.std():.1f}" if len(values) > 1 else mean
