"""Figures that compare methods or classes: bars, dots, confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.plots.style import GRAY, WIDTH, array, canvas, class_ticks, headline, known, method_color, styled

MOST_NUMBERS = 20  # with more classes than this, numbers in a confusion matrix cannot be read
MARKERS = "osD^vP"


@styled
def bars(rows: Sequence[Mapping[str, Any]], title: str, xlabel: str = "test accuracy (%)",
         chance: float | None = None, over: str = "runs") -> Figure:
    """One horizontal bar a method, its value written at its end.

    Args:
        rows: dicts with method, mean and std (fractions, shown as percentages; std None or NaN where there
            is none) and n, how many values the mean is of.
        chance: what guessing would reach, as a fraction.
        over: what was repeated, for the note below: "runs", "draws of the noise".
    """
    figure, axes = canvas(height=1.2 + 0.42 * max(len(rows), 2))
    ax, counts = axes[0, 0], {row.get("n") for row in rows}
    for place, row in enumerate(rows):
        mean, spread = 100 * row["mean"], 100 * known(row.get("std"))
        ax.barh(place, mean, height=0.68, color=method_color(row["method"]))
        if spread:
            ax.errorbar(mean, place, xerr=spread, color="black", lw=1, capsize=3)
        text = percent(mean, spread) + (f"  (n = {row.get('n')})" if len(counts) > 1 else "")
        ax.annotate(text, (mean + spread, place), (5, 0), textcoords="offset points", va="center", fontsize=9.5)
    ax.set(yticks=range(len(rows)), yticklabels=[row["method"] for row in rows], xlabel=xlabel)
    ax.set(xlim=(0, 128 if len(counts) > 1 else 115), xticks=range(0, 101, 20))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    _chance(ax, chance)
    same = f"n = {counts.pop()}" if len(counts) == 1 and counts != {None} else "n"
    spreads = any(known(row.get("std")) for row in rows)
    headline(figure, title, f"mean ± standard deviation over {over}, {same} each" if spreads else
             f"{same} run each" if same == "n = 1" else "")
    return figure


def percent(mean: float, spread: float) -> str:
    """Percentages as a reader wants them: one decimal, the deviation where there is one."""
    return f"{mean:.1f} ± {spread:.1f}" if spread else f"{mean:.1f}"


def _chance(ax: Axes, value: float | None, name: str = "chance") -> None:
    if value is None:
        return
    ax.axvline(100 * value, color="black", lw=1, ls=(0, (4, 3)))
    ax.annotate(name, (100 * value, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
                ha="center", va="bottom", fontsize=8.5, color=GRAY)


@styled
def grouped_bars(rows: Sequence[Mapping[str, Any]], title: str, chance: float | None = None,
                 xlabel: str = "test accuracy (%)") -> Figure:
    """A panel for each protocol, in it a bar for each method.

    Args:
        rows: dicts with method, protocol and mean (a fraction); a pair that is missing leaves a gap.
        chance: what guessing would reach, as a fraction.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    protocols = list(dict.fromkeys(row["protocol"] for row in rows))
    figure, axes = canvas(1, len(protocols), height=1.5 + 0.4 * len(methods), sharey=True)
    for ax, protocol in zip(axes[0], protocols, strict=True):
        for row in (row for row in rows if row["protocol"] == protocol):
            place, mean = methods.index(row["method"]), 100 * row["mean"]
            ax.barh(place, mean, height=0.7, color=method_color(row["method"]))
            ax.annotate(percent(mean, 0), (mean, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
        ax.set(xlim=(0, 125), xticks=range(0, 101, 25), yticks=range(len(methods)), yticklabels=methods)
        ax.set_title(protocol, pad=14 if chance is not None else 6)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(xlabel)
        _chance(ax, chance)
    axes[0, 0].invert_yaxis()
    headline(figure, title)
    return figure


@styled
def paired_gains(gains: Mapping[str, Any], title: str, xlabel: str, ylabel: str = "labels per class") -> Figure:
    """A row for each setting, in it a dot for each draw and a bar at their mean.

    Args:
        gains: name of the setting to one difference of accuracies (fractions) a draw; shown as percentage points.
    """
    figure, axes = canvas(height=1.3 + 0.42 * len(gains))
    ax = axes[0, 0]
    values = [100 * array(draws) for draws in gains.values()]
    for place, points in enumerate(values):
        ink = method_color("BYOL")
        ax.scatter(points, np.full(len(points), place), s=45, color=ink, alpha=0.45, linewidths=0)
        ax.plot(points.mean(), place, marker="|", markersize=20, markeredgewidth=3, color=ink)
        ax.annotate(f"{points.mean():+.1f}", (1.01, place), xycoords=("axes fraction", "data"), va="center")
    ax.axvline(0, color="black", lw=1)
    ax.set(yticks=range(len(gains)), yticklabels=list(gains), ylabel=ylabel, xlabel=xlabel)
    ax.grid(axis="y", visible=False)
    ax.margins(y=0.15)
    ax.invert_yaxis()
    counts = sorted({len(points) for points in values})
    headline(figure, title, f"dot: one draw, bar and number: mean, n = {'–'.join(map(str, counts))} draws a row")
    return figure


@styled
def confusion(matrix: Any, classes: Sequence[str], title: str) -> Figure:
    """How often each true class (row) was taken for each class (column).

    Args:
        matrix: classes x classes counts. The colour is the share of the row, the number the count.
    """
    matrix = array(matrix)
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = min(WIDTH, max(4.6, 2.2 + 0.42 * len(classes)))
    figure, axes = canvas(width=side + 1, height=side)
    ax = axes[0, 0]
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    if len(classes) <= MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(matrix):
            if count:  # zeros would hide the mistakes
                ax.text(column, row, f"{count:g}", ha="center", va="center", fontsize=9,
                        color="white" if shares[row, column] > 55 else "black")
    class_ticks(ax, classes)
    ax.set(yticks=range(len(classes)), yticklabels=classes, xlabel="predicted class", ylabel="true class")
    ax.grid(False)
    ax.spines[:].set_visible(True)
    figure.colorbar(image, ax=ax, label="share of the true class (%)", shrink=0.8)
    headline(figure, title, f"numbers: pictures, none where empty, n = {matrix.sum():,.0f}")
    return figure


@styled
def per_class(series: Mapping[str, Any], classes: Sequence[str], title: str) -> Figure:
    """Accuracy of each class, a mark for each method.

    Args:
        series: for each method, one accuracy in [0, 1] a class; NaN for a class without pictures.
    """
    figure, axes = canvas()
    ax, places = axes[0, 0], np.arange(len(classes))
    values = {method: 100 * array(scores).astype(float) for method, scores in series.items()}
    every = np.stack(list(values.values()))
    ax.vlines(places, every.min(0), every.max(0), color="#bfbfbf", lw=3, zorder=1)
    for index, (method, scores) in enumerate(values.items()):
        ax.scatter(places, scores, s=55, marker=MARKERS[index % len(MARKERS)], label=method, zorder=2 + index,
                   color=method_color(method), edgecolor="white", linewidth=0.8)
    class_ticks(ax, classes)
    ax.set(xlabel="class", ylabel="accuracy (%)")
    ax.set_ylim(top=min(102, ax.get_ylim()[1]))
    ax.grid(axis="x", visible=False)
    figure.legend(loc="outside right upper")
    headline(figure, title, f"n = {len(classes)} classes")
    return figure
