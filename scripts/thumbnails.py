"""Draw the three small pictures of the README's first screen, `images/thumb_*.png`.

    python -m scripts.thumbnails            into images/
    python -m scripts.thumbnails FOLDER

They are drawn for 260 pixels, from the kept results, the embedded digits, the demo folder and
encoders of `weights/`; nothing is trained or downloaded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from helpers.common import ROOT
from helpers.common.files import atomic_path
from helpers.data import load
from helpers.evaluation import extract_features, joint, noisy_images, outlier_scores, tsne
from helpers.models import fetch, load_encoder
from helpers.report import claims, tables
from helpers.report.plots.images import show
from helpers.report.plots.style import GRAY, WRONG, canvas, class_colors, method_color, styled
from helpers.transforms import normalise
from scripts.docs import results

INCHES, DOTS = (2.6, 1.95), 200  # two pixels of the file for each of the page
# methods, what they are called, and where that stands: share of the width, percent
LINES = {"BYOL": ("learned without labels", 0.04, 99.5), "raw pixels": ("raw pixels", 0.55, 82)}
SIGMA, POINTS = 0.8, 300
FOLDER, SHOWN = "house", 12  # of images/demo
SMALL = {"fontsize": 8}


@styled
def label_curve() -> Figure:
    """Accuracy against labels per class, of a linear classifier on features and on pixels."""
    few = tables.few_labels(claims.quick_digits(results()))
    few = few[(few.protocol == "linear probe") & (few.labels_per_class != "all")]
    figure, axes = canvas(1, 1, *INCHES)
    ax = axes[0, 0]
    for method, (said, across, height) in LINES.items():
        own = few[few.method == method]
        x, y = own.labels_per_class.astype(int).to_numpy(), 100 * own["mean"].to_numpy()
        ax.plot(x, y, marker="o", markersize=3, color=method_color(method))
        ax.text(across, height, said, transform=ax.get_yaxis_transform(), va="center",
                color=method_color(method), **SMALL)
    ax.set_xscale("log")
    ax.set_xticks(x, x, **SMALL)
    ax.minorticks_off()
    ax.tick_params(axis="y", labelsize=8)
    ax.set_xlabel("labels per class", **SMALL)
    ax.set_ylabel("accuracy (%)", **SMALL)
    return figure


@styled
def maps() -> Figure:
    """Features of clean test digits (dots) and of the same ones under noise (crosses)."""
    test = load("digits", image_size=16).test
    images, labels = test.images[:POINTS], test.labels[:POINTS]
    encoder = load_encoder(fetch("byol-slim-digits")).eval()
    pair = [extract_features(encoder, shown) for shown in
            (normalise(images), noisy_images(images, SIGMA, 0))]
    colors = np.array(class_colors(10))[labels]
    figure, axes = canvas(1, 1, *INCHES)
    ax = axes[0, 0]
    clean, noisy = joint(lambda features: tsne(features, seed=0), *pair)
    ax.scatter(*noisy.T, s=7, marker="x", c=colors, linewidths=0.6)
    ax.scatter(*clean.T, s=5, c=colors, linewidths=0)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    keys = [Line2D([], [], linestyle="", marker=marker, color=GRAY, markersize=4, label=name)
            for name, marker in (("clean", "o"), ("noisy", "x"))]
    figure.legend(handles=keys, loc="outside lower center", ncols=2, handletextpad=0, fontsize=8)
    return figure


@styled
def odd_one_out() -> Figure:
    """Images of one folder, in a red frame the least like the others by an encoder's features."""
    scenes = load(str(ROOT / "images" / "demo"), image_size=48)
    parts = (scenes.train, scenes.val, scenes.test)
    labels = torch.cat([part.labels for part in parts])
    images = torch.cat([part.images for part in parts])[labels == scenes.classes.index(FOLDER)]
    features = extract_features(load_encoder(fetch("byol-slim-imagenette")).eval(), images)
    score = outlier_scores(features)["k nearest"]
    order = np.argsort(-score)[:SHOWN]
    figure, axes = canvas(3, 4, *INCHES)
    for ax, index in zip(axes.flat, np.sort(order), strict=True):
        show(ax, images[index])
        _frame(ax, index == order[0])
    return figure


def _frame(ax: Axes, odd: bool) -> None:
    ax.spines[:].set(visible=bool(odd), color=WRONG, linewidth=2.5)


DRAWN = {"labels": label_curve, "noise": maps, "folder": odd_one_out}


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    folder = Path(arguments[0]) if arguments else ROOT / "images"
    for name, draw in DRAWN.items():
        with atomic_path(folder / f"thumb_{name}.png") as temporary:
            draw().savefig(temporary, format="png", dpi=DOTS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
