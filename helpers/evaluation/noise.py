"""Gaussian noise that depends on a seed alone, in normalised units."""

from __future__ import annotations

import torch
from torch import Tensor

from helpers.common.fields import number_of
from helpers.transforms.views import normalise

BATCH = 512  # images that share a draw of random numbers
STRIDE = 1_000_003  # between the random states of two seeds: a prime above any dataset's size


def sigmas_for(dataset: str) -> list[float]:
    """The standard deviations of a sweep, normalised units: to 1.5 as in the ViT-BYOL project;
    digits, which stay readable longer, go on to 2.0."""
    fine = [round(0.05 * step, 2) for step in range(31)]
    return fine + [1.6, 1.7, 1.8, 1.9, 2.0] if dataset == "digits" else fine


def unit_noise(images: Tensor, seed: int, first: int = 0) -> Tensor:
    """Noise of standard deviation 1 in the shape of `images` and on their device; it depends on
    `seed` and the number of the `first` image in its dataset alone."""
    generator = torch.Generator(images.device).manual_seed(STRIDE * seed + first)
    return torch.randn(images.shape, device=images.device, generator=generator)


def noisy_images(images: Tensor, sigma: float, seed: int) -> Tensor:
    """Images with noise of deviation `sigma`; another sigma makes the same noise louder.

    Args:
        images: uint8 N x C x H x W, or float in normalised units.
        sigma: in normalised units, twice that of pixels in [0, 1].

    Returns:
        float32 N x C x H x W in normalised units, not clipped.

    Raises:
        UserError: sigma is below zero or no number.
    """
    sigma = number_of("sigma", sigma, "float", 0)
    batches = [normalise(batch) for batch in images.split(BATCH)]
    return torch.cat([batch + sigma * unit_noise(batch, seed, BATCH * number)
                      for number, batch in enumerate(batches)])
