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
    canvas,
    darker,
    headline,
    known,
    method_color,
    styled,
)


@styled
def bars(rows: Sequence[Mapping[str, Any]], title: str, xlabel: str = "test accuracy (%)",
         chance: float | None = None, over: str = "runs") -> Figure:
    """One horizontal bar a method, its value written at its end.

    Args:
        rows: dicts with method, mean and std (fractions, shown as percentages; std None or NaN
            where there is none) and n, how many values the mean is of.
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
        ax.annotate(text, (mean + spread, place), (5, 0), textcoords="offset points", va="center",
                    fontsize=9.5)
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


def _chance(ax: Axes, value: float | None) -> None:
    if value is None:
        return
    ax.axvline(100 * value, color="black", lw=1, ls=(0, (4, 3)))
    ax.annotate("chance", (100 * value, 1), (0, 2), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="center", va="bottom", fontsize=8.5, color=GRAY)


@styled
def grouped_bars(rows: Sequence[Mapping[str, Any]], title: str, chance: float | None = None,
                 xlabel: str = "test accuracy (%)") -> Figure:
    """A panel for each protocol, in it a bar for each method.

    Args:
        rows: dicts with method, protocol and mean (a fraction); a pair that is missing leaves a
            gap.
        chance: what guessing would reach, as a fraction.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    protocols = list(dict.fromkeys(row["protocol"] for row in rows))
    figure, axes = canvas(1, len(protocols), height=1.5 + 0.4 * len(methods), sharey=True)
    for ax, protocol in zip(axes[0], protocols, strict=True):
        for row in (row for row in rows if row["protocol"] == protocol):
            place, mean = methods.index(row["method"]), 100 * row["mean"]
            ax.barh(place, mean, height=0.7, color=method_color(row["method"]))
            ax.annotate(percent(mean, 0), (mean, place), (4, 0), textcoords="offset points",
                        va="center", fontsize=9)
        ax.set(xlim=(0, 125), xticks=range(0, 101, 25), yticks=range(len(methods)),
               yticklabels=methods)
        ax.set_title(protocol, pad=14 if chance is not None else 6)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(xlabel)
        _chance(ax, chance)
    axes[0, 0].invert_yaxis()
    headline(figure, title)
    return figure


@styled
def paired_gains(gains: Mapping[str, Any], title: str, xlabel: str,
                 ylabel: str = "labels per class") -> Figure:
    """A row for each setting, in it a dot for each draw and a bar at their mean.

    Args:
        gains: name of the setting to one difference of accuracies (fractions) a draw; shown as
            percentage points.
    """
    figure, axes = canvas(height=1.3 + 0.42 * len(gains))
    ax = axes[0, 0]
    values = [100 * array(draws) for draws in gains.values()]
    for place, points in enumerate(values):
        ink = method_color("BYOL")
        ax.scatter(points, np.full(len(points), place), s=45, color=ink, alpha=0.45, linewidths=0)
        ax.plot(points.mean(), place, marker="|", markersize=20, markeredgewidth=3, color=ink)
        ax.annotate(f"{points.mean():+.1f}", (1.01, place), xycoords=("axes fraction", "data"),
                    va="center")
    ax.axvline(0, color="black", lw=1)
    ax.set(yticks=range(len(gains)), yticklabels=list(gains), ylabel=ylabel, xlabel=xlabel)
    ax.grid(axis="y", visible=False)
    ax.margins(y=0.15)
    ax.invert_yaxis()
    counts = sorted({len(points) for points in values})
    headline(figure, title,
             f"dot: one draw, bar and number: mean, n = {'–'.join(map(str, counts))} draws a row")
    return figure


@styled
def ways(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """What ways of training bring and cost: test accuracy with every draw, seconds, trainable
    parameters.

    Args:
        rows: dicts with method, scores (one fraction a draw of labels), seconds and parameters.
    """
    figure, axes = canvas(1, 3, height=1.7 + 0.42 * len(rows), sharey=True)
    wanted = (("test accuracy (%)", [100 * np.mean(row["scores"]) for row in rows],
               "{:.1f}"), ("seconds of one training", [row["seconds"] for row in rows], "{:.1f}"),
              ("trainable parameters (thousands)", [row["parameters"] / 1000
                                                    for row in rows], "{:,.0f}"))
    for ax, (label, values, form) in zip(axes[0], wanted, strict=True):
        for place, (row, value) in enumerate(zip(rows, values, strict=True)):
            ax.barh(place, value, height=0.68, color=method_color(row["method"]))
            most = max(value, *(100 * score for score in row["scores"])) if ax is axes[0,
                                                                                       0] else value
            ax.annotate(form.format(value), (most, place), (6, 0), textcoords="offset points",
                        va="center")
        ax.set(xlabel=label, xlim=(0, 1.3 * max(values)))
        ax.grid(axis="y", visible=False)
    for place, row in enumerate(rows):
        points = [100 * score for score in row["scores"]]
        axes[0, 0].scatter(points, [place] * len(points), s=22, zorder=3, linewidths=0.8,
                           edgecolor="white", color=[darker(method_color(row["method"]))])
    axes[0, 0].set(yticks=range(len(rows)), yticklabels=[row["method"] for row in rows])
    axes[0, 0].invert_yaxis()
    headline(
        figure, title,
        f"dot: one draw of labels, bar and number: mean, n = {len(rows[0]['scores'])} draws each")
    return figure
