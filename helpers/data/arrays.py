"""Datasets that are arrays already: resizing of whole blocks, and scikit-learn's digits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from helpers.data.carving import Shares, carve
from helpers.data.splits import Splits

CHUNK = 64  # images resized at a time, so that the float copy stays small: 39 MB at 224 pixels


def resize(images: Tensor, size: int) -> Tensor:
    """Images (uint8, N x C x H x W) as uint8, N x C x size x size.

    Bilinear, and antialiased when it shrinks.
    """
    if images.shape[-2:] == (size, size):
        return images
    resized = torch.empty((*images.shape[:2], size, size), dtype=torch.uint8)
    for source, target in zip(images.split(CHUNK), resized.split(CHUNK), strict=True):
        shrinks = size < source.shape[-1]
        pixels = functional.interpolate(source.float(), size=size, mode="bilinear",
                                        antialias=shrinks)
        target.copy_(pixels.round_().clamp_(0, 255))
    return resized


def digits(image_size: int, seed: int) -> Splits:
    """The 1,797 handwritten digits that come with scikit-learn: 1,097 train, 200 val, 500 test.

    8 x 8 pixels of 0 to 16 are enlarged once, bilinearly, and scaled to 0 to 255.
    Source: https://scikit-learn.org/stable/datasets/toy_dataset.html#digits-dataset
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).float()[:, None]  # [N, 1, 8, 8]
    pixels = functional.interpolate(pixels, size=image_size, mode="bilinear", align_corners=False)
    images = (pixels * (255 / 16)).round().to(torch.uint8)
    labels = torch.from_numpy(bunch.target).long()
    classes = tuple(str(digit) for digit in bunch.target_names)
    return carve("digits", images, labels, {"train": (0, len(labels))}, classes,
                 Shares(val=200, test=500, seed=seed))
