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


def whitened(frame: pd.DataFrame) -> str:
    """A line for each protocol and encoder, a column for each power, test accuracy.

    Args:
        frame: weights, power, protocol, labels_per_class, mean and std, as
            `benchmarks/imagenette.py whitened` keeps them.
    """
    text = [f"{100 * row.mean_:.1f}" + (f" ± {100 * row.std_:.1f}" if row.std_ > 0 else "")
            for row in frame.rename(columns={"mean": "mean_", "std": "std_"}).itertuples()]
    wide = frame.assign(text=text).pivot_table(
        index=["weights", "protocol", "labels_per_class"], columns="power", values="text",
        aggfunc="first", sort=False)
    wide = wide.rename(columns=lambda power: f"power {power:g}").reset_index()
    return markdown(wide.rename(columns=lambda name: name.replace("_", " ")))


def _mean(values: pd.Series, form: str = ".1f") -> str:
    """Mean ± standard deviation, or the one value."""
    mean = f"{values.mean():{form}}"
    return f"{mean} ± {values.std():.1f}" if len(values) > 1 else mean


def small_set(frame: pd.DataFrame) -> str:
    """A line for each network that was trained on few photographs, best first, and what a ViT
    lacks to the CNNs in a sentence.

    Args:
        frame: network, weights and test, a row a training, as `benchmarks/small_set.py` keeps them.
    """
    groups = sorted(frame.groupby("network"), key=lambda group: -group[1].test.mean())
    lines = [{"network": name, "weights, millions": f"{own.weights.iloc[0] / 1e6:.1f}",
              "test accuracy": _mean(100 * own.test), "n": len(own)} for name, own in groups]
    means = {name: 100 * own.test.mean() for name, own in groups}
    leads = [f"{name} {value - means[vit]:+z.1f}" for vit in means if vit.startswith("ViT")
             for name, value in means.items() if name != vit]
    said = f"\n\nAgainst the ViT, in points: {'; '.join(leads)}." if leads else ""
    return markdown(pd.DataFrame(lines)) + said
