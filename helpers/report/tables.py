"""Numbers to Markdown: the tables of the documentation, which notebook 10 shows as well.

Accuracies are fractions in the frames and percentages in the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from helpers.common.markup import escaped
from helpers.report.results import cell, in_words
from helpers.report.stats import gained

CONTENDERS = {"textbook": "DataLoader without workers, lightly's transform, fp32",
              "lightly + Lightning": "lightly's parts, Lightning's Trainer, two workers",
              "ours": "ours: views in batches, bf16, channels last",
              "compute limit": "ours with views that cost nothing"}
UNTRAINED = ("random encoder", "raw pixels")
BUDGET = r"-([\d.]+min)"  # in the name of a training's file
RIVAL = "lightly's"  # how the names of methods begin that are not ours
GPU = " on a GPU"  # how the name of an encoder ends that a GPU has trained
VALUE = "accuracy in %"
WIDTH, MOST_LINES = 80, 15  # columns of a terminal; lines where there is no headline
# what a reader calls the columns of a published number
PUBLISHED = {"method": "method", "encoder": "encoder", "pixels": "image size",
             "protocol": "protocol", "labels_per_class": "labels per class", "sigma": "sigma",
             "epochs": "epochs", "minutes": "minutes", "hardware": "hardware", "metric": "metric",
             "value": VALUE, "n": "n", "remark": "remark"}


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table without its index; what is missing leaves a gap.

    The cells are shown as they are; the headings are Markdown.
    """
    body = [[escaped(cell(value)) for value in line] for line in frame.to_numpy().tolist()]
    lines = [frame.columns, ["---"] * frame.shape[1], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(row: Mapping[str, Any]) -> str:
    """Mean and, where there is one, standard deviation of a row, in percent."""
    mean = f"{100 * row['mean']:.1f}"
    repeated = row["n"] > 1 and not pd.isna(row["std"])
    return f"{mean} ± {100 * row['std']:.1f}" if repeated else mean


def percent_interval(row: Mapping[str, Any]) -> str:
    """Mean of a row in percent and, where it was repeated, the 95 % confidence interval (t)."""
    mean = f"{100 * row['mean']:.1f}"
    found = gained(row["mean"], None if pd.isna(row["std"]) else row["std"], int(row["n"]))
    if pd.isna(found.low):
        return mean
    return f"{mean} ({100 * max(found.low, 0):.1f}–{100 * min(found.high, 1):.1f})"


def few_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of linear probes and fine-tuning, of notebooks 03 and 04."""
    return frame[frame.notebook.str[:2].isin(["03", "04"]) & (frame.metric == "test accuracy")
                 & ~frame.protocol.str.startswith(("kNN", "logistic", "MLP"))]


def under_noise(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of notebook 07 that belong to a sigma."""
    return frame[frame.notebook.str.startswith("07") & frame.sigma.notna()]


def label_rows(few: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `few_labels` as `plots.label_curve` takes them, without PCA, which is pixels."""
    probe = few.protocol == "linear probe"
    named = few.assign(method=few.method.where(~probe, few.method + ", linear probe"),
                       n=few.n.astype(int).astype(object))
    rows = named[~few.method.str.startswith("PCA")].to_dict("records")
    for row in rows:
        if row["labels_per_class"] != "all":
            row["labels_per_class"] = int(row["labels_per_class"])
    return rows


def photographs(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of encoders trained on Imagenette, with the baselines, and those with few labels.

    Trainings for minutes that a rival had as well are left out: they belong to a race.
    """
    frame = frame[frame.dataset == "imagenette"]
    compared = frame.file.str.endswith("-labels")
    budgets = frame.file.str.extract(BUDGET, expand=False)
    raced = budgets.isin(budgets[frame.method.str.startswith(RIVAL)].dropna())
    return frame[~compared & ~raced], frame[compared]


def by_labels(frame: pd.DataFrame) -> str:
    """Methods and protocols down, labels per class across."""
    return _grid(frame, "labels_per_class", "labels per class")


def by_sigma(frame: pd.DataFrame) -> str:
    """Methods and protocols down, sigmas across; trainings are counted in a method's name."""
    groups = frame.groupby(["file", "method"], sort=False)
    named = [own.assign(method=f"{method}, {own.n.max():.0f} trainings")
             if (own.over == "trainings").all() else own for (_, method), own in groups]
    return _grid(pd.concat(named), "sigma", "sigma")


def overview(frame: pd.DataFrame) -> str:
    """The headline accuracies as plain text of at most `WIDTH` columns, a line a method; where
    those of 03, 04 and 07 are not there, the first accuracies of other notebooks.

    Means alone: deviations and all other numbers stand in `summary.csv`.
    """
    parts = {f"test accuracy in %, by {title}": wide_table(rows, column, _mean)
             for column, title, rows in headlines(frame)}
    if not parts and len(frame):
        rows = frame[frame.metric.str.endswith("accuracy")].head(MOST_LINES)
        rows = rows.assign(method=rows.notebook.str[:2] + " " + rows.method,
                           protocol=rows.protocol.fillna(""), shown="")
        parts = {"accuracies": wide_table(rows, "shown", in_words)} if len(rows) else {}
    return "\n\n".join(f"{title}\n{_plain(wide)}" for title, wide in parts.items())


def headlines(frame: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """The columns that the headline tables have across, what they are, and the tables' rows."""
    if frame.empty:
        return []
    noisy = under_noise(frame)
    found = [("labels_per_class", "labels per class", few_labels(frame)),
             ("sigma", "sigma of the noise", noisy[noisy.metric == "test accuracy"])]
    return [part for part in found if len(part[2])]


def _mean(row: Mapping[str, Any]) -> str:
    return f"{100 * row['mean']:.1f}"


def _plain(wide: pd.DataFrame) -> str:
    """A table as text that a terminal can show: long names are cut."""
    numbers = sum(max(wide[name].fillna("").str.len().max(), len(str(name))) + 2 for name in wide)
    room = WIDTH - int(numbers)
    names = [name if len(name) <= room else f"{name[:room - 3]}..." for name in wide.index]
    text = wide.fillna("").set_axis(names).to_string()
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def _grid(frame: pd.DataFrame, column: str, heading: str) -> str:
    wide = wide_table(frame, column, percent).reset_index()
    across = [escaped(value) for value in wide.columns[1:]]
    return markdown(wide.set_axis([heading, *across], axis=1))


def wide_table(frame: pd.DataFrame, column: str,
               words: Callable[[Mapping[str, Any]], str]) -> pd.DataFrame:
    """Methods and protocols down, the values of `column` across, each cell in `words`."""
    line = frame.method + ", " + frame.protocol
    cells = frame.assign(line=line, cell=[words(row) for row in frame.to_dict("records")])
    wide = cells.pivot_table(index="line", columns=column, values="cell", aggfunc="last")
    wide = wide.reindex(index=line.unique(), columns=frame[column].unique())
    return wide.rename(columns=cell).rename_axis(index=None, columns=None)


def encoders(frame: pd.DataFrame) -> str:
    """Trained encoders and baselines: a line a protocol, a column an encoder.

    Args:
        frame: rows of one dataset, as `read_results` gives them; those under noise are left out.
    """
    frame = frame[frame.sigma.isna()]
    cells = frame.assign(cell=[percent(row) for row in frame.to_dict("records")])
    down, across = ["protocol", "labels_per_class"], ["file", "method"]
    wide = cells.pivot_table(index=down, columns=across, values="cell", aggfunc="last")
    wide = wide.reindex(index=pd.MultiIndex.from_frame(frame[down].drop_duplicates()),
                        columns=pd.MultiIndex.from_frame(frame[across].drop_duplicates()))
    heads = [_trained(own) for _, own in frame.groupby(across, sort=False)]
    wide.columns = heads
    return markdown(wide.reset_index(names=["protocol", "labels per class"]))


def _trained(rows: pd.DataFrame) -> str:
    """The heading of an encoder: what it is, what it was trained for, how often."""
    row = rows.iloc[0]
    if row.method in UNTRAINED:
        return escaped(row.method)
    words = [escaped(row.method), escaped(row.encoder)]
    if pd.notna(row.pixels):
        words.append(f"{row.pixels:g} px")
    if pd.notna(row.epochs):
        words.append(f"{row.epochs:.1f} epochs")
    if pd.notna(row.minutes):
        words.append(f"{row.minutes:.1f} min")
    if (rows.over == "trainings").all():
        words.append(f"**{rows.n.max():.0f} trainings**")
    return ", ".join(filter(None, words))


def literature(frame: pd.DataFrame) -> str:
    """Published numbers: a table for each system and dataset, under what all its rows share."""
    parts = []
    for (system, source, dataset), rows in frame.groupby(["system", "source", "dataset"],
                                                         sort=False):
        shown = rows.assign(n=rows.n.map(cell).replace("", "not stated"),
                            value=[f"{100 * value:.1f}" if value == value else "–"
                                   for value in rows.value])
        shown = shown[list(PUBLISHED)].map(cell).rename(columns=PUBLISHED)
        same = [name for name in shown if shown[name].nunique() == 1 and name != VALUE]
        common = " · ".join(f"{name}: {shown[name].iloc[0]}" for name in same
                            if shown[name].iloc[0])
        parts.append(f"[{system}]({source}), {dataset} ({common}):\n\n"
                     + markdown(shown.drop(columns=same)))
    return "\n\n".join(parts)


def benchmark(content: Mapping[str, Any]) -> str:
    """A benchmark of speed: its command, what it ran on, and the table of contenders."""
    machine = content["machine"]
    where = [f"{machine['cores']} CPU cores" if name == "cores" else machine[name]
             for name in ("cores", "chip", "precision") if name in machine]
    return f"`{content['command']}` on {', '.join(where)}:\n\n{speed(content)}"


def speed(content: Mapping[str, Any]) -> str:
    """Contenders of a benchmark of speed: how fast, and how many times as fast ours is."""
    rows = content["rows"]
    unit = next(key for key in rows[0] if key.endswith("_per_second"))
    # of a training; else it is views alone
    names = CONTENDERS if any(row["contender"] == "textbook" for row in rows) else {}
    lines = [[names.get(row["contender"], row["contender"]), f"{row[unit]:.0f}", _ratio(row)]
             for row in rows]
    heads = ["", unit.replace("_per_second", "/s"), "ours is"]
    return markdown(pd.DataFrame(lines, columns=heads))


def _ratio(row: Mapping[str, Any]) -> str:
    if row["contender"] == "ours":
        return ""
    if row["ours_is"] > 1:
        return f"{row['ours_is']:.1f} times as fast"
    return f"{row['ours_is']:.2f} of this limit"


def listing(frame: pd.DataFrame) -> str:
    """Every row of a table of measurements, folded up under how many they are."""
    results = [in_words(row) for row in frame.to_dict("records")]
    home = frame.notebook.where(frame.notebook != "", frame.file)
    shown = frame.assign(result=results, home=home)
    shown = shown[["dataset", "method", "protocol", "labels_per_class", "sigma", "metric", "result",
                   "n", "over", "home"]]
    shown = shown.rename(columns={"labels_per_class": "labels per class", "home": "from"})
    return f"<details><summary>{len(shown)} numbers</summary>\n\n{markdown(shown)}\n\n</details>"
