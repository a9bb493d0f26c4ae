"""Figures that compare methods: bars, and dots for their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.report.plots.style import (
    GRAY,
    array,
    bar_rows,
    canvas,
    darker,
    deviation,
    headline,
    method_color,
    row_names,
    styled,
)
from helpers.report.stats import paired


@styled
def bars(rows: Sequence[Mapping[str, Any]], title: str, xlabel: str = "test accuracy (%)",
         chance: float | None = None, over: str = "runs", hatched: str = "") -> Figure:
    """One horizontal bar a method, its value written at its end.

    Args:
        rows: dicts with method, mean and std (fractions, shown as percentages; std None or NaN
            where there is none) and n, how many values the mean is of;
            `hatched` (true or missing) marks those that are not to be compared with the others.
        chance: what guessing would reach, as a fraction.
        over: what was repeated, for the note below: "runs", "draws of the noise".
        hatched: what a hatched bar is.
    """
    figure, axes = canvas(height=1.2 + 0.42 * max(len(rows), 2))
    ax, counts = axes[0, 0], {row.get("n") for row in rows}
    means, stds = ([100 * value for value in values]
                   for values in ((row["mean"] for row in rows), map(deviation, rows)))
    texts = [f"{mean:.1f}" + (f" ± {std:.1f}" if std else "")
             for mean, std in zip(means, stds, strict=True)]
    if len(counts) > 1:
        texts = [f"{text}  (n = {row.get('n')})" for text, row in zip(texts, rows, strict=True)]
    bar_rows(ax, [row["method"] for row in rows], means, texts, ends=np.add(means, stds))
    for bar, row in zip(ax.patches, rows, strict=True):
        if row.get("hatched"):
            bar.set(hatch="//", edgecolor="white")
    for place, (mean, std) in enumerate(zip(means, stds, strict=True)):
        if std:
            ax.errorbar(mean, place, xerr=std, color="black", lw=1, capsize=3)
    ax.set(xlim=(0, 128 if len(counts) > 1 else 115), xticks=range(0, 101, 20), xlabel=xlabel)
    _chance(ax, chance)
    same = f"n = {counts.pop()}" if len(counts) == 1 and counts != {None} else "n"
    alone = f"{same} run each" if same == "n = 1" else ""
    spread = f"mean ± standard deviation over {over}, {same} each" if any(stds) else alone
    why = f"hatched: {hatched}" if any(row.get("hatched") for row in rows) else ""
    headline(figure, title, " · ".join(filter(None, [spread, why])))
    return figure


def _chance(ax: Axes, value: float | None) -> None:
    if value is None:
        return
    ax.axvline(100 * value, color="black", lw=1, ls=(0, (4, 3)))
    ax.annotate("chance", (100 * value, 1), (0, 2), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="center", va="bottom", fontsize=8.5, color=GRAY)


@styled
def dot_panels(rows: Sequence[Mapping[str, Any]], title: str, chance: float | None = None,
               xlabel: str = "test accuracy (%)", note: str = "") -> Figure:
    """A panel for each protocol, in it a dot and its interval for each method, on one axis that
    begins where the numbers do.

    Args:
        rows: dicts with method, protocol, mean, low and high (fractions); a pair that is missing
            leaves a gap.
        chance: what guessing would reach, as a fraction; drawn where it lies within the numbers.
        note: what the interval is.
    """
    methods, protocols = (list(dict.fromkeys(row[key] for row in rows))
                          for key in ("method", "protocol"))
    figure, axes = canvas(1, len(protocols), height=1.5 + 0.4 * len(methods), sharey=True,
                          sharex=True)
    for ax, protocol in zip(axes[0], protocols, strict=True):
        for row in (row for row in rows if row["protocol"] == protocol):
            mean, low, high = (100 * row[key] for key in ("mean", "low", "high"))
            place, color = methods.index(row["method"]), method_color(row["method"])
            ax.plot([low, high], [place, place], color=color, lw=2)
            ax.plot(mean, place, "o", color=color, markersize=7)
            ax.annotate(f"{mean:.1f}", (mean, place), (0, 6), textcoords="offset points",
                        ha="center", fontsize=9)
        row_names(ax, methods)
        ax.set(xlabel=xlabel)
        ax.set_title(protocol, pad=14 if chance is not None else 6)
    if chance is not None and 100 * chance >= axes[0, 0].get_xlim()[0]:
        for ax in axes[0]:
            _chance(ax, chance)
    headline(figure, title, note)
    return figure


@styled
def paired_gains(gains: Mapping[str, Any], title: str, xlabel: str) -> Figure:
    """A row for each number of labels per class: a dot for each label subset, and their mean with
    its 95 % confidence interval.

    Args:
        gains: name of the row to one difference of accuracies (fractions) a subset; shown as
            percentage points.
    """
    figure, axes = canvas(height=1.3 + 0.42 * len(gains))
    ax, ink = axes[0, 0], method_color("BYOL")
    values = [100 * array(subsets) for subsets in gains.values()]
    for place, points in enumerate(values):
        ax.scatter(points, np.full(len(points), place), s=45, color=ink, alpha=0.45, linewidths=0)
        ax.plot(points.mean(), place, marker="|", markersize=20, markeredgewidth=3, color=ink)
        found = paired(points, np.zeros(len(points)))
        ax.plot([found.low, found.high], [place, place], color=ink, lw=2)
        ax.annotate(f"{points.mean():+.1f}", (1.01, place), xycoords=("axes fraction", "data"),
                    va="center")
    ax.axvline(0, color="black", lw=1)
    row_names(ax, list(gains))
    ax.set(ylabel="labels per class", xlabel=xlabel)
    counts = "–".join(map(str, sorted({len(points) for points in values})))
    headline(figure, title,
             "dot: one label subset, mark and number: mean, line: its 95 % confidence interval, "
             f"n = {counts} a row")
    return figure


@styled
def ways(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """What ways of training bring and cost: test accuracy, seconds, trainable parameters.

    Args:
        rows: dicts with method, scores (one fraction a label subset), seconds and parameters.
    """
    figure, axes = canvas(1, 3, height=1.7 + 0.42 * len(rows), sharey=True)
    names = [row["method"] for row in rows]
    scores = 100 * np.array([row["scores"] for row in rows])
    seconds, thousands = ([row[key] / unit for row in rows]
                          for key, unit in (("seconds", 1), ("parameters", 1000)))
    panels = (("test accuracy (%)", scores.mean(1), "{:.1f}"),
              ("seconds of one training", seconds, "{:.1f}"),
              ("trainable parameters (thousands)", thousands, "{:,.0f}"))
    for ax, (label, values, form) in zip(axes[0], panels, strict=True):
        ends = scores.max(1) if values is panels[0][1] else values
        bar_rows(ax, names, values, [form.format(value) for value in values], ends)
        ax.set(xlabel=label, xlim=(0, 1.3 * max(values)))
    for place, (name, points) in enumerate(zip(names, scores, strict=True)):
        axes[0, 0].scatter(points, [place] * len(points), s=22, zorder=3, linewidths=0.8,
                           edgecolor="white", color=[darker(method_color(name))])
    headline(figure, title,
             f"dot: one label subset, bar and number: mean, n = {scores.shape[1]} each")
    return figure
