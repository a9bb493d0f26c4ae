"""What is done to images, in batches on the device the batch is on: crops, blur, colours.

Cropping, flipping and resizing are two small matrix products per image (antialiased like PIL's
bilinear filter), and so is the blur, which is what a GPU does best and a CPU does well.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Boxes = tuple[Tensor, Tensor, Tensor, Tensor]  # top, left, height, width of B boxes, in pixels
GRAY = (0.299, 0.587, 0.114)  # ITU-R 601 luma, as PIL and torchvision use it


def working_type(device: torch.device) -> torch.dtype:
    """What views are made in: fp32, and fp16 on a GPU that trains in half precision, where they
    are a matter of memory traffic. fp16 tells apart eight times as many grays as uint8 has; bf16
    not as many."""
    return torch.float16 if device.type == "cuda" and torch.is_autocast_enabled() else torch.float32


def uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    """`count` numbers drawn evenly from [low, high), shaped B x 1 x 1 x 1 for use on images."""
    return torch.empty(count, 1, 1, 1, device=device).uniform_(low, high)


def chance(count: int, probability: float, device: torch.device) -> Tensor:
    """B x 1 x 1 x 1 booleans, each true with `probability`."""
    return torch.rand(count, 1, 1, 1, device=device) < probability


def sometimes(x: Tensor, probability: float, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`change` applied to each image of B x C x H x W with `probability`; x itself may be altered.

    A GPU changes all of them and picks, since asking which were chosen would wait for it; a CPU
    saves the work.
    """
    if probability <= 0 or probability >= 1:
        return change(x) if probability >= 1 else x
    chosen = chance(len(x), probability, x.device)
    if x.device.type != "cpu":
        return torch.where(chosen, change(x), x)
    index = chosen.view(-1).nonzero().view(-1)
    return x.index_copy_(0, index, change(x[index])) if len(index) else x


# --- cropping and blurring as matrix products -------------------------------------------------

def resize_weights(start: Tensor, length: Tensor, inputs: int, outputs: int) -> Tensor:
    """Weights that resample [start, start + length) of `inputs` pixels to `outputs` pixels.

    A triangle filter as wide as one output pixel (at least one input pixel): bilinear, and
    antialiased when it shrinks, like PIL's. `start` and `length` are B, the result B x outputs x
    inputs. A negative length reads backwards, which flips the image.
    """
    step = length[:, None] / outputs  # B x 1, input pixels per output pixel
    out = torch.arange(outputs, device=start.device, dtype=torch.float32)
    centre = start[:, None] + (out + 0.5) * step  # B x outputs
    pixel = torch.arange(inputs, device=start.device, dtype=torch.float32) + 0.5
    width = step.abs().clamp(min=1.0)[..., None]
    weights = (1 - (pixel - centre[..., None]).abs() / width).clamp_(min=0)  # B x outputs x inputs
    return weights / weights.sum(-1, keepdim=True)


def crop_boxes(count: int, height: int, width: int, scale: tuple[float, float],
               ratio: tuple[float, float], device: torch.device) -> Boxes:
    """Random boxes as `torchvision.transforms.RandomResizedCrop` draws them.

    Ten tries for a box of a random area (share of the image, `scale`) and aspect ratio (log-uniform
    in `ratio`) that fits; the whole image where none does.

    Returns:
        top, left, height, width: B = `count` numbers each, in pixels.
    """
    shape = (count, 10)
    area = height * width * torch.empty(shape, device=device).uniform_(*scale)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = torch.empty(shape, device=device).uniform_(low, high).exp()
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

    The same as broadcasting `@` over the channels, which copies more and takes twice as long on a
    CPU.
    """
    count, channels, height, width = x.shape
    left, right = left.to(x.dtype), right.to(x.dtype)
    made = torch.bmm(x.reshape(count, channels * height, width),
                     right).view(count * channels, height, -1)
    made = torch.bmm(left.repeat_interleave(channels, 0), made)
    # under autocast on a CPU the products are in half precision, the colours that follow are not
    return made.view(count, channels, left.shape[1], -1).to(x.dtype)


def crop(x: Tensor, boxes: Boxes, size: int, flip: Tensor) -> Tensor:
    """Each image's box as B x C x `size` x `size`, mirrored where `flip` (B booleans) is true."""
    top, left, height, width = boxes
    left, width = torch.where(flip, left + width, left), torch.where(flip, -width, width)
    rows = resize_weights(top, height, x.shape[2], size)  # B x S x H
    columns = resize_weights(left, width, x.shape[3], size)  # B x S x W
    return both_sides(rows, x, columns.mT)  # B x C x S x S


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of B x C x S x S with one `sigma` (B x 1 x 1 x 1, pixels) per image.

    At the edges the kernel is normalised again.
    """
    size = x.shape[-1]
    distance = torch.arange(size, device=x.device, dtype=torch.float32)
    distance = (distance[:, None] - distance[None]).square()  # S x S
    kernel = torch.exp(-distance / (2 * sigma.square()))  # B x 1 x S x S
    kernel = (kernel / kernel.sum(-1, keepdim=True)).squeeze(1)  # B x S x S
    return both_sides(kernel, x, kernel.mT)


# --- colour, on [0, 1] ------------------------------------------------------------------------

def grayscale(x: Tensor) -> Tensor:
    """Colour images to their luma, gray ones as they are: B x 1 x H x W."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.split(1, 1)
    return (red * GRAY[0]).add_(green, alpha=GRAY[1]).add_(blue, alpha=GRAY[2])


def blend(x: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    """factor * x + (1 - factor) * other, clipped to [0, 1] (PIL's ImageEnhance)."""
    factor = factor.to(x.dtype)
    return (factor * x + (1 - factor) * other).clamp_(0, 1)


def shift_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue of RGB images by `turn` of the full circle, B x 1 x 1 x 1 in [-0.5, 0.5]."""
    red, green, blue = x.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    is_red, is_green = value == red, value == green
    slope = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
    least = max(1e-8, torch.finfo(x.dtype).tiny)  # fp16 has no 1e-8
    sector = slope.div_(chroma.clamp(min=least)).add_(
        torch.where(is_red, 0.0, torch.where(is_green, 2.0, 4.0)))
    sector.add_(6 * turn.squeeze(1))  # the hue, in sixths of the circle
    shifted = torch.empty_like(x)
    for channel, offset in enumerate((5.0, 3.0, 1.0)):
        ramp = (sector + offset).remainder_(6).sub_(2).abs_().neg_().add_(2).clamp_(0, 1)
        torch.addcmul(value, chroma, ramp, value=-1, out=shifted[:, channel])
    return shifted


def jitter(x: Tensor, strength: tuple[float, float, float, float]) -> Tensor:
    """Brightness, contrast, saturation and hue of B x C x H x W in [0, 1], drawn for each image.

    `strength` as in torchvision's ColorJitter: factors from [1 - s, 1 + s], hue from [-s, s]. The
    order of the four is drawn once per batch (torchvision draws it per image).
    """
    count, device = x.shape[0], x.device
    brightness, contrast, saturation, hue = strength

    def factor(s: float) -> Tensor:
        return uniform(count, max(0.0, 1 - s), 1 + s, device)

    steps = [
        lambda x: blend(x, 0.0, factor(brightness)),
        lambda x: blend(x, grayscale(x).mean((2, 3), keepdim=True), factor(contrast)),
        lambda x: blend(x, grayscale(x), factor(saturation)),
        lambda x: shift_hue(x, uniform(count, -hue, hue, device)) if hue else x,
    ]
    for index in torch.randperm(4).tolist():
        if index < 2 or x.shape[1] == 3:  # gray has neither saturation nor hue
            x = steps[index](x)
    return x
