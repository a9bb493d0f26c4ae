"""A dataset with known faults in it, to measure what finds them: outliers and wrong labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from helpers.common.names import DATASETS
from helpers.common.split import share_of
from helpers.data.splits import Labeled

LETTERS = "AEFHKMNRWXYV"  # none of them looks like a digit
AUTO = 0.02  # of a named dataset; a folder of one's own has faults enough
SCALE = 8  # letters and shapes are drawn so many times larger and then shrunk, for smooth edges


@dataclass(frozen=True, eq=False)
class Injected:
    """Images and labels with faults, and where the faults are.

    Attributes:
        data: the images, in a random order.
        outliers: N booleans: letters, shapes and noise that belong to no class.
        flipped: N booleans: images with another class's label.
        kinds: N names: "letter", "shape", "noise", or "" for the dataset's own.
        rows: N numbers: which image of the dataset it is, -1 for an outlier.
    """

    data: Labeled
    outliers: np.ndarray
    flipped: np.ndarray
    kinds: np.ndarray
    rows: np.ndarray


def injected_share(value: object, dataset: str) -> float:
    """How much to inject, as a person writes it: "auto" (2 % of a named dataset, nothing in a
    folder), 0.05, "5%" or 0.

    Raises:
        UserError: it is no share.
    """
    return share_of("INJECTED", value, AUTO if dataset in DATASETS else 0.0)


def inject(data: Labeled, share: float = AUTO, seed: int = 0) -> Injected:
    """Put faults into a copy of `data`: `share` of it outliers, `share` of its labels flipped.

    The outliers are a third each letters, shapes and noise, with a random label, since a folder
    gives one to everything. The same seed injects the same faults on every machine that has the
    same fonts.
    """
    random = np.random.RandomState(seed)
    count = max(3, round(share * len(data))) if share else 0
    channels, size = data.images.shape[1], data.images.shape[-1]
    kinds = [("letter", "shape", "noise")[i % 3] for i in range(count)]
    outliers = [DRAW[kind](size, channels, random)[None] for kind in kinds]
    classes = int(data.labels.max()) + 1
    labels = torch.cat([data.labels.clone(), torch.from_numpy(random.randint(0, classes, count))])
    flipped = np.zeros(len(labels), dtype=bool)
    flipped[random.choice(len(data), count, replace=False)] = True
    turn = torch.from_numpy(random.randint(1, classes, count))
    labels[torch.from_numpy(flipped)] = (labels[torch.from_numpy(flipped)] + turn) % classes
    order = random.permutation(len(labels))
    names = np.array([""] * len(data) + kinds)[order]
    images = torch.cat([data.images, *outliers])[torch.from_numpy(order)]
    return Injected(Labeled(images, labels[torch.from_numpy(order)]), names != "", flipped[order],
                   names, np.where(order < len(data), order, -1))


def letter(size: int, channels: int, random: np.random.RandomState) -> Tensor:
    """A light letter on black, somewhere near the middle: uint8 channels x size x size."""
    canvas = Image.new("L", (size * SCALE, size * SCALE))
    font = ImageFont.load_default(0.8 * size * SCALE)
    place = size * SCALE * (0.5 + random.uniform(-0.08, 0.08, 2))
    ImageDraw.Draw(canvas).text(tuple(place), random.choice(list(LETTERS)), 255, font, anchor="mm",
                                stroke_width=size * SCALE // 32)  # about as bold as handwriting
    return _shrunk(canvas, size, channels)


def shape(size: int, channels: int, random: np.random.RandomState) -> Tensor:
    """A square, a triangle, a cross or stripes, light on black: uint8 channels x size x size."""
    side = size * SCALE
    canvas, kind = Image.new("L", (side, side)), random.randint(4)
    draw = ImageDraw.Draw(canvas)
    low, high = side * random.uniform(0.08, 0.25), side * random.uniform(0.75, 0.92)
    if kind == 0:
        draw.rectangle((low, low, high, high), 255)
    elif kind == 1:
        draw.polygon([(low, high), (high, high), (side / 2, low)], 255)
    elif kind == 2:
        draw.line((low, low, high, high), 255, side // 8)
        draw.line((low, high, high, low), 255, side // 8)
    else:
        for row in range(0, side, side // 4):
            draw.rectangle((0, row, side, row + side // 8), 255)
    return _shrunk(canvas, size, channels)


def noise(size: int, channels: int, random: np.random.RandomState) -> Tensor:
    """Pixels drawn evenly from all values: uint8 channels x size x size."""
    return torch.from_numpy(random.randint(0, 256, (channels, size, size)).astype(np.uint8))


def _shrunk(canvas: Image.Image, size: int, channels: int) -> Tensor:
    small = np.asarray(canvas.resize((size, size), Image.Resampling.BOX))
    return torch.from_numpy(small.copy()).expand(channels, size, size)


DRAW = {"letter": letter, "shape": shape, "noise": noise}
