"""Bars and tables of numbers: methods side by side, classes, gains draw by draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from helpers.plots.style import color, figure


def words(mean: float, std: float | None) -> str:
    """A fraction as a percentage with one decimal, with its deviation where there is one."""
    return f"{100 * mean:.1f}" + (f" ± {100 * std:.1f}" if std else "")


@figure
def bars(rows: Sequence[Mapping[str, Any]], title: str, xlabel: str = "test accuracy (%)",
         chance: float | None = None) -> Figure:
    """Horizontal bars of rows with `method`, `mean`, `std` (or None) and `n`, the value at each bar's end."""
    fig, ax = plt.subplots(figsize=(9, 0.9 + 0.5 * len(rows)))
    for place, row in enumerate(rows):
        ax.barh(place, 100 * row["mean"], xerr=100 * row["std"] if row["std"] else None, height=0.62,
                color=color(row["method"], place), error_kw=dict(ecolor="#333333", capsize=3))
        ax.text(100 * (row["mean"] + (row["std"] or 0)) + 1, place, words(row["mean"], row["std"]), va="center")
    _chance(ax, chance)
    ax.set(yticks=range(len(rows)), yticklabels=[row["method"] for row in rows], xlabel=xlabel, xlim=(0, 112), title=title)
    ax.set_xticks(range(0, 101, 20))
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    fig.tight_layout()
    return fig


@figure
def grouped_bars(rows: Sequence[Mapping[str, Any]], title: str, chance: float | None = None,
                 xlabel: str = "test accuracy (%)") -> Figure:
    """Rows with `method`, `protocol` and `mean`: a group of bars per protocol, a bar per method."""
    protocols, methods = list(dict.fromkeys(r["protocol"] for r in rows)), list(dict.fromkeys(r["method"] for r in rows))
    fig, axes = plt.subplots(1, len(protocols), figsize=(9, 1.2 + 0.42 * len(methods)), sharey=True, squeeze=False)
    for ax, protocol in zip(axes[0], protocols, strict=True):
        for place, method in enumerate(methods):
            mean = next(r["mean"] for r in rows if r["method"] == method and r["protocol"] == protocol)
            ax.barh(place, 100 * mean, height=0.68, color=color(method, place))
            ax.text(100 * mean - 2, place, words(mean, None), va="center", ha="right", color="white", fontweight="bold")
        _chance(ax, chance, note=False)
        ax.set(xlim=(0, 101), xlabel=xlabel, yticks=range(len(methods)), yticklabels=methods)
        ax.set_title(protocol, fontsize=10.5, fontweight="normal")
        ax.grid(False, axis="y")
    axes[0, 0].invert_yaxis()
    fig.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    fig.tight_layout()
    return fig


@figure
def confusion(matrix: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Counts, row = true class, column = prediction; coloured by the share of the row, so that classes compare."""
    size = min(9.0, 3.2 + 0.45 * len(classes))
    fig, ax = plt.subplots(figsize=(size + 0.6, size * 0.86))
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    sns.heatmap(share, annot=matrix, fmt="d", cmap="Blues", vmin=0, vmax=1, ax=ax, xticklabels=classes,
                yticklabels=classes, linewidths=0.5, annot_kws=dict(fontsize=9),
                cbar_kws=dict(label="share of the true class"))
    ax.set(xlabel="predicted class", ylabel="true class", title=title)
    ax.tick_params(axis="y", rotation=0)
    fig.tight_layout()
    return fig


@figure
def per_class(series: Mapping[str, np.ndarray], classes: Sequence[str], title: str) -> Figure:
    """Accuracy of each class (fractions) for one or more methods, as dots joined by a line per class."""
    fig, ax = plt.subplots(figsize=(9, 3.4))
    for place, (name, values) in enumerate(series.items()):
        offset = (place - (len(series) - 1) / 2) * 0.16
        ax.plot(np.arange(len(classes)) + offset, 100 * np.asarray(values), "o", ms=8, color=color(name, place), label=name)
    low = 100 * np.nanmin([np.nanmin(v) for v in series.values()])
    ax.set(xticks=range(len(classes)), xticklabels=classes, ylabel="test accuracy (%)", xlabel="class",
           ylim=(max(0, low - 8), 101.5), title=title)
    ax.tick_params(axis="x", rotation=30 if max(map(len, classes)) > 3 else 0)
    ax.legend(loc="lower right", ncols=len(series))
    fig.tight_layout()
    return fig


@figure
def paired_gains(gains: Mapping[str, np.ndarray], title: str, xlabel: str) -> Figure:
    """One row per setting (labels per class), one dot per draw: fractions, shown as percentage points."""
    fig, ax = plt.subplots(figsize=(9, 1.2 + 0.45 * len(gains)))
    for place, values in enumerate(gains.values()):
        points = 100 * np.asarray(values)
        ax.plot(points, np.full(len(points), place), "o", ms=8, alpha=0.55, color="#0072B2")
        ax.plot(points.mean(), place, "|", ms=22, mew=3, color="#0072B2")
    ax.axvline(0, color="#333333", lw=1)
    ax.set(yticks=range(len(gains)), yticklabels=list(gains), ylabel="labels per class", xlabel=xlabel, title=title)
    ax.text(0.995, 0.02, "dot: one draw, bar: mean", transform=ax.transAxes, ha="right", color="#666666", fontsize=9)
    ax.invert_yaxis()
    ax.margins(y=0.15)
    fig.tight_layout()
    return fig


def _chance(ax: plt.Axes, chance: float | None, note: bool = True) -> None:
    if chance is not None:
        ax.axvline(100 * chance, color="#333333", ls=":", lw=1.2)
        if note:
            ax.annotate("chance", (100 * chance, 1), xycoords=("data", "axes fraction"), xytext=(3, -2),
                        textcoords="offset points", fontsize=8.5, va="top", color="white", fontweight="bold")
