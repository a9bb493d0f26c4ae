"""Figures of embeddings: images as points in two or three dimensions, coloured by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from helpers.report.plots.style import (
    FAINT,
    GRAY,
    WIDTH,
    array,
    canvas,
    class_colors,
    headline,
    styled,
)

MOST_NAMES = 12  # more class names than this would cover the points


@styled
def embeddings(panels: Mapping[str, Any], labels: Any, classes: Sequence[str],
               noisy: Mapping[str, Any] | None = None, title: str = "") -> Figure:
    """Points coloured by class, one panel an embedding; class names are written into their clouds.

    Args:
        panels: panel title to N x 2 points.
        labels: N class numbers; -1 is drawn grey.
        noisy: panel title to N x 2 points of the same images with noise, drawn as crosses.
    """
    labels, noisy = array(labels), noisy or {}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = canvas(rows, columns, WIDTH, 0.9 + rows * min(4.0, (WIDTH - 1) / columns + 0.3))
    for ax in axes.flat[len(panels):]:
        ax.set_axis_off()
    for ax, (name, points) in zip(axes.flat, panels.items(), strict=False):
        _panel(ax, array(points), labels, classes, noisy.get(name))
        ax.set_title(name)
    _legend(figure, classes, labels, bool(noisy))
    also = ", each once clean and once noisy" if noisy else ""
    headline(figure, title, f"n = {len(labels):,} images{also} · the axes have no unit")
    _leave_out(figure)
    return figure


def _leave_out(figure: Figure) -> None:
    """Take away names that would lie on earlier ones; the legend has them all."""
    figure.draw_without_rendering()
    for ax in figure.axes:
        boxes: list[Bbox] = []
        for text in ax.texts:
            box = text.get_window_extent()
            text.set_visible(not any(box.overlaps(other) for other in boxes))
            boxes += [box] * text.get_visible()


def _panel(ax: Axes, points: np.ndarray, labels: np.ndarray, classes: Sequence[str],
           noisy: Any) -> None:
    shades = _shades(labels, classes)
    if noisy is not None:
        ax.scatter(*array(noisy).T, s=15, marker="x", c=shades, linewidths=0.9, alpha=0.8)
    ax.scatter(*points.T, s=13, c=shades, alpha=0.85, linewidths=0)
    if len(classes) <= MOST_NAMES:
        clouds = [(label, points[labels == label]) for label in np.unique(labels[labels >= 0])]
        clouds.sort(key=lambda item: np.median(_from_median(item[1])))  # see `_leave_out`
        for label, cloud in clouds:
            ax.annotate(classes[label], _middle(cloud), ha="center", va="center",
                        fontsize=9.5, weight="bold",
                        path_effects=[withStroke(linewidth=2.5, foreground="white")])
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color=FAINT)


def _shades(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """A colour for each label; the last one, grey, is that of -1."""
    return np.array([to_rgb(color) for color in [*class_colors(len(classes)), FAINT]])[labels]


def _from_median(points: np.ndarray) -> np.ndarray:
    """How far each of N x 2 points lies from their median: N."""
    return np.abs(points - np.median(points, axis=0)).sum(1)


def _middle(points: np.ndarray) -> np.ndarray:
    """The point nearest the median: a class in two islands is named on one of them, not between."""
    return points[_from_median(points).argmin()]


def _legend(figure: Figure, classes: Sequence[str], labels: np.ndarray, noisy: bool) -> None:
    entries = [(name, color, "o") for name, color in zip(classes, class_colors(len(classes)),
                                                         strict=True)]
    if (labels < 0).any():
        entries.append(("no label", FAINT, "o"))
    if noisy:
        entries += [("clean", GRAY, "o"), ("noisy", GRAY, "x")]
    handles = [Line2D([], [], linestyle="", marker=marker, color=color, label=name, markersize=6)
               for name, color, marker in entries]
    figure.legend(handles=handles, loc="outside right center", fontsize=9, handletextpad=0.2)


@styled
def embedding_3d(points: Any, labels: Any, classes: Sequence[str], title: str,
                 angle: float = 30, noisy: Any = None) -> Figure:
    """An N x 3 embedding seen from one side, `angle` in degrees, coloured by class; `noisy` are
    the same images under noise, as crosses."""
    points, labels = array(points), array(labels)
    figure = plt.figure(figsize=(0.75 * WIDTH, 5.0), layout="constrained")
    ax = figure.add_subplot(projection="3d", elev=20, azim=angle)
    ax.scatter(*points.T, s=14, c=_shades(labels, classes), alpha=0.85, linewidths=0)
    if noisy is not None:
        ax.scatter(*array(noisy).T, s=14, c=_shades(labels, classes), alpha=0.85, marker="x",
                   linewidths=0.9)
    ax.set_box_aspect(None, zoom=1.05)
    for axis, name in zip((ax.xaxis, ax.yaxis, ax.zaxis), "123", strict=True):
        axis.set_ticklabels([])
        axis.set_label_text(f"dimension {name}", fontsize=9)
        axis.labelpad = -10
    _legend(figure, classes, labels, noisy is not None)
    headline(figure, title,
             f"n = {len(labels):,} images, seen from {angle:g}° · the axes have no unit")
    return figure
