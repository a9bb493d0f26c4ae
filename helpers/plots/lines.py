"""Curves: over steps, over labels, over noise, over layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from helpers.plots.style import color, figure, label_ends


def smoothed(values: Sequence[float], window: int) -> np.ndarray:
    """Running mean over `window` values, shorter at both ends."""
    values = np.asarray(values, dtype=float)
    if window <= 1 or len(values) < 2:
        return values
    kernel = np.ones(min(window, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


@figure
def curves(series: Mapping[str, Any], xlabel: str, ylabel: str, title: str, percent: bool = False, smooth: int = 0,
           hline: tuple[float, str] | None = None, logy: bool = False) -> Figure:
    """Named lines, each y or (x, y), named at their ends. `smooth` draws a running mean over the raw values."""
    fig, ax = plt.subplots(figsize=(9, 3.7))
    ends = []
    for place, (name, data) in enumerate(series.items()):
        x, y = data if isinstance(data, tuple) else (np.arange(1, len(data) + 1), data)
        y = np.asarray(y, dtype=float) * (100 if percent else 1)
        ink, dashed = color(name, place), "--" if name.endswith(", train") else "-"
        if smooth > 1:
            ax.plot(x, y, color=ink, alpha=0.22, lw=1)
        line = smoothed(y, smooth)
        ax.plot(x, line, dashed, color=ink, lw=2, marker="o" if len(x) < 25 else None, ms=4)
        ends.append((name, x[-1], line[-1], ink))
    if logy:
        ax.set_yscale("log")
    if hline is not None:
        ax.axhline(hline[0], color="#333333", ls=":", lw=1.2)
        ax.annotate(hline[1], (0.01, hline[0]), xycoords=("axes fraction", "data"), xytext=(0, 3),
                    textcoords="offset points", fontsize=9)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if logy or len(ends) == 1:
        ax.legend([end[0] for end in ends], loc="best") if len(ends) > 1 else None
    else:
        label_ends(ax, ends)
    fig.tight_layout()
    return fig


@figure
def pretraining_watch(losses: Sequence[float], momentum: Sequence[float], monitor: Sequence[Mapping[str, float]]) -> Figure:
    """Loss, target momentum, kNN accuracy and the two signs of a collapse, over the steps of a pretraining."""
    fig, axes = plt.subplots(2, 2, figsize=(9, 6), sharex=True)
    steps, looks = np.arange(1, len(losses) + 1), [row["step"] for row in monitor]
    ink = color("BYOL")
    axes[0, 0].plot(steps, losses, color=ink, alpha=0.25, lw=1)
    axes[0, 0].plot(steps, smoothed(losses, 25), color=ink, lw=2)
    axes[0, 0].set(title="Loss (mean negative cosine)", ylabel="loss, -1 is perfect agreement")
    axes[0, 1].plot(steps[:len(momentum)], momentum[:len(steps)], color="#CC79A7", lw=2)
    axes[0, 1].set(title="Target momentum: half a cosine to 1", ylabel="momentum")
    axes[1, 0].plot(looks, [100 * row["knn"] for row in monitor], "o-", color=ink, lw=2)
    axes[1, 0].axhline(100 * monitor[0]["knn"], color=color("random encoder"), ls="--", lw=1.5)
    axes[1, 0].annotate("random encoder", (looks[-1], 100 * monitor[0]["knn"]), xytext=(0, 4), ha="right",
                        textcoords="offset points", color="#777777", fontsize=9)
    axes[1, 0].set(title="kNN accuracy on validation", ylabel="accuracy (%)", xlabel="step")
    _collapse(axes[1, 1], looks, monitor)
    for ax in axes.flat:
        ax.title.set_fontsize(11)
    fig.tight_layout()
    return fig


def _collapse(ax: plt.Axes, looks: Sequence[float], monitor: Sequence[Mapping[str, float]]) -> None:
    """Spread, and effective rank as a share of the dimensions, on one axis from 0 to 1."""
    spread = [row["spread"] for row in monitor]
    rank = [row["rank"] / row["dimensions"] for row in monitor]
    ax.axhspan(0, 0.1, color="#D55E00", alpha=0.15)
    ax.text(looks[-1], 0.05, "collapse", color="#D55E00", va="center", ha="right", fontsize=9)
    for name, values, ink, mark in (("spread", spread, "#009E73", "o-"), ("rank / dimensions", rank, "#E69F00", "s-")):
        ax.plot(looks, values, mark, color=ink, lw=2, ms=5, label=name)
    ax.set(title="Signs of collapse", ylim=(0, max(1.05, *spread)), xlabel="step", ylabel="share of the maximum")
    ax.legend(loc="upper right", ncols=2, fontsize=9)


@figure
def label_curve(rows: Sequence[Mapping[str, Any]], total_per_class: float, title: str) -> Figure:
    """Accuracy against labels per class on a log axis: rows with method, labels_per_class ("all" or a number),
    mean, std and n. The band is one standard deviation over draws."""
    fig, ax = plt.subplots(figsize=(9, 4.3))
    ends, ticks = [], {}
    for place, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
        own = [row for row in rows if row["method"] == method]
        x = np.array([total_per_class if r["labels_per_class"] in (0, "all") else r["labels_per_class"] for r in own])
        y, e = (100 * np.array([row[key] or 0.0 for row in own], dtype=float) for key in ("mean", "std"))
        ticks |= {value: str(row["labels_per_class"] or "all") for value, row in zip(x, own, strict=True)}
        ax.plot(x, y, "o-", color=color(method, place), lw=2)
        ax.fill_between(x, y - e, y + e, color=color(method, place), alpha=0.14, lw=0)
        ends.append((method, x[-1], y[-1], color(method, place)))
    ax.set_xscale("log")
    ax.set_xticks(list(ticks), [f"all\n({value:,.0f})" if text == "all" else text for value, text in ticks.items()])
    ax.minorticks_off()
    ax.set(xlabel="labels per class", ylabel="test accuracy (%)", title=title, ylim=(None, 101))
    label_ends(ax, ends)
    fig.tight_layout()
    return fig


@figure
def noise_curve(series: Mapping[str, tuple[Sequence[float], np.ndarray]], title: str, chance: float) -> Figure:
    """Accuracy against sigma: name -> (sigmas, scores seeds x sigmas); the band is one deviation over seeds."""
    fig, ax = plt.subplots(figsize=(9, 4.6))
    ends = []
    for place, (name, (sigmas, scores)) in enumerate(series.items()):
        mean, std = 100 * scores.mean(0), 100 * scores.std(0, ddof=1 if len(scores) > 1 else 0)
        ax.plot(sigmas, mean, color=color(name, place), lw=2)
        ax.fill_between(sigmas, mean - std, mean + std, color=color(name, place), alpha=0.2, lw=0)
        ends.append((name, sigmas[-1], mean[-1], color(name, place)))
    ax.axhline(100 * chance, color="#333333", ls=":", lw=1.2)
    ax.annotate("chance", (0.0, 100 * chance), xytext=(2, 3), textcoords="offset points", fontsize=9)
    ax.set(xlabel="noise sigma (normalised units: pictures in [-1, 1])", ylabel="test accuracy (%)", ylim=(0, 102),
           xlim=(0, max(max(s) for s, _ in series.values())))
    top = ax.secondary_xaxis("top", functions=(lambda s: s / 2, lambda s: 2 * s))
    top.set_xlabel("sigma in pixel units: pictures in [0, 1]", fontsize=9.5, color="#666666")
    top.tick_params(colors="#666666")
    ax.set_title(title, pad=14)
    label_ends(ax, ends)
    fig.tight_layout()
    return fig


@figure
def layer_curve(layers: Mapping[str, Sequence[tuple[str, float]]], title: str) -> Figure:
    """Mean cosine similarity of clean and noisy activations, layer by layer: name -> [(layer, similarity)]."""
    fig, ax = plt.subplots(figsize=(9, 3.8))
    ends = []
    for place, (name, values) in enumerate(layers.items()):
        ax.plot([value for _, value in values], "o-", lw=2, color=color(name, place))
        ends.append((name, len(values) - 1, values[-1][1], color(name, place)))
    names = [layer for layer, _ in next(iter(layers.values()))]
    ax.set_xticks(range(len(names)), names, rotation=20 if len(names) > 6 else 0)
    ax.set(xlabel="layer", ylabel="mean cosine similarity", title=title)
    ax.set_ylim(min(0, ax.get_ylim()[0]), 1.02)
    label_ends(ax, ends)
    fig.tight_layout()
    return fig
