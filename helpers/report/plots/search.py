"""Figures of a hyper-parameter search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from helpers.report.plots.style import GRAY, canvas, headline, method_color, plain_log, styled

INK = method_color("noise-BYOL")


@styled
def search_history(rows: Sequence[Mapping[str, Any]], title: str,
                   first: str = "the usual recipe") -> Figure:
    """The trials of a search: left each one's score at its looks, right the best so far.

    Args:
        rows: dicts with number, score (a fraction), pruned and looks (step to score), in order.
        first: what the first trial was.
    """
    figure, axes = canvas(1, 2, height=3.8)
    left, right = axes[0]
    for row in rows:
        steps, scores = list(row["looks"]), [100 * score for score in row["looks"].values()]
        left.plot(steps, scores, marker="o", markersize=3, lw=1.2,
                  color=GRAY if row["pruned"] else INK, alpha=0.6, ls=":" if row["pruned"] else "-")
    finished = [row for row in rows if not row["pruned"]]
    cut = [row for row in rows if row["pruned"]]
    right.plot([row["number"] + 1 for row in finished], [100 * row["score"] for row in finished],
               "o", color=INK, label="finished")
    right.plot([row["number"] + 1 for row in cut], [100 * row["score"] for row in cut], "x",
               color=GRAY, label="pruned")
    if finished:
        best = 100 * np.maximum.accumulate([row["score"] for row in finished])
        right.step([row["number"] + 1 for row in finished], best, where="post", color=INK, lw=1.2)
        right.plot(finished[0]["number"] + 1, 100 * finished[0]["score"], "o", ms=11, mfc="none",
                   mec="black", label=first)
    left.set(xlabel="step", ylabel="validation score (%)", title="each trial, dotted: cut off")
    right.set(xlabel="trial", ylabel="validation score (%)",
              title="last score, line: the best so far")
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=3,
                  fontsize=8.5)
    headline(figure, title, f"n = {len(rows)} trials, {len(cut)} of them pruned")
    return figure


@styled
def importances(values: Mapping[str, float], title: str) -> Figure:
    """One bar a hyper-parameter: the share of the scores' spread that it explains, largest
    first."""
    figure, axes = canvas(height=1.0 + 0.4 * len(values))
    ax, order = axes[0, 0], sorted(values, key=lambda name: -values[name])
    for place, name in enumerate(order):
        ax.barh(place, 100 * values[name], color=INK, height=0.65)
        ax.annotate(f"{100 * values[name]:.0f} %", (100 * values[name], place), (5, 0),
                    textcoords="offset points", va="center")
    ax.set(yticks=range(len(order)), yticklabels=order, xlabel="share of the scores' spread (%)",
           xlim=(0, 112))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    headline(figure, title)
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
    best = max((row for row in rows if not row["pruned"]), key=lambda row: row["score"],
               default=None)
    for ax, name in zip(axes[0], names, strict=True):
        values = [row["values"][name] for row in rows]
        levels = sorted(set(values)) if all(isinstance(value, int) for value in values) else None
        for row, value in zip(rows, values, strict=True):
            place = levels.index(value) if levels else value
            ax.plot(place, 100 * row["score"], "x" if row["pruned"] else "o",
                    color=GRAY if row["pruned"] else INK, alpha=0.8, markersize=6)
            if row is best:
                ax.plot(place, 100 * row["score"], "o", ms=12, mfc="none", mec="black")
        if levels:
            ax.set_xticks(range(len(levels)), [str(level) for level in levels])
            ax.margins(x=0.2)
        elif name in logarithmic:
            ax.set_xscale("log")
            plain_log(ax.xaxis, steps=(1,))
        ax.set_xlabel(name)
        ax.set_ylabel("validation score (%)" if name == names[0] else "")
    headline(figure, title, f"n = {len(rows)} trials · ×: pruned, its last score · ring: the best")
    return figure
