"""Figures of a hyper-parameter search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.report.plots.style import (
    GRAY,
    canvas,
    headline,
    method_color,
    plain_log,
    row_names,
    styled,
)

INK = method_color("noise-BYOL")
SCORE = "validation score (%)"


@styled
def search_history(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """The trials of a search: left each one's score at its evaluations, right the best so far.

    Args:
        rows: dicts with number, score (a fraction), pruned and evaluations (step to score), in
            order; the first is the usual recipe.
    """
    figure, axes = canvas(1, 2, height=3.8)
    left, right = axes[0]
    for row in rows:
        color, dash = (GRAY, ":") if row["pruned"] else (INK, "-")
        steps, scores = zip(*row["evaluations"].items(), strict=True)
        left.plot(steps, 100 * np.array(scores), marker="o", markersize=3, lw=1.2, color=color,
                  alpha=0.6, ls=dash)
    finished, cut = ([(row["number"] + 1, 100 * row["score"]) for row in rows
                      if bool(row["pruned"]) is pruned] for pruned in (False, True))
    for points, marker, color, label in ((finished, "o", INK, "finished"),
                                         (cut, "x", GRAY, "pruned")):
        right.plot(*np.reshape(points, (-1, 2)).T, marker, color=color, label=label)
    if finished:
        numbers, scores = np.transpose(finished)
        right.step(numbers, np.maximum.accumulate(scores), where="post", color=INK, lw=1.2)
        right.plot(*finished[0], "o", ms=11, mfc="none", mec="black", label="the usual recipe")
    left.set(xlabel="step", ylabel=SCORE, title="each trial, dotted: cut off")
    right.set(xlabel="trial", ylabel=SCORE, title="last score, line: the best so far")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=3,
                  fontsize=8.5)
    headline(figure, title, f"n = {len(rows)} trials, {len(cut)} of them pruned")
    return figure


@styled
def importances(values: Mapping[str, tuple[float, float, float]], title: str) -> Figure:
    """One dot a hyper-parameter: its share of the scores' variance, largest first, on a line from
    its smallest to its largest share when any one trial is left out.

    Args:
        values: name to share, smallest and largest share.
    """
    figure, axes = canvas(height=1.2 + 0.4 * len(values))
    order, ax = sorted(values, key=values.get, reverse=True), axes[0, 0]
    for place, name in enumerate(order):
        share, low, high = (100 * value for value in values[name])
        ax.plot([low, high], [place, place], color=INK, lw=2)
        ax.plot(share, place, "o", color=INK, markersize=7)
        ax.annotate(f"{share:.0f} %", (1.01, place), xycoords=("axes fraction", "data"),
                    va="center")
    row_names(ax, order)
    ax.set(xlabel="share of the scores' variance (%)", xlim=(0, 100))
    headline(figure, title, "dot: all finished trials, line: range with any one of them left out")
    return figure


@styled
def slices(rows: Sequence[Mapping[str, Any]], logarithmic: Sequence[str], title: str) -> Figure:
    """A panel a hyper-parameter: the score of every trial against its value.

    Args:
        rows: dicts with number, values, score (a fraction) and pruned.
        logarithmic: which hyper-parameters have a logarithmic axis; integers are drawn as
            categories.
    """
    names = list(rows[0]["values"])
    figure, axes = canvas(1, len(names), height=3.2, sharey=True)
    finished = [row for row in rows if not row["pruned"]]
    best = max(finished, key=lambda row: row["score"], default=None)
    for ax, name in zip(axes[0], names, strict=True):
        levels = sorted({row["values"][name] for row in rows})
        categories = all(isinstance(level, int) for level in levels)
        for row in rows:
            value = row["values"][name]
            point = (levels.index(value) if categories else value, 100 * row["score"])
            ax.plot(*point, "x" if row["pruned"] else "o", color=GRAY if row["pruned"] else INK,
                    alpha=0.8, markersize=6)
            if row is best:
                ax.plot(*point, "o", ms=12, mfc="none", mec="black")
        if categories:
            ax.set_xticks(range(len(levels)), [str(level) for level in levels])
            ax.margins(x=0.2)
        elif name in logarithmic:
            ax.set_xscale("log")
            plain_log(ax.xaxis, steps=(1,))
        ax.set_xlabel(name)
    axes[0, 0].set_ylabel(SCORE)
    headline(figure, title, f"n = {len(rows)} trials · ×: pruned, its last score · ring: the best")
    return figure
