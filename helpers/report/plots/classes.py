"""Figures of classes: which are taken for which, and how well each is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.report.plots.style import (
    FAINT,
    WIDTH,
    array,
    canvas,
    headline,
    method_color,
    styled,
)

MOST_NUMBERS = 20  # with more classes than this, numbers in a confusion matrix cannot be read
MARKERS = "osD^vP"


@styled
def confusion(matrix: Any, classes: Sequence[str], title: str) -> Figure:
    """How often each true class (row) was taken for each class (column).

    Args:
        matrix: classes x classes counts. The colour is the share of the row, the number the count.
    """
    import seaborn as sns  # a second, which most notebooks save

    matrix = array(matrix)
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    numbers = [[f"{count:g}" if count else "" for count in row] for row in matrix]
    side = min(WIDTH, max(4.6, 2.2 + 0.42 * len(classes)))
    figure, axes = canvas(width=side + 1, height=side)
    ax = axes[0, 0]
    sns.heatmap(shares, ax=ax, cmap="Blues", vmin=0, vmax=100, square=True, fmt="",
                annot=numbers if len(classes) <= MOST_NUMBERS else None, annot_kws={"fontsize": 9},
                cbar_kws={"label": "share of the true class (%)", "shrink": 0.8})
    _class_ticks(ax, np.arange(len(classes)) + 0.5, classes)
    ax.set_yticks(ax.get_xticks(), classes, rotation=0)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.spines[:].set_visible(True)
    headline(figure, title, f"numbers: images, none where empty, n = {matrix.sum():,.0f}")
    return figure


def _class_ticks(ax: Axes, places: Any, classes: Sequence[str]) -> None:
    """Class names along the x axis, slanted where they would touch."""
    slant = max(map(len, classes), default=0) > 3 or len(classes) > 20
    ax.set_xticks(places, classes, rotation=40 if slant else 0, ha="right" if slant else "center",
                  rotation_mode="anchor" if slant else "default")


@styled
def per_class(series: Mapping[str, Any], classes: Sequence[str], title: str) -> Figure:
    """Accuracy of each class, a mark for each method.

    Args:
        series: for each method, one accuracy in [0, 1] a class; NaN for a class without images.
    """
    figure, axes = canvas()
    ax, places = axes[0, 0], np.arange(len(classes))
    values = {method: 100 * array(scores).astype(float) for method, scores in series.items()}
    every = np.stack(list(values.values()))
    ax.vlines(places, every.min(0), every.max(0), color=FAINT, lw=14, zorder=1)
    for index, (method, scores) in enumerate(values.items()):
        beside = places + 0.16 * (index - (len(values) - 1) / 2)  # so that no mark hides another
        ax.scatter(beside, scores, s=55, marker=MARKERS[index % len(MARKERS)], label=method,
                   zorder=2 + index, color=method_color(method), edgecolor="white", linewidth=0.8)
    _class_ticks(ax, places, classes)
    ax.set(xlabel="class", ylabel="accuracy (%)", ylim=(None, min(102, ax.get_ylim()[1])))
    ax.grid(axis="x", visible=False)
    figure.legend(loc="outside right upper")
    headline(figure, title, f"n = {len(classes)} classes")
    return figure
