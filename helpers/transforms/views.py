"""Random views of images, made in batches on the device the batch is on.

Every image of a batch draws its own parameters; what is done with them is in
`helpers.transforms.functional`. A view maps uint8 B x C x H x W to float B x C x S x S in
normalised units: [-1, 1], as `normalise` makes them. Noise is in these units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.transforms.functional import (
    blur,
    chance,
    crop,
    crop_boxes,
    grayscale,
    jitter,
    sometimes,
    uniform,
    working_type,
)

DRAWINGS = ("digits", "fashion-mnist")  # gray, centred, of one size; everything else is photographs


def normalise(images: Tensor) -> Tensor:
    """uint8 images of any shape to float32 in [-1, 1]; float images are returned as they are."""
    return images.float().div_(127.5).sub_(1.0) if images.dtype == torch.uint8 else images


def add_noise(x: Tensor, sigma: float | Tensor, generator: torch.Generator | None = None) -> Tensor:
    """B x C x H x W plus Gaussian noise, not clipped.

    `sigma` is its deviation in normalised units: one number, or B x 1 x 1 x 1.
    """
    noise = torch.randn(x.shape, device=x.device, dtype=x.dtype, generator=generator)
    return x + noise.mul_(sigma)


@dataclass(frozen=True)
class PhotoView:
    """One view of a photograph for BYOL (Grill et al. 2020, appendix B).

    The defaults are those of lightly's first view. `size` None keeps the image's own side. `jitter`
    is brightness, contrast, saturation, hue; `blur` is a probability with `sigmas` in pixels;
    `noise` a deviation in normalised units, added last.
    """

    size: int | None = None
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    jitter_chance: float = 0.8
    gray: float = 0.2
    blur: float = 1.0
    sigmas: tuple[float, float] = (0.1, 2.0)
    solarize: float = 0.0
    noise: float = 0.0

    def __call__(self, images: Tensor, strength: float = 1.0) -> Tensor:
        """uint8 B x C x H x W to float B x C x S x S in [-1, 1]; `strength` scales the noise."""
        precise = working_type(images.device)
        with torch.autocast("cuda", enabled=False):
            return self.made(images.to(precise).div_(255), strength)

    def made(self, x: Tensor, strength: float) -> Tensor:
        """The view of images in [0, 1], of their type."""
        count, _, height, width = x.shape
        device, size = x.device, self.size or width
        boxes = crop_boxes(count, height, width, self.scale, self.ratio, device)
        x = crop(x, boxes, size, chance(count, self.flip, device).view(-1))
        x = x.clamp_(0, 1)
        x = sometimes(x, self.jitter_chance, lambda x: jitter(x, self.jitter))
        if x.shape[1] == 3:
            x = sometimes(x, self.gray, lambda x: grayscale(x).expand_as(x))
        x = sometimes(x, self.blur, lambda x: blur(x, uniform(len(x), *self.sigmas, x.device)))
        x = sometimes(x, self.solarize, lambda x: torch.where(x >= 0.5, 1 - x, x))
        x = x.mul(2).sub_(1)
        return add_noise(x, self.noise * strength) if self.noise else x


@dataclass(frozen=True)
class DigitView:
    """One view of a small centred drawing: affine map, elastic warp, ink strength; no noise.

    Twice these strengths turn one digit into another and ruin what is learned. Angles in degrees;
    `shift` is a share of the half side; `zoom` and `stretch` are deviations of the log scale;
    `warp` in the same units as `shift`; `noise`, if asked for, is the largest deviation, normalised
    units.
    """

    angle: float = 12.5
    zoom: float = 0.14
    stretch: float = 0.1
    shear: float = 0.125
    shift: float = 0.125
    warp: float = 0.06
    ink: float = 0.2
    noise: float = 0.0

    def __call__(self, images: Tensor, strength: float = 1.0) -> Tensor:
        """uint8 B x C x H x W to float of that shape in [-1, 1]; `strength` scales the noise."""
        x = normalise(images)
        count, device = x.shape[0], x.device
        # B x H x W x 2
        grid = F.affine_grid(self.affine(count, device), list(x.shape), align_corners=False)
        coarse = torch.empty(count, 2, 4, 4, device=device).uniform_(-self.warp, self.warp)
        bend = F.interpolate(coarse, x.shape[2:], mode="bicubic", align_corners=True)
        # outside is black
        x = F.grid_sample(x + 1, grid + bend.permute(0, 2, 3, 1), align_corners=False) - 1
        x = (x + 1) * uniform(count, 1 - self.ink, 1 + self.ink, device) - 1
        return add_noise(x, uniform(count, 0, self.noise, device) * strength) if self.noise else x

    def affine(self, count: int, device: torch.device) -> Tensor:
        """Random affine maps B x 2 x 3, for `torch.nn.functional.affine_grid`."""
        def draw(limit: float) -> Tensor:
            return torch.empty(count, device=device).uniform_(-limit, limit)

        angle, zoom = draw(math.radians(self.angle)), draw(self.zoom)
        stretch, shear = draw(self.stretch), draw(self.shear)
        across, down = (zoom + stretch).exp(), (zoom - stretch).exp()
        cos, sin = angle.cos(), angle.sin()
        rows = [torch.stack([cos * across, shear - sin, draw(self.shift)], 1),
                torch.stack([sin + shear * cos, cos * down, draw(self.shift)], 1)]
        return torch.stack(rows, 1)


@dataclass(frozen=True)
class CleanView:
    """The image as it is, in normalised units."""

    def __call__(self, images: Tensor, strength: float = 1.0) -> Tensor:
        return normalise(images)


@dataclass(frozen=True)
class Noisy:
    """Another view with Gaussian noise on top.

    Args:
        view: what is done before.
        sigma: (low, high) in normalised units; each image draws its own deviation from it.
    """

    view: PhotoView | DigitView | CleanView
    sigma: tuple[float, float]

    def __call__(self, images: Tensor, strength: float = 1.0) -> Tensor:
        x = self.view(images)
        return add_noise(x, uniform(x.shape[0], *self.sigma, x.device) * strength)


def view_for(dataset: str, image_size: int, patch: int = 1) -> PhotoView | DigitView:
    """The augmentation that suits a dataset, the same for every method so that they compare fairly.

    Small drawings get `DigitView`; photographs get BYOL's view, without blur up to 64 pixels, where
    a blur of 2 pixels leaves nothing to see. Photographs of 40 to 64 pixels are what a CPU trains
    on: their views have two thirds of the side, which is twice as quick, and an encoder that sees
    whole images larger than it was trained on does better, not worse (Touvron et al. 2019,
    arXiv:1906.06423). A ViT whose `patch` (pixels) does not divide that side gets the whole one.
    """
    if dataset == "digits":
        return DigitView()
    if dataset == "fashion-mnist":
        return PhotoView(scale=(0.5, 1.0), jitter=(0.4, 0.4, 0.0, 0.0), gray=0.0, blur=0.0)
    if image_size <= 64:
        side = image_size // 12 * 8
        smaller = image_size >= 40 and side % patch == 0
        return PhotoView(size=side if smaller else None, scale=(0.2, 1.0), blur=0.0)
    return PhotoView(blur=0.5)
