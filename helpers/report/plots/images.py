"""Figures made of images: samples, views, predictions."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.report.plots.style import GRAY, RIGHT, WIDTH, WRONG, array, canvas, headline, styled

# letters of a class name: up to 3, ten images fit in a row; after 13, or 9 of two side by side, it
# is cut
SHORT, LONGEST, PAIRED = 3, 13, 9
TITLE = 9  # points
CUT = "#d55e00"  # lines that cut an image
NUMBERED = 8  # patches a side, up to which a number fits into each


def as_array(image: Any) -> np.ndarray:
    """C x H x W, uint8 or float in [-1, 1], as matplotlib wants it: in [0, 1], channels last.

    Values outside [-1, 1], as noise makes them, are clipped: a screen cannot show them.
    """
    image = array(image)
    if image.dtype == np.uint8:
        image = image / 255
    else:
        image = np.clip((image.astype(np.float32) + 1) / 2, 0, 1)
    return image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)


def show(ax: Axes, image: Any) -> None:
    """One image without ticks, grid or frame."""
    ax.imshow(as_array(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    bare(ax)


def bare(ax: Axes) -> None:
    """Take ticks, grid and frame away."""
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)


def name_row(ax: Axes, name: str) -> None:
    """Write the name of a row of images beside the first of them."""
    ax.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=8)


@styled
def image_grid(images: Any, titles: Sequence[str] | None = None, columns: int = 8,
               title: str = "") -> Figure:
    """Images in rows.

    Args:
        images: N x C x H x W, uint8 or float in [-1, 1], one or three channels.
        titles: what stands above each image, in lines that fit.
        columns: images a row.
    """
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    side = WIDTH / max(columns, 4)
    above = [fitted(str(text), side) for text in (() if titles is None else titles)]
    lines = max((text.count("\n") + 1 for text in above), default=0)
    height = rows * (side + 0.1 * bool(lines) + 0.15 * lines) + 0.5 * bool(title)
    figure, axes = canvas(rows, columns, side * columns, height)
    for ax in axes.flat[len(images):]:
        ax.set_axis_off()
    for index, (ax, image) in enumerate(zip(axes.flat, array(images), strict=False)):
        show(ax, image)
        if titles is not None:
            ax.set_title(above[index], fontsize=TITLE)
    headline(figure, title)
    return figure


@styled
def views_grid(originals: Any, firsts: Any, seconds: Any, title: str = "",
               labels: Sequence[str] = ("image", "view 1", "view 2")) -> Figure:
    """Three rows of N x C x H x W images: the originals and two companions of each below it."""
    columns = len(originals)
    side = min(1.2, WIDTH / (columns + 1))
    figure, axes = canvas(3, columns, side * (columns + 1), 3 * side + 0.5)
    for line, images, label in zip(axes, (originals, firsts, seconds), labels, strict=True):
        for ax, image in zip(line, array(images), strict=True):
            show(ax, image)
        name_row(line[0], label)
    headline(figure, title)
    return figure


@styled
def patches(image: Any, size: int, title: str) -> Figure:
    """An image under the grid that cuts it, and its patches apart, numbered as a ViT reads them.

    Args:
        image: C x S x S, uint8 or float in [-1, 1].
        size: side of a patch in pixels, which divides S.
    """
    pixels, gap = as_array(image), max(1, size // 4)
    grid, step = len(pixels) // size, size + gap
    apart = np.ones((grid * step - gap, grid * step - gap, *pixels.shape[2:]))
    figure, axes = canvas(1, 2, 7.5, 3.9)
    left, right = axes[0]
    for row, column in np.ndindex(grid, grid):
        y, x = row * size, column * size
        apart[row * step:row * step + size, column * step:column * step + size] = \
            pixels[y:y + size, x:x + size]
    show(left, image)
    for edge in range(size, len(pixels), size):
        left.axhline(edge - 0.5, color=CUT, lw=1.2)
        left.axvline(edge - 0.5, color=CUT, lw=1.2)
    right.imshow(apart, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    bare(right)
    for number in range(grid**2 if grid <= NUMBERED else 0):
        row, column = divmod(number, grid)
        right.text(column * step, row * step, f"{number + 1}", color=CUT, fontsize=8, weight="bold",
                   ha="left", va="top")
    headline(figure, title, f"{grid} x {grid} patches of {size} x {size} pixels, read row by row")
    return figure


@styled
def predictions(images: Any, labels: Any, predicted: Mapping[str, Any], classes: Sequence[str],
                title: str = "") -> Figure:
    """Images with what each method predicts: green and ✓ when right, red and ✗ when wrong.

    Args:
        images: N x C x H x W, uint8 or float in [-1, 1]; twice as wide as high, two side by side.
        labels: N class numbers.
        predicted: N class numbers for each method; of two images side by side a pair of such.
        classes: names of the classes.
    """
    short, pairs = max(map(len, classes)) <= SHORT, images.shape[-1] >= 2 * images.shape[-2]
    labels, names = array(labels), [cut(name, PAIRED if pairs else LONGEST) for name in classes]
    most = (5 if short else 4) if pairs else (10 if short else 5)
    columns = max(1, min(most, len(images)))
    rows = max(1, -(-len(images) // columns))
    width = 0.8 * WIDTH / max(columns, 4 if most == 4 else 6)
    side = width * min(1, images.shape[-2] / images.shape[-1])
    height = 0.6 + rows * (side + 0.25 + 0.19 * len(predicted))
    figure, axes = canvas(rows, columns, WIDTH, height)
    for ax in axes.flat[len(images):]:
        ax.set_axis_off()
    for index, (ax, image) in enumerate(zip(axes.flat, array(images), strict=False)):
        show(ax, image)
        ax.set_anchor("N")  # so that the verdicts below keep clear of the note
        ax.set_title(cut(classes[labels[index]]), fontsize=9.5)
        for line, (method, classified) in enumerate(predicted.items()):
            halves = classified if isinstance(classified, tuple) else (classified,)
            for half, found in enumerate(halves, 1):
                label = int(array(found)[index])
                mark, color = ("✓", RIGHT) if label == labels[index] else ("✗", WRONG)
                middle = (half - 0.5) / len(halves)
                _beneath(ax, line, f"{mark} {names[label]}", middle, "center", color,
                         8.5 if pairs else 9)
            if index % columns == 0:
                _beneath(ax, line, method, -0.18, "right", GRAY)
    headline(figure, title, "above: the true class · below: ✓ right, ✗ wrong")
    return figure


def fitted(text: str, width: float, size: float = TITLE) -> str:
    """Text in lines that fit into so many inches; a word that is longer is cut."""
    letters = max(4, int(width * 72 / (0.58 * size)))
    lines = [part for line in text.split("\n")
             for part in textwrap.wrap(line, letters, break_long_words=False) or [""]]
    return "\n".join(cut(line, letters) for line in lines)


def cut(name: str, most: int = LONGEST) -> str:
    """A class name that fits above a small image, of so many letters."""
    return name if len(name) <= most else f"{name[:most - 1]}…"


def _beneath(ax: Axes, line: int, text: str, x: float, align: str, color: str,
             size: float = 9) -> None:
    """A line of text under the axes, at `x` as a share of its width."""
    ax.annotate(text, (x, 0), (0, -3 - 13 * line), xycoords="axes fraction",
                textcoords="offset points", ha=align, va="top", fontsize=size,
                color=color)
