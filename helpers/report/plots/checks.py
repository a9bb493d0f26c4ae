"""Figures of the ViT's check-up: learning rates, what happens in each layer, and what each check
caught."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.report.plots.lines import LARGEST_LOSS, reference_line
from helpers.report.plots.style import (
    GRAY,
    WRONG,
    array,
    canvas,
    class_colors,
    headline,
    method_color,
    plain_log,
    styled,
)

USUAL_UPDATE = 1e-3  # a rule of thumb for the middle of a training: update over weight
BINS = 81
KINDS = {
    "attention.qkv": "query, key, value", "attention.out": "attention out", "mlp.0": "MLP in",
    "mlp.3": "MLP out"
}


@styled
def learning_rates(runs: Mapping[float, Any], tolerance: float, title: str) -> Figure:
    """Left the loss curve of each learning rate, right the steps that each needed.

    Args:
        runs: learning rate to how a model overfitted one batch with it: `losses` (nats), `steps`,
            and whether it `reached` the tolerance.
        tolerance: the loss (nats) to get below.
    """
    figure, axes = canvas(1, 2, width_ratios=(3, 2))
    (left, right), colors = axes[0], _ordered(len(runs))
    for (lr, run), color in zip(runs.items(), colors, strict=True):
        left.plot(np.clip(run.losses, None, LARGEST_LOSS), color=color, label=f"{lr:g}")
        right.plot(lr, run.steps, "o" if run.reached else "x", color=color, markersize=9,
                   markeredgewidth=2)
    reference_line(left, tolerance, f"{tolerance:g}")
    left.set(xlabel="step", ylabel="cross-entropy (nats)", yscale="log",
             title="loss on the one batch")
    plain_log(left.yaxis)
    left.legend(title="learning rate", fontsize=9)
    missed = not all(run.reached for run in runs.values())
    right.set(xlabel="learning rate (log scale)", xscale="log", ylabel="steps", ylim=(0, None),
              title=f"steps to a loss of {tolerance:g}" + (", ×: not reached" if missed else ""))
    plain_log(right.xaxis)
    headline(figure, title, f"n = {len(runs)} learning rates, one run each from the same weights")
    return figure


def _ordered(count: int) -> Any:
    """Colours from dark to light, for things that have an order; told apart by their lightness
    alone."""
    return plt.get_cmap("viridis")(np.linspace(0, 0.85, count))


@styled
def layer_profile(gradients: Mapping[str, float], ratios: Mapping[str, float],
                  activations: Sequence[Mapping[str, float | str]], title: str) -> Figure:
    """Along the depth: gradient norms and update ratios by kind of weight, and the blocks' outputs.

    Args:
        gradients, ratios: name of a parameter (`blocks.0.mlp.0.weight`) to a number.
        activations: for each block a dict with mean and std of its outputs.
    """
    figure, axes = canvas(1, 3, height=4.2)
    for ax, values, name, unit in ((axes[0,
                                         0], gradients, "gradient", "Euclidean norm (log scale)"),
                                   (axes[0, 1], ratios, "first updates",
                                    "update / weight (log scale)")):
        _by_depth(ax, values)
        ax.set(yscale="log", title=name, ylabel=unit, xlabel="block")
        plain_log(ax.yaxis)
    reference_line(axes[0, 1], USUAL_UPDATE, f"{USUAL_UPDATE:g}")
    ax, depth, color = axes[0, 2], np.arange(1, len(activations) + 1), method_color("ViT")
    means, spread = (np.array([row[key]
                               for row in activations], dtype=float)
                     for key in ("mean", "std"))
    ax.fill_between(depth, means - spread, means + spread, color=color, alpha=0.2, lw=0)
    ax.plot(depth, means, "o-", color=color)
    ax.set(title="output: mean ± deviation", xticks=depth, xlabel="block", ylabel="value")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4,
                  fontsize=9)
    headline(figure, title)
    return figure


def _by_depth(ax: Axes, values: Mapping[str, float]) -> None:
    """One line a kind of weight matrix over the blocks; what is outside the blocks as single
    points."""
    kinds: dict[str, dict[int, float]] = {}
    blocks = 0
    for name, value in values.items():
        match = re.match(r"blocks\.(\d+)\.(.+)\.weight$", name)
        if match and "norm" not in name:
            kinds.setdefault(match[2], {})[int(match[1]) + 1] = value
            blocks = max(blocks, int(match[1]) + 1)
    for (kind, line), color in zip(kinds.items(), class_colors(len(kinds)), strict=True):
        ax.plot(list(line), list(line.values()), "o-", color=color, markersize=5,
                label=KINDS.get(kind, kind))
    ends = {"patches.weight": (0, "s", "patches"), "positions": (0, "^", "positions"),
            "head.weight": (blocks + 1, "D", "head")}
    for name, (place, marker, label) in ends.items():
        if name in values:
            ax.plot(place, values[name], marker, color="black", label=label)
    ax.set_xticks(range(blocks + 2), ["in", *range(1, blocks + 1), "out"])


@styled
def distributions(values: Mapping[str, tuple[Any, Any]], title: str) -> Figure:
    """Histograms, a line a block: left what the block puts out, right the gradients of its weights.

    Args:
        values: block to (outputs, gradients), flat, as `block_values` gives them; empty ones are
            left out.
    """
    figure, axes = canvas(1, 2)
    colors = dict(zip(values, _ordered(len(values)), strict=True))
    for ax, kind, name in ((axes[0, 0], 0, "output"), (axes[0, 1], 1, "gradient")):
        entries = {block: array(pair[kind]) for block, pair in values.items() if len(pair[kind])}
        reach = max(np.quantile(np.abs(each), 0.999) for each in entries.values())
        for block, each in entries.items():
            counts, edges = np.histogram(each, bins=BINS, range=(-reach, reach))
            ax.plot((edges[1:] + edges[:-1]) / 2, counts / len(each), color=colors[block],
                    label=block)
        ax.set(yscale="log", xlabel=name, ylabel=f"share of the entries, {BINS} bins (log scale)")
        plain_log(ax.yaxis, steps=(1,))
        ax.xaxis.set_major_locator(MaxNLocator(5))
    axes[0, 0].set_title("what each block puts out")
    axes[0, 1].set_title("gradients of its weights")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper")
    counts = [len(outputs) for outputs, _ in values.values()]
    headline(figure, title, f"n = {max(counts):,} outputs a block")
    return figure


@styled
def check_table(findings: Mapping[str, Sequence[Any]], title: str) -> Figure:
    """One row a model, one column a check; red and bold where the check caught something.

    Args:
        findings: model to what each check found: `check` (its name), `passed`, the measured `value`
            and the `limit` that it was held to, as text.
    """
    names, checks = list(findings), next(iter(findings.values()))
    caught = np.array([[not finding.passed for finding in row] for row in findings.values()],
                      dtype=float)
    figure, axes = canvas(height=1.9 + 0.36 * len(names))
    ax = axes[0, 0]
    ax.imshow(caught, cmap=ListedColormap(["#f4f4f4", WRONG]), vmin=0, vmax=1, aspect="auto")
    for (row, column), found in np.ndenumerate(caught):
        look = {"color": "white", "weight": "bold"} if found else {"color": GRAY}
        ax.text(column, row, short(findings[names[row]][column].value), ha="center", va="center",
                fontsize=9.5, **look)
    heads = [
        "\n".join([*textwrap.wrap(check.check, 11), *textwrap.wrap(f"({check.limit})", 13)])
        for check in checks
    ]
    ax.set_xticks(range(len(checks)), heads, fontsize=8.5)
    ax.set_yticks(range(len(names)), names)
    ax.xaxis.tick_top()
    ax.set_xticks(np.arange(len(checks) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    ax.grid(False)
    ax.grid(which="minor", color="white", linewidth=2)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    headline(figure, title,
             f"n = {len(names)} networks, {len(checks)} checks with their limits · red: caught")
    return figure


def short(value: float) -> str:
    """A number in at most about five characters."""
    return "0" if value == 0 else f"{value:.0e}" if abs(
        value) < 5e-4 else f"{value:.{2 if abs(value) > 5e-3 else 3}f}"
