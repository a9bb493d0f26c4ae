"""Pictures in rows: what goes in, what the views are, what a classifier said."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from helpers.plots.style import BAD, GOOD, figure


def as_picture(image: Tensor) -> np.ndarray:
    """C x H x W, uint8 or float in [-1, 1], to H x W x 3 or H x W in [0, 1]."""
    x = image.float() / 255 if image.dtype == torch.uint8 else image.float() * 0.5 + 0.5
    x = x.clamp(0, 1).permute(1, 2, 0).numpy()
    return x[..., 0] if x.shape[-1] == 1 else x


def show(ax: Axes, image: Tensor, title: str = "", ink: str = "#333333") -> None:
    """One picture without axes, gray where it has one channel."""
    ax.imshow(as_picture(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([]), ax.set_yticks([])
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)
    if title:
        ax.set_title(title, fontsize=9, fontweight="normal", loc="center", pad=3, color=ink)


@figure
def image_grid(images: Tensor, titles: Sequence[str] | None = None, columns: int = 8, title: str = "") -> Figure:
    """Pictures N x C x H x W (uint8, or float in [-1, 1]) in rows of `columns`."""
    rows = -(-len(images) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(9, 9 / columns * rows * 1.18 + 0.5), squeeze=False)
    for index, ax in enumerate(axes.flat):
        if index < len(images):
            show(ax, images[index], titles[index] if titles is not None else "")
        else:
            ax.axis("off")
    fig.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    fig.tight_layout(pad=0.4)
    return fig


@figure
def views_grid(originals: Tensor, firsts: Tensor, seconds: Tensor, title: str = "",
               labels: Sequence[str] = ("picture", "view 1", "view 2")) -> Figure:
    """Three rows: pictures and two companions of each, one column a picture."""
    fig, axes = plt.subplots(3, len(originals), figsize=(9, 27 / len(originals) * 1.02 + 0.5), squeeze=False)
    for row, (name, images) in enumerate(zip(labels, (originals, firsts, seconds), strict=True)):
        for ax, image in zip(axes[row], images, strict=True):
            show(ax, image)
        axes[row, 0].set_ylabel(name, fontsize=10)
    fig.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    fig.tight_layout(pad=0.3)
    return fig


@figure
def predictions(images: Tensor, labels: Tensor, predicted: dict[str, Tensor], classes: Sequence[str],
                title: str = "") -> Figure:
    """Pictures in a row; under each, what every method takes it for, with a tick where that is right."""
    fig, axes = plt.subplots(1, len(images), figsize=(9, 1.6 + 0.26 * len(predicted)), squeeze=False)
    for column, ax in enumerate(axes[0]):
        show(ax, images[column], classes[labels[column]])
        for row, (name, guesses) in enumerate(predicted.items()):
            right = bool(guesses[column] == labels[column])
            y = -0.16 - 0.24 * row
            ax.text(0.5, y, f"{'✓' if right else '✗'} {classes[guesses[column]]}", ha="center", va="center", fontsize=9,
                    transform=ax.transAxes, color=GOOD if right else BAD, fontweight="normal" if right else "bold")
            if column == 0:
                ax.text(-0.25, y, name, ha="right", va="center", fontsize=9, transform=ax.transAxes)
    fig.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    fig.subplots_adjust(left=0.19, right=0.995, top=0.80, bottom=0.05 + 0.09 * len(predicted), wspace=0.08)
    return fig
