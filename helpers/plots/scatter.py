"""Representations as points in two or three dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from torch import Tensor

from helpers.plots.style import figure


def class_colors(count: int) -> list:
    """Colours for classes: matplotlib's ten where they do, else evenly around the circle of hues."""
    return sns.color_palette("tab10" if count <= 10 else "husl", count)


@figure
def embeddings(panels: Mapping[str, np.ndarray], labels: Tensor, classes: Sequence[str],
               noisy: Mapping[str, np.ndarray] | None = None, title: str = "") -> Figure:
    """N x 2 points per panel, coloured by class; `noisy` points of the same panels are crosses."""
    inks = class_colors(len(classes))
    fig, axes = plt.subplots(1, len(panels), figsize=(9, 9 / max(2, len(panels)) + 1.1), squeeze=False)
    for ax, (name, points) in zip(axes[0], panels.items(), strict=True):
        for number, ink in enumerate(inks):
            own = (labels == number).numpy()
            ax.scatter(*points[own].T, s=14, color=ink, alpha=0.8, lw=0)
            if noisy is not None:
                ax.scatter(*noisy[name][own].T, s=18, color=ink, alpha=0.75, lw=0.9, marker="x")
        ax.set_title(name, fontsize=10.5, fontweight="normal")
        ax.set_xticks([]), ax.set_yticks([])
        ax.grid(False)
    handles = [plt.Line2D([], [], marker="o", ls="", color=ink, label=name) for name, ink in zip(classes, inks, strict=True)]
    if noisy is not None:
        handles += [plt.Line2D([], [], marker="o", ls="", color="#777777", label="clean"),
                    plt.Line2D([], [], marker="x", ls="", color="#777777", label="noisy")]
    fig.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    fig.tight_layout(rect=(0, 0.09, 1, 1))
    fig.legend(handles=handles, loc="lower center", ncols=min(len(handles), 12), fontsize=9, handletextpad=0.1,
               columnspacing=0.9)
    return fig


@figure
def embedding_3d(points: np.ndarray, labels: Tensor, classes: Sequence[str], title: str) -> Figure:
    """N x 3 points, coloured by class, from two directions."""
    fig = plt.figure(figsize=(9, 4.6))
    for place, angle in enumerate((35, 125)):
        ax = fig.add_subplot(1, 2, place + 1, projection="3d")
        for number, (name, ink) in enumerate(zip(classes, class_colors(len(classes)), strict=True)):
            ax.scatter(*points[(labels == number).numpy()].T, s=12, color=ink, label=name, depthshade=True, lw=0)
        ax.view_init(22, angle)
        ax.set(xticklabels=[], yticklabels=[], zticklabels=[])
        ax.set_title(f"seen from {angle}°", fontsize=10, fontweight="normal", loc="center")
    handles, names = ax.get_legend_handles_labels()
    fig.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    fig.tight_layout(rect=(0, 0.07, 1, 1))
    fig.legend(handles, names, loc="lower center", ncols=min(len(names), 12), fontsize=9, markerscale=1.6,
               handletextpad=0.1, columnspacing=0.9)
    return fig
