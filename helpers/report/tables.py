"""Numbers to Markdown: the tables and sentences of the README, which notebook 10 shows as well.

Accuracies are fractions in the frames and percentages in the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from helpers.report.results import written
from helpers.report.stats import paired

CONTENDERS = {"textbook": "DataLoader without workers, lightly's transform, fp32",
              "lightly + Lightning": "lightly's parts, Lightning's Trainer, two workers",
              "ours": "ours: views in batches, bf16, channels last",
              "compute limit": "ours with views that cost nothing"}
UNTRAINED = ("random encoder", "raw pixels")
HEAVY = 1.6  # the sigma at which README and notebook 07 compare
VALUE = "accuracy in %"


def _number(unit: str = "", missing: str = "") -> Callable[[Any], str]:
    """How a number of a publication is written."""
    return lambda value: missing if pd.isna(value) else f"{value:g}{unit}"


def _word(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


# The columns of a published number: what a reader calls them, and how a value is written.
SAID = {
    "method": ("method", _word), "encoder": ("encoder", _word),
    "pixels": ("images", _number(" px")), "protocol": ("protocol", _word),
    "labels_per_class": ("labels per class", _word), "sigma": ("sigma", _number()),
    "epochs": ("epochs", _number()), "minutes": ("minutes", _number()), "hardware": ("on", _word),
    "metric": ("metric", _word), "value": (VALUE, lambda value: "–"
                                           if pd.isna(value) else f"{100 * value:.1f}"),
    "n": ("n", _number(missing="not stated")), "remark": ("remark", _word)
}


def table(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def percent(row: Mapping[str, Any]) -> str:
    """Mean and, where there is one, standard deviation of a row, in percent."""
    several = row["n"] > 1 and not pd.isna(row["std"])
    return f"{100 * row['mean']:.1f}" + (f" ± {100 * row['std']:.1f}" if several else "")


def grid(frame: pd.DataFrame, column: str, heading: str) -> str:
    """Methods and protocols down, the values of `column` across."""
    values = list(dict.fromkeys(frame[column]))
    lines = []
    for (method, protocol), rows in frame.groupby(["method", "protocol"], sort=False):
        cells = {row[column]: percent(row) for _, row in rows.iterrows()}
        lines.append([f"{method}, {protocol}", *(cells.get(value, "") for value in values)])
    return table([heading, *(f"{v:g}" if isinstance(v, float) else v for v in values)], lines)


def story(frame: pd.DataFrame) -> str:
    """The two tables of one dataset and preset, from the rows of notebooks 03, 04 and 07; of what
    is there."""
    few, noise, parts = few_labels(frame), under_noise(frame), []
    if len(few):
        parts += [
            "Test accuracy in %, mean ± standard deviation over label draws (all: trainings; "
            f"{counts(few)}):",
            grid(few, "labels_per_class", "labels per class")
        ]
    if len(noise):
        parts += [
            f"Under Gaussian noise, all labels, {counts(noise)}; sigma in normalised units "
            "(images in "
            "[-1, 1]):",
            grid(noise, "sigma", "sigma")
        ]
    return "\n\n".join(parts) + "\n"


def few_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Linear probes and fine-tuning of notebooks 03 and 04."""
    return frame[frame.notebook.str[:2].isin(["03", "04"]) & (frame.metric == "test accuracy")
                 & ~frame.protocol.str.startswith(("kNN", "logistic", "MLP"))]


def under_noise(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of notebook 07 that belong to a sigma."""
    return frame[frame.notebook.str.startswith("07") & frame.sigma.notna()]


def listing(frame: pd.DataFrame) -> str:
    """Every row of a table of measurements, folded up under how many they are."""
    lines = [[
        row["dataset"], row["method"], row["protocol"], row["labels_per_class"],
        "" if pd.isna(row["sigma"]) else f"{row['sigma']:g}", row["metric"],
        written(row), f"{row['n']:g}", row["over"], row["notebook"] or row["file"]
    ] for _, row in frame.iterrows()]
    header = [
        "dataset", "method", "protocol", "labels per class", "sigma", "metric", "result", "n",
        "over", "from"
    ]
    return (f"<details><summary>{len(lines)} "
            f"numbers</summary>\n\n{table(header, lines)}\n\n</details>")


def counts(frame: pd.DataFrame) -> str:
    """What n is, in words."""
    return "n = " + " or ".join(str(n) for n in sorted({int(n) for n in frame.n}))


def duel(trainings: Mapping[str, tuple[Any, Any]], first: str = "noise-BYOL",
         second: str = "raw pixels") -> str:
    """Two methods at heavy noise over several trainings, in a sentence; empty where there was one
    training only.

    Args:
        trainings: what `gathering.noise_trainings` finds.
    """
    if not {first, second} <= set(trainings):
        return ""
    at = int(np.argmin(np.abs(trainings[first][0] - HEAVY)))
    own, other = (100 * trainings[name][1][:, at] for name in (first, second))
    if len(own) < 2 or len(own) != len(other):
        return ""
    lead = paired(own / 100, other / 100)
    verdict = lead.choose(f"{first} is ahead", f"{second} is ahead", "no clear difference")
    return (
        f"Over n = {len(own)} trainings, each with its own split "
        "(`benchmarks/results/digits-noise-seeds.csv`), "
        f"{first} has {own.mean():.1f} ± {own.std(ddof=1):.1f} % at sigma {HEAVY} and {second} "
        f"{other.mean():.1f} ± {other.std(ddof=1):.1f} %: {verdict} ({lead.why}).")


def encoders(frame: pd.DataFrame) -> str:
    """Trained encoders and baselines side by side: a line a protocol, a column an encoder (of its
    trainings the mean).

    Args:
        frame: rows of one dataset without a sigma, as `gathering.measured` has them; a column for
            each file and method.
    """
    columns = {name: own for name, own in frame.groupby(["file", "method"], sort=False)}
    lines = []
    for (protocol, count), _ in frame.groupby(["protocol", "labels_per_class"], sort=False):
        cells = [
            own[(own.protocol == protocol) & (own.labels_per_class == count)]
            for own in columns.values()
        ]
        lines.append(
            [protocol, count, *(percent(cell.iloc[0]) if len(cell) else "" for cell in cells)])
    heads = [
        ", ".join(
            filter(None, (method, *_training(own)[:2],
                          f"**{_trainings(own)} trainings**" if trained_often(own) else "")))
        for (_, method), own in columns.items()
    ]
    return table(["protocol", "labels per class", *heads], lines)


def trained_often(rows: pd.DataFrame) -> bool:
    """Whether all that is said of an encoder is a mean over trainings of it."""
    return bool((rows.over == "trainings").all())


def side_by_side(frame: pd.DataFrame) -> str:
    """A line for each contender and budget of `benchmarks/imagenette.py race`.

    Args:
        frame: contender, pixels, budget (minutes), chip, seed, epochs and a column of kNN
            accuracies (k = 20).
    """
    knn = next(column for column in frame if column.startswith("kNN, k = 20,"))
    lines = [[
        f"{budget:g} min, {chip}, {pixels:g} px", contender, f"{own.epochs.mean():.1f}",
        _mean_of(100 * own[knn]), f"{len(own)}"
    ] for (budget, chip, pixels,
           contender), own in frame.groupby(["budget", "chip", "pixels", "contender"])]
    return table(["budget, one core or GPU", "method", "epochs", "kNN, k = 20", "n"], lines)


def photographs(frame: pd.DataFrame) -> str:
    """A line for each training on photographs and each baseline, then what its encoder is worth
    with few labels.

    Args:
        frame: rows of one dataset, as `gathering.measured` has them.
    """
    # files that compare ways to use labels
    trained = frame.file[frame.protocol == "training"].unique()
    runs = frame[~frame.file.isin(trained) & frame.sigma.isna() & frame.protocol.str.startswith(
        ("kNN", "linear"))]
    heads = list(dict.fromkeys(zip(runs.protocol, runs.labels_per_class, strict=True)))
    lines = []
    for (_, method), own in runs.groupby(["file", "method"], sort=False):
        cells = {(row["protocol"], row["labels_per_class"]): percent(row)
                 for _, row in own.iterrows()}
        lines.append([method, *_training(own), *(cells.get(head, "") for head in heads)])
    over = [f"{kind} ({counts(rows)})" for kind in ("trainings", "label draws")
            for rows in [runs[runs.over == kind]] if len(rows)]
    note = f"± over {' or over '.join(over)}:" if over else "one run each:"
    header = ["method", "encoder", "trained for", "trainings", *_heads(heads)]
    parts = [f"Test accuracy in %, {note}\n\n{table(header, lines)}"] if lines else []
    for name in trained:
        few = frame[frame.file == name]
        parts.append(
            f"One encoder, few labels, ± over label draws (all: trainings; {counts(few)}):\n\n"
            + grid(few, "labels_per_class", "labels per class"))
    return "\n\n".join(parts) + "\n"


def _training(rows: pd.DataFrame) -> tuple[str, str, str]:
    """Encoder, budget and number of trainings of a line."""
    row = rows.iloc[0]
    if row.method in UNTRAINED:
        return row.encoder, "", ""
    budget = [f"{row.epochs:.1f} epochs"] * pd.notna(row.epochs) + [f"{row.minutes:.1f} min"
                                                                    ] * pd.notna(row.minutes)
    pixels = [f"{row.pixels:g} px"] * pd.notna(row.pixels)
    return ", ".join([row.encoder] * bool(row.encoder)
                     + pixels), ", ".join(budget), _trainings(rows)


def _trainings(rows: pd.DataFrame) -> str:
    return f"{rows.n.max():.0f}" if (rows.over == "trainings").any() else "1"


def _heads(pairs: list[tuple[str, str]]) -> list[str]:
    """Headings of columns by protocol and labels per class; a protocol is named once, at its first
    column."""
    before = [None, *(protocol for protocol, _ in pairs)]
    return [labels if protocol == last else protocol if labels == "all"
            else f"{protocol}, {labels} label{'s' * (labels != '1')} a class"
            for (protocol, labels), last in zip(pairs, before, strict=False)]


def trials(frame: pd.DataFrame) -> str:
    """A line for each change of a recipe: kNN on validation, the lead over the line it changes, and
    the cost.

    Args:
        frame: change, seed, knn and cpu_seconds, as `benchmarks/imagenette.py search` keeps them. A
            change "+ ..." belongs to the line above it, "instead: ..." to the last of those.
    """
    lines, base = [], None
    for change, own in frame.groupby("change", sort=False):
        own = own.set_index("seed")
        lead = 100 * (own.knn - base.knn).dropna() if base is not None and change.startswith(
            ("+", "instead")) else []
        cells = [_mean_of(100 * own.knn), _mean_of(lead, "+z.1f") if len(lead) else ""]
        seconds = own.cpu_seconds.mean()
        lines.append([change, *cells, f"{len(own)}", f"{seconds:.0f} s" if seconds > 0 else ""])
        if change.startswith("+") or (len(own.steps.dropna()) and base is None):
            base = own
    return table(["recipe", "kNN", "against the recipe it changes", "n", "CPU time"], lines)


def _mean_of(values: pd.Series, form: str = ".1f") -> str:
    """Mean ± deviation, or the one value."""
    return f"{values.mean():{form}}" + (f" ± {values.std():.1f}" if len(values) > 1 else "")


def literature(frame: pd.DataFrame) -> str:
    """Published numbers: a table for each system and dataset, under what all its rows have in
    common."""
    parts = []
    for (system, source, dataset), rows in frame.groupby(["system", "source", "dataset"],
                                                         sort=False):
        shown = {
            heading: [say(value)
                      for value in rows[column]]
            for column, (heading, say) in SAID.items()
        }
        same = {heading: values[0] for heading, values in shown.items() if len(set(values)) == 1}
        own = {
            heading: values
            for heading, values in shown.items()
            if len(set(values)) > 1 or heading == VALUE
        }
        common = " · ".join(f"{heading}: {value}" for heading, value in same.items()
                            if value and heading != VALUE)
        parts.append(f"[{system}]({source}), {dataset} ({common}):\n\n"
                     + table(own, zip(*own.values(), strict=True)))
    return "\n\n".join(parts)


def speed(content: Mapping[str, Any]) -> str:
    """Contenders of a throughput benchmark: how fast, and how many times as fast ours is."""
    unit = next(key for key in content["rows"][0] if key.endswith("_per_second"))
    # of a training; else it is views alone
    steps = any(row["contender"] == "textbook" for row in content["rows"])
    lines = [[
        CONTENDERS.get(row["contender"], row["contender"]) if steps else row["contender"],
        f"{row[unit]:.0f}",
        _times(row)
    ] for row in content["rows"]]
    return table(["", unit.replace("_per_second", "/s"), "ours is"], lines)


def _times(row: Mapping[str, Any]) -> str:
    if row["contender"] == "ours":
        return ""
    return f"{row['ours_is']:.1f} times as fast" if row[
        "ours_is"] > 1 else f"{row['ours_is']:.2f} of this limit"
