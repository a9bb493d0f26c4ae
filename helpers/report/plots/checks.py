"""Figures of the ViT's check-up: learning rates, what happens in each layer, what was caught."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.report.plots.lines import LARGEST_LOSS
from helpers.report.plots.style import (
    GRAY,
    WRONG,
    array,
    band_line,
    canvas,
    class_colors,
    headline,
    method_color,
    plain_log,
    reference_line,
    styled,
)

USUAL_UPDATE = 1e-3  # a rule of thumb for the middle of a training: update over weight
BINS = 81
ROOM = 8  # numbers of blocks below an axis
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
    figure.legend(title="learning rate", loc="outside right center", fontsize=9)
    missed = ", ×: not reached" if not all(run.reached for run in runs.values()) else ""
    right.set(xlabel="learning rate (log scale)", xscale="log", ylabel="steps", ylim=(0, None),
              title=f"steps to a loss of {tolerance:g}{missed}")
    plain_log(right.xaxis)
    headline(figure, title, f"n = {len(runs)} learning rates, one run each from the same weights")
    return figure


def _ordered(count: int) -> Any:
    """Colours from dark to light, for things that have an order."""
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
    first, second, third = axes[0]
    for ax, values, name, unit in ((first, gradients, "gradient", "Euclidean norm (log scale)"),
                                   (second, ratios, "first updates",
                                    "update / weight (log scale)")):
        _by_depth(ax, values)
        ax.set(yscale="log", title=name, ylabel=unit, xlabel="block")
        plain_log(ax.yaxis)
    reference_line(second, USUAL_UPDATE, f"{USUAL_UPDATE:g}")
    depth = np.arange(1, len(activations) + 1)
    means, stds = ([row[key] for row in activations] for key in ("mean", "std"))
    band_line(third, depth, means, stds, "", {"color": method_color("ViT")}, marker="o")
    third.set(title="output: mean ± deviation", xticks=_numbered(len(depth)), xlabel="block",
              ylabel="value")
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=4,
                  fontsize=9)
    headline(figure, title)
    return figure


def _by_depth(ax: Axes, values: Mapping[str, float]) -> None:
    """A line a kind of weight matrix over the blocks, and points for what is outside of them."""
    kinds: dict[str, dict[int, float]] = {}
    for name, value in values.items():
        match = re.match(r"blocks\.(\d+)\.(.+)\.weight$", name)
        if match and "norm" not in name:
            kinds.setdefault(match[2], {})[int(match[1]) + 1] = value
    blocks = max((max(line) for line in kinds.values()), default=0)
    for (kind, line), color in zip(kinds.items(), class_colors(len(kinds)), strict=True):
        ax.plot(list(line), list(line.values()), "o-", color=color, markersize=5,
                label=KINDS.get(kind, kind))
    for name, place, marker, label in (("patches.weight", 0, "s", "patches"),
                                       ("positions", 0, "^", "positions"),
                                       ("head.weight", blocks + 1, "D", "head")):
        if name in values:
            ax.plot(place, values[name], marker, color="black", label=label)
    numbered = [block for block in _numbered(blocks) if block < blocks or blocks <= ROOM]
    ax.set_xticks([0, *numbered, blocks + 1], ["in", *numbered, "out"])


def _numbered(blocks: int) -> range:
    """The blocks whose numbers have room below an axis: all, or every second, third ..."""
    every = max(1, -(-blocks // ROOM))
    return range(every, blocks + 1, every)


@styled
def distributions(values: Mapping[str, tuple[Any, Any]], title: str) -> Figure:
    """Histograms, a line a block: left what the block puts out, right the gradients of its weights.

    Args:
        values: block to (outputs, gradients), flat, as `block_values` gives them; empty ones are
            left out.
    """
    figure, axes = canvas(1, 2)
    heads = (("output", "what each block puts out"), ("gradient", "gradients of its weights"))
    for kind, (ax, (name, head)) in enumerate(zip(axes[0], heads, strict=True)):
        entries = [array(pair[kind]) for pair in values.values()]
        reach = max(np.quantile(np.abs(each), 0.999) for each in entries if len(each))
        for block, each, color in zip(values, entries, _ordered(len(values)), strict=True):
            if len(each):
                counts, edges = np.histogram(each, bins=BINS, range=(-reach, reach))
                ax.plot((edges[1:] + edges[:-1]) / 2, counts / len(each), color=color, label=block)
        ax.set(yscale="log", xlabel=name, ylabel=f"share of the entries, {BINS} bins (log scale)",
               title=head)
        plain_log(ax.yaxis, steps=(1,))
        ax.xaxis.set_major_locator(MaxNLocator(5))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper")
    most = max(len(outputs) for outputs, _ in values.values())
    headline(figure, title, f"n = {most:,} outputs a block")
    return figure


@styled
def check_table(findings: Mapping[str, Sequence[Any]], title: str) -> Figure:
    """One row a model, one column a check; red and bold where the check caught something.

    Args:
        findings: model to what each check found: `check` (its name), `passed`, the measured `value`
            and the `limit` that it was held to, as text.
    """
    import seaborn as sns  # a second, which most notebooks save

    caught = np.array([[not found.passed for found in row] for row in findings.values()])
    values = [[short(found.value) for found in row] for row in findings.values()]
    checks = next(iter(findings.values()))
    heads = ["\n".join([*textwrap.wrap(each.check, 11), *textwrap.wrap(f"({each.limit})", 13)])
             for each in checks]
    figure, axes = canvas(height=1.9 + 0.36 * len(findings))
    ax = axes[0, 0]
    sns.heatmap(caught.astype(float), ax=ax, annot=values, fmt="", cmap=["#f4f4f4", WRONG], vmin=0,
                vmax=1, cbar=False, linewidths=2, annot_kws={"fontsize": 9.5})
    for text, found in zip(ax.texts, caught.ravel(), strict=True):
        text.set(color="white" if found else GRAY, weight="bold" if found else "normal")
    ax.set_xticks(ax.get_xticks(), heads, fontsize=8.5, rotation=0)
    ax.set_yticks(ax.get_yticks(), list(findings), rotation=0)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    headline(figure, title,
             f"n = {len(findings)} networks, {len(checks)} checks with their limits · red: caught")
    return figure


def short(value: float) -> str:
    """A number in at most about five characters."""
    if value == 0:
        return "0"
    if abs(value) < 5e-4:
        return f"{value:.0e}"
    return f"{value:.2f}" if abs(value) > 5e-3 else f"{value:.3f}"
