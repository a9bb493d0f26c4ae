"""Random views of images, made in batches on the device the batch is on.

Every image of a batch draws its own parameters. Cropping, flipping and resizing are two small
matrix products per image (antialiased like PIL's bilinear filter), and so is the blur, which is
what a GPU does best and a CPU does well. A view maps uint8 B x C x H x W to float B x C x S x S in
normalised units: [-1, 1], as `normalise` makes them. Noise is in these units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

DRAWINGS = ("digits", "fashion-mnist")  # gray, centred, of one size; everything else is photographs
GRAY = (0.299, 0.587, 0.114)  # ITU-R 601 luma, as PIL and torchvision use it


def normalise(images: Tensor) -> Tensor:
    """uint8 images of any shape to float32 in [-1, 1]; a float image is taken to be there already."""
    return images.float().div_(127.5).sub_(1.0) if images.dtype == torch.uint8 else images


def uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    """`count` numbers drawn evenly from [low, high), shaped B x 1 x 1 x 1 for use on images."""
    return torch.empty(count, 1, 1, 1, device=device).uniform_(low, high)


def chance(count: int, probability: float, device: torch.device) -> Tensor:
    """B x 1 x 1 x 1 booleans, each true with `probability`."""
    return torch.rand(count, 1, 1, 1, device=device) < probability


def sometimes(x: Tensor, probability: float, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`change` applied to each image of B x C x H x W with `probability`; x itself may be altered.

    A GPU changes all of them and picks, since asking which were chosen would wait for it; a CPU saves the work.
    """
    if probability <= 0 or probability >= 1:
        return change(x) if probability >= 1 else x
    chosen = chance(len(x), probability, x.device)
    if x.device.type != "cpu":
        return torch.where(chosen, change(x), x)
    index = chosen.view(-1).nonzero().view(-1)
    return x.index_copy_(0, index, change(x[index])) if len(index) else x


def add_noise(x: Tensor, sigma: float | Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Gaussian noise of deviation `sigma` (one, or B x 1 x 1 x 1) on B x C x H x W in normalised units, not clipped."""
    noise = torch.randn(x.shape, device=x.device, dtype=x.dtype, generator=generator)
    return x + noise * sigma


# --- cropping and blurring as matrix products -------------------------------------------------

def resize_weights(start: Tensor, length: Tensor, inputs: int, outputs: int) -> Tensor:
    """Weights that resample [start, start + length) of `inputs` pixels to `outputs` pixels.

    A triangle filter as wide as one output pixel (at least one input pixel): bilinear, and
    antialiased when it shrinks, like PIL's. `start` and `length` are B, the result B x outputs x inputs.
    A negative length reads backwards, which flips the image.
    """
    step = length[:, None] / outputs  # B x 1, input pixels per output pixel
    out = torch.arange(outputs, device=start.device, dtype=torch.float32)
    centre = start[:, None] + (out + 0.5) * step  # B x outputs
    pixel = torch.arange(inputs, device=start.device, dtype=torch.float32) + 0.5
    width = step.abs().clamp(min=1.0)[..., None]
    weights = (1 - (pixel - centre[..., None]).abs() / width).clamp_(min=0)  # B x outputs x inputs
    return weights / weights.sum(-1, keepdim=True)


def crop_boxes(count: int, height: int, width: int, scale: tuple[float, float],
               ratio: tuple[float, float], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random boxes as `torchvision.transforms.RandomResizedCrop` draws them: top, left, height, width.

    Ten tries for a box of a random area (share of the image, `scale`) and aspect ratio (log-uniform
    in `ratio`) that fits; the whole image where none does. Each result is B = `count` numbers in pixels.
    """
    shape = (count, 10)
    area = height * width * torch.empty(shape, device=device).uniform_(*scale)
    aspect = torch.empty(shape, device=device).uniform_(math.log(ratio[0]), math.log(ratio[1])).exp()
    w, h = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (w >= 1) & (h >= 1) & (w <= width) & (h <= height)
    first = fits.float().argmax(1, keepdim=True)
    none = ~fits.any(1)
    w = w.gather(1, first).squeeze(1).masked_fill(none, width)
    h = h.gather(1, first).squeeze(1).masked_fill(none, height)
    top = (torch.rand(count, device=device) * (height - h + 1)).floor()
    left = (torch.rand(count, device=device) * (width - w + 1)).floor()
    return top, left, h, w


def both_sides(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """left @ x @ right for every channel: B x S x H, B x C x H x W, B x W x S to B x C x S x S.

    The same as broadcasting `@` over the channels, which copies more and takes twice as long on a CPU.
    """
    count, channels, height, width = x.shape
    x = torch.bmm(x.reshape(count, channels * height, width), right).view(count * channels, height, -1)
    x = torch.bmm(left.repeat_interleave(channels, 0), x).view(count, channels, left.shape[1], -1)
    return x.float()  # under autocast the products are in half precision, the colours that follow are not


def crop(x: Tensor, boxes: tuple[Tensor, Tensor, Tensor, Tensor], size: int, flip: Tensor) -> Tensor:
    """Each image's box (of `crop_boxes`) as B x C x `size` x `size`, mirrored where `flip` (B booleans) says so."""
    top, left, height, width = boxes
    left, width = torch.where(flip, left + width, left), torch.where(flip, -width, width)
    rows = resize_weights(top, height, x.shape[2], size)  # B x S x H
    columns = resize_weights(left, width, x.shape[3], size)  # B x S x W
    return both_sides(rows, x, columns.mT)  # B x C x S x S


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of B x C x S x S with one `sigma` (pixels, B x 1 x 1 x 1) per image; edges are renormalised."""
    size = x.shape[-1]
    distance = torch.arange(size, device=x.device, dtype=torch.float32)
    distance = (distance[:, None] - distance[None]).square()  # S x S
    kernel = torch.exp(-distance / (2 * sigma.square()))  # B x 1 x S x S
    kernel = (kernel / kernel.sum(-1, keepdim=True)).squeeze(1)  # B x S x S
    return both_sides(kernel, x, kernel.mT)


# --- colour, on [0, 1] ------------------------------------------------------------------------

def grayscale(x: Tensor) -> Tensor:
    """B x 3 x H x W to its luma, B x 1 x H x W."""
    return (x * x.new_tensor(GRAY).view(1, 3, 1, 1)).sum(1, keepdim=True)


def blend(x: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    """factor * x + (1 - factor) * other, clipped to [0, 1] (PIL's ImageEnhance)."""
    return (factor * x + (1 - factor) * other).clamp_(0, 1)


def shift_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue of RGB images by `turn` of the full circle, B x 1 x 1 x 1 in [-0.5, 0.5]."""
    red, green, blue = x.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    is_red, is_green = value == red, value == green
    slope = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
    sector = slope.div_(chroma.clamp(min=1e-8)).add_(torch.where(is_red, 0.0, torch.where(is_green, 2.0, 4.0)))
    sector.add_(6 * turn.squeeze(1))  # the hue, in sixths of the circle
    shifted = torch.empty_like(x)
    for channel, offset in enumerate((5.0, 3.0, 1.0)):
        ramp = (sector + offset).remainder_(6).sub_(2).abs_().neg_().add_(2).clamp_(0, 1)
        torch.addcmul(value, chroma, ramp, value=-1, out=shifted[:, channel])
    return shifted


def jitter(x: Tensor, strength: tuple[float, float, float, float]) -> Tensor:
    """Brightness, contrast, saturation and hue of B x C x H x W in [0, 1], each image by its own amounts.

    `strength` as in torchvision's ColorJitter: factors from [1 - s, 1 + s], hue from [-s, s]. The
    order of the four is drawn once per batch (torchvision draws it per image).
    """
    count, device = x.shape[0], x.device
    brightness, contrast, saturation, hue = strength

    def factor(s: float) -> Tensor:
        return uniform(count, max(0.0, 1 - s), 1 + s, device)

    steps = [lambda x: blend(x, 0.0, factor(brightness)),
             lambda x: blend(x, luma(x).mean((2, 3), keepdim=True), factor(contrast)),
             lambda x: blend(x, grayscale(x), factor(saturation)) if x.shape[1] == 3 else x,
             lambda x: shift_hue(x, uniform(count, -hue, hue, device)) if x.shape[1] == 3 and hue else x]
    for index in torch.randperm(4).tolist():
        x = steps[index](x)
    return x


def luma(x: Tensor) -> Tensor:
    """The gray version of colour or gray images, B x 1 x H x W."""
    return grayscale(x) if x.shape[1] == 3 else x


# --- views --------------------------------------------------------------------------------------

@dataclass(frozen=True)
class PhotoView:
    """One view of a photograph for BYOL (Grill et al. 2020, appendix B), defaults as lightly's first view.

    `size` None keeps the image's own side. `jitter` is brightness, contrast, saturation, hue;
    `blur` is a probability with `sigmas` in pixels; `noise` a deviation in normalised units, added last.
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
        count, _, height, width = images.shape
        device, size = images.device, self.size or width
        x = images.float().div_(255)
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
    """One view of a small centred drawing: a gentle affine map, an elastic warp, ink strength, noise.

    Twice these strengths turn one digit into another and ruin what is learned. Angles in degrees;
    `shift` is a share of the half side; `zoom` and `stretch` are deviations of the log scale;
    `warp` in the same units as `shift`; `noise` is the largest deviation, normalised units.
    """

    angle: float = 12.5
    zoom: float = 0.14
    stretch: float = 0.1
    shear: float = 0.125
    shift: float = 0.125
    warp: float = 0.06
    ink: float = 0.2
    noise: float = 0.1

    def __call__(self, images: Tensor, strength: float = 1.0) -> Tensor:
        """uint8 B x C x H x W to float of the same shape in [-1, 1]; `strength` scales the noise."""
        x = normalise(images)
        count, device = x.shape[0], x.device
        grid = F.affine_grid(self.affine(count, device), list(x.shape), align_corners=False)  # B x H x W x 2
        coarse = torch.empty(count, 2, 4, 4, device=device).uniform_(-self.warp, self.warp)
        bend = F.interpolate(coarse, x.shape[2:], mode="bicubic", align_corners=True)
        x = F.grid_sample(x + 1, grid + bend.permute(0, 2, 3, 1), align_corners=False) - 1  # outside is black
        x = (x + 1) * uniform(count, 1 - self.ink, 1 + self.ink, device) - 1
        return add_noise(x, uniform(count, 0, self.noise, device) * strength) if self.noise else x

    def affine(self, count: int, device: torch.device) -> Tensor:
        """Random affine maps, B x 2 x 3, in the coordinates of `torch.nn.functional.affine_grid`."""
        def draw(limit: float) -> Tensor:
            return torch.empty(count, device=device).uniform_(-limit, limit)

        angle, zoom, stretch, shear = draw(math.radians(self.angle)), draw(self.zoom), draw(self.stretch), \
            draw(self.shear)
        across, down = (zoom + stretch).exp(), (zoom - stretch).exp()
        cos, sin = angle.cos(), angle.sin()
        rows = [torch.stack([cos * across, shear - sin, draw(self.shift)], 1),
                torch.stack([sin + shear * cos, cos * down, draw(self.shift)], 1)]
        return torch.stack(rows, 1)


@dataclass(frozen=True)
class CleanView:
    """The picture as it is, in normalised units."""

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

    Small drawings get `DigitView`; photographs get BYOL's view, without blur up to 64 pixels, where a blur of 2
    pixels leaves nothing to see. Photographs of 40 to 64 pixels are what a CPU trains on: their views have two
    thirds of the side, which is twice as quick, and an encoder that sees whole pictures larger than it was trained
    on does better, not worse (Touvron et al. 2019, arXiv:1906.06423). A ViT whose `patch` (pixels) does not divide
    that side gets the whole one.
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
