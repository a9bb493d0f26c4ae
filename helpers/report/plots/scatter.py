"""Figures of embeddings: images as points in two or three dimensions, coloured by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

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

ANGLES = (35, 125)  # degrees; two sides of a cloud, since a page cannot be turned
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
    figure.legend(handles=_handles(classes, labels, bool(noisy)), loc="outside right upper",
                  fontsize=9, handletextpad=0.2)
    also = ", each once clean and once noisy" if noisy else ""
    headline(figure, title, f"n = {len(labels):,} images{also} · the axes have no unit")
    return figure


def _panel(ax: Axes, points: np.ndarray, labels: np.ndarray, classes: Sequence[str],
           noisy: Any) -> None:
    shades = _shades(labels, classes)
    if noisy is not None:
        noisy = array(noisy)
        ax.scatter(noisy[:, 0], noisy[:, 1], s=15, marker="x", c=shades, linewidths=0.9, alpha=0.8)
    ax.scatter(points[:, 0], points[:, 1], s=13, c=shades, alpha=0.85, linewidths=0)
    if len(classes) <= MOST_NAMES:
        for label in np.unique(labels[labels >= 0]):
            ax.annotate(classes[label], _middle(points[labels == label]), ha="center", va="center",
                        fontsize=9.5, weight="bold",
                        path_effects=[withStroke(linewidth=2.5, foreground="white")])
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color=FAINT)


def _shades(labels: np.ndarray, classes: Sequence[str]) -> list[Any]:
    colors = class_colors(len(classes))
    return [colors[label] if label >= 0 else FAINT for label in labels]


def _middle(points: np.ndarray) -> np.ndarray:
    """The point nearest the median: a class in two islands is named on one of them, not between."""
    return points[np.abs(points - np.median(points, axis=0)).sum(1).argmin()]


def _handles(classes: Sequence[str], labels: np.ndarray, noisy: bool) -> list[Line2D]:
    def dot(color: Any, label: str, marker: str = "o") -> Line2D:
        return Line2D([], [], linestyle="", marker=marker, color=color, label=label, markersize=6)

    handles = [
        dot(color, name) for color, name in zip(class_colors(len(classes)), classes, strict=True)
    ]
    if (labels < 0).any():
        handles.append(dot(FAINT, "no label"))
    return handles + ([dot(GRAY, "clean"), dot(GRAY, "noisy", "x")] if noisy else [])


@styled
def embedding_3d(points: Any, labels: Any, classes: Sequence[str], title: str) -> Figure:
    """An N x 3 embedding seen from two sides, coloured by class."""
    points, labels = array(points), array(labels)
    figure = plt.figure(figsize=(WIDTH, 4.6), layout="constrained")
    for place, angle in enumerate(ANGLES, start=1):
        ax = figure.add_subplot(1, 2, place, projection="3d", elev=20, azim=angle)
        ax.scatter(*points.T, s=12, c=_shades(labels, classes), alpha=0.85, linewidths=0)
        ax.set_box_aspect(None, zoom=1.15)
        ax.set_title(f"seen from {angle}°")
        for axis, name in zip((ax.xaxis, ax.yaxis, ax.zaxis), "123", strict=True):
            axis.set_ticklabels([])
            axis.set_label_text(f"dimension {name}", fontsize=9)
            axis.labelpad = -10
    figure.legend(handles=_handles(classes, labels, False), loc="outside right upper", fontsize=9,
                  handletextpad=0.2)
    headline(figure, title, f"n = {len(labels):,} images · the axes have no unit")
    return figure
