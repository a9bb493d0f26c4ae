"""Figures of a training without labels: is it learning, and has it collapsed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.common.collapse import LOWEST_RANK, LOWEST_STD
from helpers.report.plots.lines import Monitor, draw_line
from helpers.report.plots.style import (
    GRAY,
    WIDTH,
    WRONG,
    array,
    canvas,
    headline,
    line_styles,
    method_color,
    styled,
)

# What counts as collapsed, and what the numbers are, by the end of a column's name.
LIMITS = {"std": (LOWEST_STD, "1 = fills the sphere"), "rank": (LOWEST_RANK, "directions in use")}
COSINE = "loss (-1: all agree)"  # of BYOL
WATCH = [["loss"] * 3 + ["momentum"] * 3, ["knn"] * 2 + ["std"] * 2 + ["rank"] * 2]
KINDS = {"features": ("feature_std", "rank", "-"),
         "projections": ("projection_std", "projection_rank", "--")}


@styled
def pretraining_watch(losses: Sequence[float], momentum: Sequence[float], monitor: Monitor,
                      method: str = "BYOL") -> Figure:
    """What a training without labels shows of itself.

    Args:
        losses, momentum: one number a step.
        monitor: dicts with step, knn (accuracy in [0, 1]), feature_std, rank and dimensions, and
            projection_std and projection_rank where there is a projector; at least one.
        method: whose colour the curves have.
    """
    figure, axes = plt.subplot_mosaic(WATCH, figsize=(WIDTH, 6.0), layout="constrained")
    color = method_color(method)
    unit = "cross-entropy (nats)" if method == "DINO" else COSINE
    smooth = _loss(axes["loss"], losses, color, unit)
    axes["loss"].set_title(f"loss (bold: mean of {smooth} steps)")
    axes["momentum"].plot(np.arange(1, len(momentum) + 1), momentum, color=color)
    axes["momentum"].set(title="momentum of the target network", ylabel="momentum (1 = frozen)")
    axes["momentum"].ticklabel_format(useOffset=False)
    _accuracy(axes["knn"], monitor, color)
    for name, (std, rank, dash) in KINDS.items():
        if std in monitor[-1]:
            _column(axes["std"], monitor, std, color, dash, name)
            _column(axes["rank"], monitor, rank, color, dash, name)
    _limit(axes["std"], "std", "standard deviation")
    _limit(axes["rank"], "rank", f"effective rank (features: of {monitor[0]['dimensions']:g})")
    for ax in axes.values():
        ax.set(xlabel="step", xlim=(0, None))
    headline(figure, "Pretraining under watch",
             f"n = {len(losses):,} steps, {len(monitor)} evaluations on validation")
    return figure


@styled
def collapse_watch(runs: Mapping[str, tuple[Sequence[float], Monitor]], title: str) -> Figure:
    """Trainings side by side: loss, deviation and rank of the projections, kNN.

    Args:
        runs: name to losses, one a step, and the rows of its monitor, see `pretraining_watch`.
    """
    figure, axes = canvas(2, 2, height=5.6)
    (loss, std), (rank, knn) = axes
    for name, style in line_styles(runs).items():
        losses, monitor = runs[name]
        color, dash = style["color"], style["linestyle"]
        _loss(loss, losses, color)
        _column(std, monitor, "projection_std", color, dash, name)
        _column(rank, monitor, "projection_rank", color, dash, name)
        _column(knn, monitor, "knn", color, dash, name, factor=100)
    loss.set_title("loss")
    _limit(std, "std", "standard deviation of the projections")
    _limit(rank, "rank", "effective rank of the projections")
    knn.set(title="kNN on validation, from the features", ylabel="accuracy (%)")
    knn.legend(loc="lower right")
    for ax in axes.flat:
        ax.set(xlabel="step", xlim=(0, None))
    headline(figure, title, "one training each")
    return figure


def _loss(ax: Axes, losses: Sequence[float], color: str, unit: str = COSINE) -> int:
    """Losses and their running mean; returns how many steps that is over."""
    smooth = 2 * (len(losses) // 80) + 1
    steps = np.arange(1, len(losses) + 1)
    draw_line(ax, steps, array(losses).astype(float), smooth, {"color": color})
    ax.set_ylabel(unit)
    return smooth


def _column(ax: Axes, monitor: Monitor, key: str, color: str, dash: Any, name: str,
            factor: float = 1) -> None:
    steps, values = ([row.get(column, np.nan) for row in monitor] for column in ("step", key))
    ax.plot(steps, factor * np.array(values), color=color, ls=dash, marker="o", markersize=4,
            label=name)


def _limit(ax: Axes, kind: str, title: str) -> None:
    """Shade where a representation counts as collapsed; the legend has a room of its own above."""
    lowest, unit = LIMITS[kind]
    ax.set(title=title, ylabel=unit, ylim=(0, 1.4 * ax.get_ylim()[1]))
    ax.axhspan(0, lowest, color=WRONG, alpha=0.18, lw=0)
    ax.annotate(f"collapsed below {lowest:g}", (0.98, lowest), (0, 2), ha="right", fontsize=8.5,
                xycoords=("axes fraction", "data"), textcoords="offset points", color=GRAY)
    ax.legend(loc="upper right")


def _accuracy(ax: Axes, monitor: Monitor, color: str) -> None:
    steps, knn = [row["step"] for row in monitor], [100 * row["knn"] for row in monitor]
    ax.plot(steps, knn, color=color, marker="o", markersize=4)
    highest = knn[-1] >= max(knn[-3:])  # or the number would lie on the line
    ax.annotate(f"{knn[-1]:.1f} %", (steps[-1], knn[-1]), (0, 5 if highest else -6),
                textcoords="offset points", ha="right", va="bottom" if highest else "top",
                fontsize=9.5)
    if steps[0] == 0:
        ax.axhline(knn[0], color=method_color("random encoder"), lw=1.2, ls="--")
        ax.annotate(f"random encoder, {knn[0]:.1f} %", (0.98, knn[0]), (0, 3),
                    xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
                    fontsize=9, color=GRAY)
    ax.set(title="kNN on validation", ylabel="accuracy (%)")
    ax.margins(y=0.12)
