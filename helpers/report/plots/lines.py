"""Figures of a training: curves over its steps, and what tells a collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.report.plots.style import (
    GRAY,
    array,
    canvas,
    class_colors,
    darker,
    headline,
    label_ends,
    line_styles,
    method_color,
    plain_log,
    reference_line,
    styled,
)

FEW = 30  # up to this many points are marked one by one
LOWEST_STD, LOWEST_RANK = 0.1, 2.0  # below one of these a representation counts as collapsed
LARGEST_LOSS = 20.0  # a diverging run would flatten all the others
Monitor = Sequence[Mapping[str, float]]  # a dict for each evaluation while training


@styled
def curves(series: Mapping[str, Any], xlabel: str, ylabel: str, title: str, percent: bool = False,
           smooth: int = 0, note: str = "") -> Figure:
    """Lines against a step or an epoch, named at their ends.

    Args:
        series: name to y, or to the tuple (x, y); x counts from 1 where it is missing.
        percent: y are fractions, shown as percentages.
        smooth: width of a running mean, in points; the raw values stay behind it, pale.
        note: what n is, for the line below the figure.
    """
    figure, axes = canvas()
    lines = []
    for name, style in line_styles(series).items():
        values = series[name]
        x, y = values if isinstance(values, tuple) else (np.arange(1, len(values) + 1), values)
        lines.append((name, array(x), (100 if percent else 1) * array(y).astype(float), style))
    axes[0, 0].set(xlabel=xlabel, ylabel=ylabel)
    _named_lines(axes[0, 0], lines, smooth)
    headline(figure, title, _note(note, smooth))
    return figure


@styled
def loss_curves(series: Mapping[str, Any], title: str, marks: Mapping[str, float] | None = None,
                highlight: str | None = None, smooth: int = 0, note: str = "") -> Figure:
    """Losses by step on a logarithmic axis, named at their ends.

    Args:
        series: name to losses (nats), the first one before any update; losses above `LARGEST_LOSS`
            are cut.
        marks: what a dashed line stands for, to its height.
        highlight: the one to be compared with the others, drawn thick.
        smooth, note: as for `curves`.
    """
    figure, axes = canvas()
    ax, lines, others = axes[0, 0], [], iter(class_colors(len(series)))
    for name, losses in series.items():
        chosen = name == highlight or len(series) == 1
        style = {"color": method_color("ViT") if chosen else next(others),
                 "linewidth": 3.2 if name == highlight else 1.6, "zorder": 3 if chosen else 2}
        losses = np.clip(array(losses).astype(float), None, LARGEST_LOSS)
        lines.append((name, np.arange(len(losses)), losses, style))
    ax.set(xlabel="step", ylabel="cross-entropy (nats)", yscale="log")
    plain_log(ax.yaxis)
    _named_lines(ax, lines, smooth, marks or {})
    headline(figure, title, _note(note, smooth))
    return figure


def _named_lines(ax: Axes, lines: Sequence[tuple[str, np.ndarray, np.ndarray, Mapping[str, Any]]],
                 smooth: int, marks: Mapping[str, float] | None = None) -> None:
    """Draw (name, x, y, style) and the marks; several lines are named at their last numbers."""
    ends = []
    for name, x, y, style in lines:
        draw_line(ax, x, y, smooth, style)
        known = np.flatnonzero(np.isfinite(y))
        if len(known):
            last = known[-1]
            height = running_mean(y, smooth)[last] if smooth > 1 else y[last]
            ends.append((x[last], height, name, style["color"]))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for name, value in (marks or {}).items():
        reference_line(ax, value, name)
    if len(ends) > 1:
        label_ends(ax, ends)


def draw_line(ax: Axes, x: np.ndarray, y: np.ndarray, smooth: int,
              style: Mapping[str, Any]) -> None:
    """A line, with marks where its points are few; if smoothed, with the raw values behind it."""
    if smooth > 1:
        ax.plot(x, y, color=style["color"], lw=0.7, alpha=0.3)
        y = running_mean(y, smooth)
    ax.plot(x, y, **style, marker="o" if len(x) <= FEW else None, markersize=3.5)


def running_mean(y: np.ndarray, width: int) -> np.ndarray:
    """Mean of the `width` points (an odd number) around each point, of fewer at both ends."""
    return pd.Series(y).rolling(width, center=True, min_periods=1).mean().to_numpy()


def _note(note: str, smooth: int) -> str:
    return " · ".join(filter(None, [note, f"bold: mean of {smooth} points" if smooth > 1 else ""]))


@styled
def pretraining_watch(losses: Sequence[float], momentum: Sequence[float], monitor: Monitor,
                      method: str = "BYOL") -> Figure:
    """What a training without labels shows of itself, in four panels.

    Args:
        losses, momentum: one number a step.
        monitor: dicts with step, knn (accuracy in [0, 1]), feature_std, rank and dimensions; at
            least one.
        method: whose colour the curves have.
    """
    figure, axes = canvas(2, 2, height=6.2, sharex=True)
    (loss, ema), (accuracy, collapse) = axes
    color, smooth = method_color(method), 2 * (len(losses) // 80) + 1
    steps = np.arange(1, len(losses) + 1)
    draw_line(loss, steps, array(losses).astype(float), smooth, {"color": color})
    loss.set(title=f"loss (bold: mean of {smooth} steps)", ylabel="loss", xlim=(0, None))
    ema.plot(steps, momentum, color=color)
    ema.set(title="momentum of the target network", ylabel="momentum (1 = frozen)")
    ema.ticklabel_format(useOffset=False)
    _accuracy(accuracy, monitor, color)
    _collapse(collapse, monitor, color)
    for ax in axes.flat:
        ax.set_xlabel("step")
        ax.tick_params(labelbottom=True)
    headline(figure, "Pretraining under watch",
             f"n = {len(losses):,} steps, {len(monitor)} evaluations on validation")
    return figure


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
    ax.set(title="is it learning? kNN on validation", ylabel="accuracy (%)")
    ax.margins(y=0.12)


def _collapse(ax: Axes, monitor: Monitor, left: str) -> None:
    """Feature standard deviation on the left, effective rank on the right.

    They are so scaled that both limits lie at one height.
    """
    steps, std, rank = ([row[key] for row in monitor] for key in ("step", "feature_std", "rank"))
    right, twin = method_color("supervised"), ax.twinx()
    ax.plot(steps, std, color=left, marker="o", markersize=4)
    twin.plot(steps, rank, color=right, marker="s", markersize=4, ls="--")
    top, highest = 1.1 * max(1.0, *std), 1.15 * max(4 * LOWEST_RANK, *rank)
    power = np.log(LOWEST_STD / top) / np.log(LOWEST_RANK / highest)
    twin.set_yscale("function", functions=(lambda r: np.maximum(r, 0) ** power,
                                           lambda h: np.maximum(h, 0) ** (1 / power)))
    ax.set(title="has it collapsed?", ylim=(0, top))
    twin.set(ylim=(0, highest))
    twin.grid(False)
    ax.set_ylabel("feature std (solid; 1 = fills the sphere)", color=darker(left))
    twin.set_ylabel(f"effective rank of {monitor[0]['dimensions']:g} (dashed)", color=darker(right))
    ax.axhspan(0, LOWEST_STD, color=right, alpha=0.15, lw=0)
    ax.annotate(f"collapsed below: std {LOWEST_STD:g}, rank {LOWEST_RANK:g}",
                (0.98, LOWEST_STD), (0, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize=8.5, color=GRAY)


@styled
def teacher_watch(monitor: Monitor) -> Figure:
    """DINO's two collapses in the teacher's outputs (Caron et al. 2021, figure 7), and the KL.

    Args:
        monitor: dicts with step, entropy, variety, kl and uniform, all in nats (see
            `helpers.methods.dino`); rows without them, such as the one before the first step, are
            left out.
    """
    table = pd.DataFrame([row for row in monitor if "kl" in row])
    uniform = table.uniform.iloc[-1]
    figure, axes = canvas(1, 2, height=3.9)
    outputs, lag = axes[0]
    ends = []
    for name, key, color, dash in (("mean output", "variety", "#0072B2", "-"),
                                   ("single outputs", "entropy", "#D55E00", "--")):
        outputs.plot(table.step, table[key], color=color, ls=dash, marker="o", markersize=4)
        ends.append((table.step.iloc[-1], table[key].iloc[-1], name, color))
    reference_line(outputs, uniform, "collapse: every output uniform, dashed line here")
    reference_line(outputs, 0, "collapse: one class for all, solid line here")
    outputs.set(title="entropy of the teacher's outputs", ylabel="entropy (nats)",
                ylim=(-0.06 * uniform, 1.16 * uniform))
    lag.plot(table.step, table.kl, color=method_color("DINO"), marker="o", markersize=4)
    lag.set(title="what the student still lacks", ylabel="KL from teacher to student (nats)",
            ylim=(0, None))
    for ax in axes[0]:
        ax.set(xlabel="step", xlim=(0, None))
    label_ends(outputs, ends)
    headline(figure, "Has the teacher collapsed?", f"n = {len(table)} evaluations, each of a batch")
    return figure
