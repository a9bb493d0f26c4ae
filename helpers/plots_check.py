"""Figures of the ViT's check-up: numbers in, matplotlib Figures out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

if TYPE_CHECKING:
    from helpers.diagnostics import Finding, Overfit

HEALTHY, CAUGHT, PASSED, QUIET = "#1b7837", "#d6604d", "#e8f0e8", "#777777"
LARGEST_LOSS = 20.0  # a diverging run would flatten all the others


def loss_curves(curves: Mapping[str, Sequence[float]], tolerance: float | None = None, title: str = "",
                highlight: str | None = None, start: float | None = None) -> Figure:
    """Losses by step on a logarithmic axis.

    Args:
        curves: name to losses; `highlight` names the one drawn thick and green.
        tolerance: a dashed line at the loss to get below.
        start: a dotted line at the loss of a model that guesses evenly, ln(classes).
    """
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    colours = iter(plt.get_cmap("tab10").colors * 3)
    for name, losses in curves.items():
        chosen = name == highlight or len(curves) == 1
        axes.plot(np.clip(losses, None, LARGEST_LOSS), label=name, zorder=3 if chosen else 2,
                  color=HEALTHY if chosen else next(colours), linewidth=3 if chosen and len(losses) < 200 else 1.5)
    if tolerance is not None:
        axes.axhline(tolerance, color="black", linestyle="--", linewidth=1, label=f"tolerance {tolerance:g}")
    if start is not None:
        axes.axhline(start, color=QUIET, linestyle=":", linewidth=1.5, label=f"even guessing {start:.2f}")
    axes.set(xlabel="step", ylabel="cross-entropy (nats)", yscale="log", title=title)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, axes)


def learning_rates(runs: Mapping[float, Overfit], tolerance: float) -> Figure:
    """Left the loss curves of each learning rate, right the steps that each needed."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), width_ratios=(3, 2), layout="constrained")
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(runs)))
    missed = not all(run.reached for run in runs.values())
    for (lr, run), colour in zip(runs.items(), colours, strict=True):
        left.plot(np.clip(run.losses, None, LARGEST_LOSS), color=colour, linewidth=2, label=f"{lr:g}")
        right.plot(lr, run.steps, "o" if run.reached else "x", color=colour, markersize=9, markeredgewidth=2)
    left.axhline(tolerance, color="black", linestyle="--", linewidth=1)
    left.set(xlabel="step", ylabel="cross-entropy (nats)", yscale="log", title="Loss on the one batch")
    left.legend(title="learning rate", fontsize=8, frameon=False)
    right.set(xlabel="learning rate", xscale="log", ylabel="steps", ylim=(0, None),
              title=f"Steps to a loss of {tolerance:g}" + (", × not reached" if missed else ""))
    return finish(figure, left, right)


def layer_profile(gradients: Mapping[str, float], ratios: Mapping[str, float],
                  activations: Sequence[Mapping[str, float | str]]) -> Figure:
    """Along the depth: gradient norms and update ratios by kind of weight, and the blocks' outputs."""
    figure, panels = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for axes, values, title in ((panels[0], gradients, "Norm of the gradient"),
                                (panels[1], ratios, "Update / weight")):
        draw_by_depth(axes, values)
        axes.set(yscale="log", title=title)
    panels[1].axhline(1e-3, color=QUIET, linestyle=":", linewidth=1.5)
    depth = np.arange(1, len(activations) + 1)
    means = np.array([row["mean"] for row in activations], dtype=float)
    spread = np.array([row["std"] for row in activations], dtype=float)
    panels[2].fill_between(depth, means - spread, means + spread, color=HEALTHY, alpha=0.2,
                           label="± deviation")
    panels[2].plot(depth, means, "o-", color=HEALTHY, label="mean")
    panels[2].set(title="Output of each block", xticks=depth)
    panels[2].legend(fontsize=8, frameon=False)
    for axes in panels:
        axes.set_xlabel("block")
    panels[0].legend(fontsize=7, frameon=False, ncols=2)
    return finish(figure, *panels)


def draw_by_depth(axes: Axes, values: Mapping[str, float]) -> None:
    """One line per kind of weight matrix over the blocks; what is outside the blocks as single points."""
    kinds: dict[str, dict[int, float]] = {}
    blocks = 0
    for name, value in values.items():
        match = re.match(r"blocks\.(\d+)\.(.+)\.weight$", name)
        if match and "norm" not in name:
            kinds.setdefault(match[2], {})[int(match[1]) + 1] = value
            blocks = max(blocks, int(match[1]) + 1)
    names = {"attention.qkv": "query, key, value", "attention.out": "attention out", "mlp.0": "MLP in",
             "mlp.3": "MLP out"}
    for kind, line in kinds.items():
        axes.plot(list(line), list(line.values()), "o-", label=names.get(kind, kind))
    ends = {"patches.weight": (0, "s", "patches"), "positions": (0, "^", "positions"),
            "head.weight": (blocks + 1, "D", "head")}
    for name, (place, marker, label) in ends.items():
        if name in values:
            axes.plot(place, values[name], marker, color="black", label=label)
    axes.set_xticks(range(blocks + 2), ["in", *range(1, blocks + 1), "out"])


def check_table(findings: Mapping[str, Sequence[Finding]]) -> Figure:
    """One row a model, one column a check; red where the check caught something, with what it measured."""
    names, checks = list(findings), [f"{f.check}\n({f.limit})" for f in next(iter(findings.values()))]
    caught = np.array([[not finding.passed for finding in row] for row in findings.values()], dtype=float)
    figure, axes = plt.subplots(figsize=(1.35 * len(checks) + 2, 0.42 * len(names) + 1), layout="constrained")
    axes.imshow(caught, cmap=ListedColormap([PASSED, CAUGHT]), vmin=0, vmax=1, aspect="auto")
    for row, name in enumerate(names):
        for column, finding in enumerate(findings[name]):
            style = {"color": QUIET} if finding.passed else {"color": "white", "weight": "bold"}
            axes.text(column, row, short(finding.value), ha="center", va="center", fontsize=8, **style)
    axes.set_xticks(range(len(checks)), checks, fontsize=7.5)
    axes.set_yticks(range(len(names)), names)
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(len(checks) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    plt.close(figure)
    return figure


def short(value: float) -> str:
    """A number in at most about five characters."""
    return "0" if value == 0 else f"{value:.0e}" if abs(value) < 5e-3 else f"{value:.2f}"


def schedules(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Learning rate by step, as a share of its peak."""
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    for (name, values), style in zip(curves.items(), ("-", "--", "-.", ":"), strict=False):
        axes.plot(values, style, label=name, linewidth=2)
    axes.set(xlabel="step", ylabel="share of the peak rate", ylim=(0, 1.05))
    axes.legend(frameon=False)
    return finish(figure, axes)


def attention(images: Tensor, rollout: Tensor, maps: Tensor, titles: Sequence[str], heads: int = 4) -> Figure:
    """What the class token looks at: a row a picture; the picture, the rollout, and heads of one block.

    Args:
        images: uint8 B x C x S x S.
        rollout: B x T x T, as `attention_rollout` gives it.
        maps: B x H x T x T, the attention of one block, the last for example.
        titles: a name for each picture.
        heads: how many of the heads to show at most.
    """
    heads = min(heads, maps.shape[1])
    figure, grid = plt.subplots(len(images), 2 + heads, figsize=(1.5 * (2 + heads), 1.5 * len(images) + 0.3),
                                squeeze=False, layout="constrained")
    columns = ["picture", "rollout", *(f"last block, head {head + 1}" for head in range(heads))]
    for row, picture in enumerate(images):
        shades = [None, rollout[row, 0, 1:], *maps[row, :heads, 0, 1:]]
        for column, (axes, shade) in enumerate(zip(grid[row], shades, strict=True)):
            draw_attention(axes, picture, shade)
            if row == 0:
                axes.set_title(columns[column], fontsize=9)
        grid[row][0].set_ylabel(titles[row], fontsize=9)
    plt.close(figure)
    return figure


def draw_attention(axes: Axes, picture: Tensor, shade: Tensor | None) -> None:
    """A picture C x S x S in grey or colour, under a shade of one number a patch (G * G) if given."""
    pixels = picture.cpu().permute(1, 2, 0).numpy()
    size = pixels.shape[0]
    box = (0, size, size, 0)
    if shade is None:
        axes.imshow(pixels.squeeze(), cmap="gray", extent=box)
    else:
        grid = round(len(shade) ** 0.5)
        axes.imshow(pixels.mean(axis=2), cmap="gray", extent=box)
        weights = shade.detach().float().cpu().view(grid, grid).numpy()
        axes.imshow(weights, cmap="inferno", alpha=0.65, extent=box)
    axes.set(xticks=[], yticks=[])


def finish(figure: Figure, *panels: Axes) -> Figure:
    """Light grids, no box; closed, so that a notebook shows the figure once."""
    for axes in panels:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    plt.close(figure)
    return figure
