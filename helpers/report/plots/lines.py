"""Figures of a training: curves over its steps, and the two collapses of a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.report.plots.style import (
    array,
    canvas,
    class_colors,
    headline,
    label_ends,
    line_styles,
    method_color,
    plain_log,
    reference_line,
    styled,
)

FEW = 30  # up to this many points are marked one by one
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


@styled
def teacher_entropies(runs: Mapping[str, tuple[Monitor, float]], uniform: float,
                      title: str) -> Figure:
    """The entropies of a DINO teacher's outputs in several trainings, a panel each.

    Args:
        runs: name to one dict a step with step, mean and single (nats: of the mean output and of
            single ones), and to the kNN accuracy at the end, in [0, 1].
        uniform: ln K, the entropy of a uniform output.
    """
    figure, axes = canvas(1, len(runs), height=3.6, sharey=True)
    for ax, (name, (rows, knn)) in zip(axes[0], runs.items(), strict=True):
        steps = [row["step"] for row in rows]
        for kind, color, dash in (("mean", "#0072B2", "-"), ("single", "#D55E00", "--")):
            label = "mean output" if kind == "mean" else "single outputs"
            ax.plot(steps, [row[kind] for row in rows], color=color, ls=dash, label=label)
        for limit in (0.0, uniform):
            reference_line(ax, limit, "")
        ax.set(title=f"{name}\nkNN {knn:.1%}", xlabel="step",
               ylim=(-0.06 * uniform, 1.1 * uniform))
    axes[0, 0].set_ylabel("entropy (nats)")
    axes[0, 0].legend(loc="center right")
    headline(figure, title, "black: 0 (one class for all), ln K (uniform) · one training each")
    return figure
