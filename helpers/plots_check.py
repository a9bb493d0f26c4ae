"""Figures of the ViT's check-up: numbers in, matplotlib Figures out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
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


def distributions(values: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """Histograms, a line a block: left what the block puts out, right the gradients of its weights.

    Args:
        values: block to (outputs, gradients), flat tensors, as `block_values` gives them.
    """
    figure, panels = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(values)))
    for axes, kind, title in ((panels[0], 0, "Outputs of each block"), (panels[1], 1, "Gradients of its weights")):
        entries = {name: pair[kind].float().numpy() for name, pair in values.items() if len(pair[kind])}
        reach = max(np.quantile(np.abs(each), 0.999) for each in entries.values())
        for (name, each), colour in zip(entries.items(), colours, strict=False):
            counts, edges = np.histogram(each, bins=81, range=(-reach, reach))
            axes.plot((edges[1:] + edges[:-1]) / 2, counts / len(each), color=colour, label=name, linewidth=1.8)
        axes.set(yscale="log", title=title, xlabel="value" if kind == 0 else "gradient",
                 ylabel="share of the entries, 81 bins")
    panels[0].legend(fontsize=8, frameon=False)
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


def attention(images: Tensor, columns: Mapping[str, Tensor], titles: Sequence[str]) -> Figure:
    """What the class token looks at: a row a picture; the picture, then a map for each column.

    Args:
        images: uint8 B x C x S x S.
        columns: name to B x T x T: a rollout, or the attention of one head.
        titles: a name for each picture.
    """
    width = 1 + len(columns)
    figure, grid = plt.subplots(len(images), width, figsize=(1.5 * width, 1.5 * len(images) + 0.3),
                                squeeze=False, layout="constrained")
    for row, picture in enumerate(images):
        shades = {"picture": None, **{name: maps[row, 0, 1:] for name, maps in columns.items()}}
        for axes, (name, shade) in zip(grid[row], shades.items(), strict=True):
            draw_attention(axes, picture, shade)
            if row == 0:
                axes.set_title(name, fontsize=9)
        grid[row][0].set_ylabel(titles[row], fontsize=9)
    plt.close(figure)
    return figure


def attention_heads(picture: Tensor, maps: Sequence[Tensor], title: str = "", most: int = 12) -> Figure:
    """Where the class token looks in one picture: a row a block, a column a head.

    Args:
        picture: uint8 C x S x S.
        maps: one H x T x T tensor a block.
        most: rows and columns at most; of more, evenly spaced ones are shown.
    """
    rows, columns = ([round(i) for i in np.linspace(0, count - 1, min(count, most))]
                     for count in (len(maps), maps[0].shape[0]))
    figure, grid = plt.subplots(len(rows), len(columns), figsize=(1.2 * len(columns) + 0.5, 1.2 * len(rows) + 0.6),
                                squeeze=False, layout="constrained")
    for line, block in zip(grid, rows, strict=True):
        for axes, head in zip(line, columns, strict=True):
            draw_attention(axes, picture, maps[block][head, 0, 1:])
        line[0].set_ylabel(f"block {block + 1}", fontsize=9)
    for axes, head in zip(grid[0], columns, strict=True):
        axes.set_title(f"head {head + 1}", fontsize=9)
    figure.suptitle(title, fontsize=10)
    plt.close(figure)
    return figure


def attention_close_up(picture: Tensor, weights: Tensor, title: str = "") -> Figure:
    """One picture and one map over it, large; patches are numbered by their share of the attention.

    Args:
        picture: uint8 C x S x S.
        weights: one number a patch, G * G.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
    draw_attention(left, picture, None)
    draw_attention(right, picture, weights)
    side, size = round(len(weights) ** 0.5), picture.shape[-1]
    if side <= 8:
        for place, weight in enumerate(weights.tolist()):
            right.text((place % side + 0.5) * size / side, (place // side + 0.5) * size / side, f"{100 * weight:.0f}",
                       color="white", ha="center", va="center", fontsize=9,
                       path_effects=[withStroke(linewidth=2, foreground="black")])
    figure.suptitle(title, fontsize=10)
    plt.close(figure)
    return figure


def ways(rows: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """Three panels, a bar a way of training: test accuracy with every draw, seconds, trainable parameters.

    Args:
        rows: dicts with method, scores (fractions), seconds and parameters.
    """
    figure, panels = plt.subplots(1, 3, figsize=(11, 0.9 + 0.5 * len(rows)), sharey=True, layout="constrained")
    names, places = [row["method"] for row in rows], range(len(rows))
    wanted = (("test accuracy (%), a dot a draw", [100 * np.mean(row["scores"]) for row in rows], "{:.1f}"),
              ("seconds of one training", [row["seconds"] for row in rows], "{:.1f}"),
              ("trainable parameters (thousands)", [row["parameters"] / 1000 for row in rows], "{:,.0f}"))
    for axes, (label, values, form) in zip(panels, wanted, strict=True):
        axes.barh(places, values, color="#8fb7d4", height=0.65)
        for place, value in zip(places, values, strict=True):
            axes.annotate(form.format(value), (value, place), (9, 0), textcoords="offset points", va="center",
                          fontsize=9, bbox=dict(facecolor="white", edgecolor="none", alpha=0.7, pad=0.5))
        axes.set(xlabel=label, xlim=(0, 1.22 * max(values)))
    for place, row in zip(places, rows, strict=True):
        panels[0].plot([100 * score for score in row["scores"]], [place] * len(row["scores"]), "o", color="#1f4e79",
                       markersize=4, alpha=0.8)
    panels[0].set(yticks=list(places), yticklabels=names)
    panels[0].invert_yaxis()
    figure.suptitle(title, fontsize=11)
    return finish(figure, *panels)


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
