"""Figures of attention: what the class token of a ViT attends to, as light on the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from helpers.report.plots.images import NUMBERED, TITLE, as_array, bare, fitted, name_row, show
from helpers.report.plots.style import WIDTH, array, canvas, headline, styled

MOST = 4.0  # multiples of uniform attention; what has more is as bright
COLORS = "inferno"
OPACITY = 0.7  # of a map over its image


@styled
def attention_grid(images: Any, maps: Mapping[str, Any], title: str,
                   titles: Sequence[str] = ()) -> Figure:
    """A column an image, a row a map of it, all of them on the one scale of `times_uniform`.

    Args:
        images: N x C x H x W, uint8 or float in [-1, 1].
        maps: row label to N x G x G weights.
        titles: what stands above each image, in lines that fit.
    """
    images, rows = array(images), 1 + len(maps)
    side = min(1.15, WIDTH / (len(images) + 1.6))
    above = [fitted(text, side) for text in titles]
    lines = max((text.count("\n") for text in above), default=0)
    figure, axes = canvas(rows, len(images), side * (len(images) + 1.6),
                          0.9 + side * rows + 0.15 * lines)
    for ax, image in zip(axes[0], images, strict=True):
        show(ax, image)
    for ax, text in zip(axes[0], above, strict=False):
        ax.set_title(text, fontsize=TITLE)
    for line, values in zip(axes[1:], maps.values(), strict=True):
        for ax, image, weights in zip(line, images, array(values), strict=True):
            shade(ax, image, weights)
    for line, name in zip(axes, ["image", *maps], strict=True):
        name_row(line[0], name)
    _scale(figure, axes)
    headline(figure, title, f"n = {len(images)} images")
    return figure


@styled
def attention_heads(image: Any, maps: Sequence[Any], title: str, most: int = 12) -> Figure:
    """What the class token attends to in one image: a row a block, a column a head.

    Args:
        image: C x H x W, uint8 or float in [-1, 1].
        maps: one heads x G x G array a block.
        most: rows and columns at most; of more, evenly spaced ones are shown.
    """
    rows, columns = ([round(i) for i in np.linspace(0, count - 1, min(count, most))]
                     for count in (len(maps), len(maps[0])))
    side = min(1.15, WIDTH / (len(columns) + 1))
    figure, axes = canvas(len(rows), len(columns), max(5.0, side * (len(columns) + 1)),
                          0.9 + side * len(rows))
    for line, block in zip(axes, rows, strict=True):
        for ax, head in zip(line, columns, strict=True):
            shade(ax, image, array(maps[block])[head])
        name_row(line[0], f"block {block + 1}")
    for ax, head in zip(axes[0], columns, strict=True):
        ax.set_title(f"head {head + 1}", fontsize=9.5)
    _scale(figure, axes)
    headline(figure, title, "n = 1 image")
    return figure


@styled
def attention_close_up(image: Any, weights: Any, title: str) -> Figure:
    """One image and a map over it, large, with each patch's multiple of uniform attention.

    Args:
        image: C x H x W, uint8 or float in [-1, 1].
        weights: G x G, not negative.
    """
    figure, axes = canvas(1, 2, 7.0, 4.0)
    (left, right), weights = axes[0], times_uniform(array(weights))
    show(left, image)
    shade(right, image, weights)
    _scale(figure, [right])
    if len(weights) > NUMBERED:
        headline(figure, title, "n = 1 image")
        return figure
    patch = array(image).shape[-1] / len(weights)
    for (row, column), weight in np.ndenumerate(weights):
        right.text((column + 0.5) * patch, (row + 0.5) * patch, f"{weight:.1f}",
                   color="white", ha="center", va="center", fontsize=9.5,
                   path_effects=[withStroke(linewidth=2, foreground="black")])
    headline(figure, title, "n = 1 image · numbers: multiples of uniform attention")
    return figure


def times_uniform(weights: np.ndarray) -> np.ndarray:
    """Maps ... x G x G, not negative, over their own means: 1 is what a patch gets when all get the
    same. A map of zeros stays one."""
    mean = weights.mean((-2, -1), keepdims=True)
    return weights / np.where(mean > 0, mean, 1)


def shade(ax: Axes, image: Any, weights: np.ndarray) -> None:
    """An image C x H x W in grey under a G x G map in colour, without ticks or frame."""
    pixels = as_array(image)
    box = (0, pixels.shape[1], pixels.shape[0], 0)
    ax.imshow(pixels if pixels.ndim == 2 else pixels.mean(2), cmap="gray", vmin=0, vmax=1,
              extent=box)
    ax.imshow(times_uniform(weights), cmap=COLORS, vmin=0, vmax=MOST, alpha=OPACITY, extent=box,
              interpolation="nearest")
    bare(ax)


def _scale(figure: Figure, axes: Any) -> None:
    """The scale that all maps share, beside them."""
    bar = figure.colorbar(ScalarMappable(Normalize(0, MOST), COLORS), ax=axes, extend="max",
                          aspect=30, label="multiples of uniform attention")
    bar.outline.set_visible(False)
