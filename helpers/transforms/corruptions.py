"""Common corruptions: what else than Gaussian noise happens to images, at five severities.

The kinds follow ImageNet-C (Hendrycks & Dietterich 2019, arXiv:1903.12261), and so do the
severities of shot and impulse noise, contrast, brightness and JPEG. Those of blur, fog and pixelate
are our own: they are shares of an image's side, so that they suit 16 pixels as well as 224. A
damaged image is still an image of 8 bits, so the result is rounded to them: what contrast squeezes
together is lost.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from helpers.transforms.functional import blur
from helpers.transforms.views import normalise

SEVERITIES: dict[str, tuple[float, ...]] = {
    "shot noise": (60, 25, 12, 5, 3),                  # photons for full brightness
    "impulse noise": (0.03, 0.06, 0.09, 0.17, 0.27),   # share of pixels that are black or white
    # deviation of the Gaussian, as a share of the side
    "blur": (0.01, 0.02, 0.03, 0.045, 0.06),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),            # factor on the distance to the image's mean
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),           # added, in pixel units [0, 1]
    # light of the fog, relative to full brightness
    "fog": (0.5, 0.75, 1.0, 1.5, 2.0),
    "pixelate": (0.5, 0.4, 0.3, 0.25, 0.2),            # pixels along a side, as a share of the side
    "JPEG": (25, 18, 15, 10, 7),                       # quality
}
RANDOM = ("shot noise", "impulse noise", "fog")  # the others make one and the same image every time
OCTAVES = (2, 4, 8)  # waves of fog along a side


def corrupt(images: Tensor, name: str, severity: int, seed: int = 0) -> Tensor:
    """Images with one kind of corruption.

    Args:
        images: uint8 or float in [-1, 1], N x C x H x W, one or three channels, on any device.
        name: one of `SEVERITIES`.
        severity: 1 to 5.
        seed: what is random depends on it, the name and the severity alone.

    Returns:
        Images of the same type, shape and device.

    Raises:
        ValueError: an unknown name or severity.
    """
    if name not in SEVERITIES or severity not in range(1, 6):
        raise ValueError(
            f"{name!r} at severity {severity}: choose {', '.join(SEVERITIES)} and a severity from "
            "1 to 5")
    x = ((normalise(images) + 1) / 2).clamp(0, 1)
    generator = torch.Generator(x.device).manual_seed(
        zlib.crc32(f"{name} {severity} {seed}".encode()))
    x = CORRUPTIONS[name](x, SEVERITIES[name][severity - 1], generator).clamp(0, 1)
    levels = (255 * x).round()
    return levels.to(torch.uint8) if images.dtype == torch.uint8 else levels / 127.5 - 1


# Each takes x in [0, 1], N x C x H x W, the severity's number and a generator on x's device, and
# returns N x C x H x W, which may leave [0, 1].

def shot(x: Tensor, photons: float, generator: torch.Generator) -> Tensor:
    """A camera that counts few photons: Poisson noise, stronger where the image is bright."""
    return torch.poisson(x * photons, generator) / photons


def impulse(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Dead pixels: a share of all values becomes black or white, evenly."""
    draw = torch.rand(x.shape, device=x.device, generator=generator)
    return x.masked_fill(draw < share / 2, 0).masked_fill(draw > 1 - share / 2, 1)


def defocus(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A Gaussian blur whose deviation is a share of the side."""
    return blur(x, torch.full((len(x), 1, 1, 1), share * x.shape[-1], device=x.device))


def contrast(x: Tensor, factor: float, generator: torch.Generator) -> Tensor:
    """Every channel squeezed towards its mean."""
    mean = x.mean((2, 3), keepdim=True)
    return mean + factor * (x - mean)


def brightness(x: Tensor, more: float, generator: torch.Generator) -> Tensor:
    """Light on everything; what is white already stays white."""
    return x + more


def fog(x: Tensor, light: float, generator: torch.Generator) -> Tensor:
    """Light clouds in front of the image: random waves in [0, 1], the finer the weaker."""
    cloud = x.new_zeros(len(x), 1, *x.shape[2:])
    for waves in OCTAVES:
        coarse = torch.rand(len(x), 1, waves, waves, device=x.device, generator=generator)
        cloud += F.interpolate(coarse, x.shape[2:], mode="bicubic", align_corners=True) / waves
    lowest, highest = cloud.amin((2, 3), keepdim=True), cloud.amax((2, 3), keepdim=True)
    return (x + light * (cloud - lowest) / (highest - lowest)) / (1 + light)


def pixelate(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Fewer, larger pixels."""
    small = [max(1, round(share * side)) for side in x.shape[2:]]
    return F.interpolate(F.interpolate(x, small, mode="area"), x.shape[2:], mode="nearest-exact")


def jpeg(x: Tensor, quality: float, generator: torch.Generator) -> Tensor:
    """Saved as a JPEG file of a low quality and read again, on the CPU whatever the device."""
    return torch.stack([_saved(image, int(quality)) for image in x.cpu()]).to(x.device) / 255


def _saved(image: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    to_pil_image((255 * image).round().to(torch.uint8)).save(file, "JPEG", quality=quality)
    return pil_to_tensor(Image.open(file, formats=["JPEG"]))


CORRUPTIONS: dict[str, Callable[[Tensor, float, torch.Generator], Tensor]] = {
    "shot noise": shot, "impulse noise": impulse, "blur": defocus, "contrast": contrast,
    "brightness": brightness, "fog": fog, "pixelate": pixelate, "JPEG": jpeg
}
