"""What a training has reached by when: measured curves, and the single points that others
publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from helpers.report.plots.style import (
    GRAY,
    array,
    canvas,
    headline,
    label_ends,
    line_styles,
    plain_log,
    styled,
)
from helpers.report.plots.sweeps import BAND


@styled
def accuracy_over_time(curves: Mapping[str, Sequence[tuple[Any, Any, Any]]],
                       points: Sequence[Mapping[str, Any]], title: str, ylabel: str,
                       note: str) -> Figure:
    """Accuracy against minutes of training, on a logarithmic axis.

    Args:
        curves: what was trained to its budgets, each a curve of (minutes, accuracies as fractions,
            their deviations, drawn as a band), all in one look; the longest is named at its end.
            Looks in the first second have no place on the axis and are left out.
        points: published dicts with name, minutes and mean (a fraction), drawn as grey crosses.
        note: what keeps the two from being compared, and what n is.
    """
    figure, axes = canvas(height=4.6)
    ax = axes[0, 0]
    styles, ends = line_styles(curves), []
    for name, budgets in curves.items():
        for minutes, values, spread in sorted(budgets, key=lambda curve: max(curve[0])):
            later = array(minutes) > 1 / 60
            minutes, values, spread = array(
                minutes)[later], 100 * array(values)[later], 100 * array(spread)[later]
            ax.fill_between(minutes, values - spread, values + spread, color=styles[name]["color"],
                            alpha=BAND, lw=0)
            ax.plot(minutes, values, **styles[name], marker="o", markersize=3.5)
        ends.append((minutes[-1], values[-1], name, styles[name]["color"]))
    for point in points:
        ax.plot(point["minutes"], 100 * point["mean"], "x", color=GRAY, markersize=7, mew=1.8)
        ends.append((point["minutes"], 100 * point["mean"], point["name"], GRAY))
    ax.set_xscale("log")
    plain_log(ax.xaxis)
    ax.set(xlabel="minutes of training (log scale, each on its own machine)", ylabel=ylabel)
    ax.margins(y=0.08)
    label_ends(ax, ends)
    headline(figure, title, note)
    return figure
