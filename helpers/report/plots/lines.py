"""Figures of a training: curves over its steps, and what tells a collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
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
    styled,
)

FEW = 30  # up to this many points are marked one by one
LARGEST_LOSS = 20.0  # a diverging run would flatten all the others


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
    ax = axes[0, 0]
    factor = 100 if percent else 1
    styles, ends = line_styles(series), []
    for name, values in series.items():
        x, y = _points(values)
        last = draw_line(ax, x, factor * y, smooth, styles[name])
        if last is not None:
            ends.append((*last, name, styles[name]["color"]))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(ends) > 1:
        label_ends(ax, ends)
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
        smooth: width of a running mean, as for `curves`.
        note: what n is, for the line below the figure.
    """
    figure, axes = canvas()
    ax, ends = axes[0, 0], []
    others = iter(class_colors(len(series)))
    for name, losses in series.items():
        chosen = name == highlight or len(series) == 1
        color = method_color("ViT") if chosen else next(others)
        y = np.clip(array(losses).astype(float), None, LARGEST_LOSS)
        look = {
            "color": color, "linewidth": 3.2 if name == highlight else 1.6,
            "zorder": 3 if chosen else 2
        }
        last = draw_line(ax, np.arange(len(y)), y, smooth, look)
        if last is not None:
            ends.append((*last, name, color))
    ax.set(xlabel="step", ylabel="cross-entropy (nats)", yscale="log")
    plain_log(ax.yaxis)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for name, value in (marks or {}).items():
        reference_line(ax, value, name)
    if len(ends) > 1:
        label_ends(ax, ends)
    headline(figure, title, _note(note, smooth))
    return figure


def _note(note: str, smooth: int) -> str:
    return " · ".join(filter(None, [note, f"bold: mean of {smooth} points" if smooth > 1 else ""]))


def _points(values: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(values, tuple) and len(values) == 2:
        return array(values[0]), array(values[1]).astype(float)
    y = array(values).astype(float)
    return np.arange(1, len(y) + 1), y


def running_mean(y: np.ndarray, width: int) -> np.ndarray:
    """Mean of the `width` points (an odd number) around each point, of fewer at both ends."""
    total, places = np.cumsum(np.concatenate([[0.0], y])), np.arange(len(y))
    first, after = np.maximum(places - width // 2, 0), np.minimum(places + width // 2 + 1, len(y))
    return (total[after] - total[first]) / (after - first)


def draw_line(ax: Axes, x: np.ndarray, y: np.ndarray, smooth: int,
              style: Mapping[str, Any]) -> tuple[float, float] | None:
    """Draw a line and return its last finite point, None if it has none."""
    if smooth > 1:
        ax.plot(x, y, color=style["color"], lw=0.7, alpha=0.3)
        y = running_mean(y, smooth)
    ax.plot(x, y, **style, marker="o" if len(x) <= FEW else None, markersize=3.5)
    finite = np.flatnonzero(np.isfinite(y))
    return (x[finite[-1]], y[finite[-1]]) if len(finite) else None


def reference_line(ax: Axes, value: float, label: str) -> None:
    """A dashed horizontal line, named above its left end."""
    ax.axhline(value, color="black", lw=1, ls=(0, (4, 3)))
    ax.annotate(label, (0, value), (4, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", fontsize=9, color=GRAY)


@styled
def pretraining_watch(losses: Sequence[float], momentum: Sequence[float],
                      monitor: Sequence[Mapping[str, float]], lowest_feature_std: float = 0.1,
                      lowest_rank: float = 2.0, method: str = "BYOL") -> Figure:
    """What a training without labels shows of itself, in four panels.

    Args:
        losses, momentum: one number a step.
        monitor: dicts with step, knn (accuracy in [0, 1]), feature_std, rank and dimensions; at
            least one.
        lowest_feature_std, lowest_rank: below one of these the representation counts as collapsed.
        method: whose colour the curves have.
    """
    figure, axes = canvas(2, 2, height=6.2, sharex=True)
    color, smooth = {"color": method_color(method)}, 2 * (len(losses) // 80) + 1
    draw_line(axes[0, 0], np.arange(1, len(losses) + 1), array(losses).astype(float), smooth, color)
    axes[0, 0].set(title=f"loss (bold: mean of {smooth} steps)", ylabel="loss")
    axes[0, 1].plot(np.arange(1, len(momentum) + 1), momentum, **color)
    axes[0, 1].set(title="momentum of the target network", ylabel="momentum (1 = frozen)")
    axes[0, 1].ticklabel_format(useOffset=False)
    _accuracy(axes[1, 0], monitor, color)
    _collapse(axes[1, 1], monitor, lowest_feature_std, lowest_rank, color)
    axes[0, 0].set_xlim(0, None)
    for ax in axes.flat:
        ax.set_xlabel("step")
        ax.tick_params(labelbottom=True)
    headline(figure, "Pretraining under watch",
             f"n = {len(losses):,} steps, {len(monitor)} evaluations on validation")
    return figure


def _accuracy(ax: Axes, monitor: Sequence[Mapping[str, float]], color: Mapping[str, str]) -> None:
    steps, knn = [row["step"] for row in monitor], [100 * row["knn"] for row in monitor]
    ax.plot(steps, knn, **color, marker="o", markersize=4)
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


def _collapse(ax: Axes, monitor: Sequence[Mapping[str, float]], lowest_feature_std: float,
              lowest_rank: float, color: Mapping[str, str]) -> None:
    """Feature standard deviation on the left, effective rank on the right.

    They are so scaled that both limits lie at one height.
    """
    steps, std, rank = ([row[key] for row in monitor] for key in ("step", "feature_std", "rank"))
    left, right, twin = color["color"], method_color("supervised"), ax.twinx()
    ax.plot(steps, std, color=left, marker="o", markersize=4)
    twin.plot(steps, rank, color=right, marker="s", markersize=4, ls="--")
    top, highest = 1.1 * max(1.0, *std), 1.15 * max(4 * lowest_rank, *rank)
    power = np.log(lowest_feature_std / top) / np.log(lowest_rank / highest)
    twin.set_yscale("function", functions=(lambda r: np.maximum(r, 0) ** power,
                                           lambda h: np.maximum(h, 0) ** (1 / power)))
    ax.set(title="has it collapsed?", ylim=(0, top))
    twin.set(ylim=(0, highest))
    twin.grid(False)
    ax.set_ylabel("feature std (solid; 1 = fills the sphere)", color=darker(left))
    twin.set_ylabel(f"effective rank of {monitor[0]['dimensions']:g} (dashed)", color=darker(right))
    ax.axhspan(0, lowest_feature_std, color=right, alpha=0.15, lw=0)
    ax.annotate(f"collapsed below: std {lowest_feature_std:g}, rank {lowest_rank:g}",
                (0.98, lowest_feature_std), (0, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize=8.5, color=GRAY)


@styled
def teacher_watch(monitor: Sequence[Mapping[str, float]]) -> Figure:
    """DINO's two collapses, seen in the teacher's answers (Caron et al. 2021, figure 7), and the
    student's lag.

    Args:
        monitor: dicts with step, entropy, variety, kl and uniform, all in nats (see
            `helpers.methods.dino`); rows without them, such as the one before the first step, are
            left out.
    """
    rows = [row for row in monitor if "kl" in row]
    steps = [row["step"] for row in rows]
    figure, axes = canvas(1, 2, height=3.9)
    answers, lag = axes[0]
    shown = {
        "all answers together": ("variety", "#0072B2", "-"),
        "one answer": ("entropy", "#D55E00", "--")
    }
    ends = []
    for name, (key, color, dashes) in shown.items():
        values = [row[key] for row in rows]
        answers.plot(steps, values, color=color, ls=dashes, marker="o", markersize=4)
        ends.append((steps[-1], values[-1], name, color))
    reference_line(answers, rows[-1]["uniform"], "collapse: every answer uniform, dashed line here")
    reference_line(answers, 0, "collapse: one class for all, solid line here")
    answers.set(title="entropy of the teacher's answers", ylabel="entropy (nats)",
                ylim=(-0.06 * rows[-1]["uniform"], 1.16 * rows[-1]["uniform"]), xlim=(0, None))
    label_ends(answers, ends)
    lag.plot(steps, [row["kl"] for row in rows], color=method_color("DINO"), marker="o",
             markersize=4)
    lag.set(title="what the student still lacks", ylabel="KL from teacher to student (nats)",
            ylim=(0, None), xlim=(0, None))
    for ax in (answers, lag):
        ax.set_xlabel("step")
    headline(figure, "Has the teacher collapsed?", f"n = {len(rows)} evaluations, each of a batch")
    return figure
