"""Multi-crop (Caron et al. 2020): two global crops of an image and several small local ones.

Local crops have a lower resolution, so that six of them cost about as much as one global crop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from helpers.transforms.functional import crop, crop_boxes
from helpers.transforms.views import DRAWINGS, DigitView, PhotoView, view_for

# side of a local crop over that of a global one (Caron et al. 2021, section 3.1)
LOCAL_SHARE = 96 / 224
# area of a drawing that a local crop shows; (0.1, 0.4) and (0.4, 0.9) do as well on digits
DRAWN_LOCAL = (0.25, 0.6)
SMALLEST_LOCAL = 0.05


@dataclass(frozen=True)
class LocalCrop:
    """A random part of what another view shows, enlarged or shrunk to `size` pixels' side.

    Args:
        view: what is done before.
        size: side of the result, in pixels.
        scale: smallest and largest area, as a share of the image.
    """

    view: PhotoView | DigitView
    size: int
    scale: tuple[float, float]

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 B x C x H x W to float B x C x `size` x `size` in normalised units."""
        x = self.view(images)
        boxes = crop_boxes(len(x), *x.shape[2:], self.scale, (3 / 4, 4 / 3), x.device)
        return crop(x, boxes, self.size, torch.zeros(len(x), dtype=torch.bool, device=x.device))


@dataclass(frozen=True)
class MultiCrop:
    """Two global crops and `local_crops` local ones, all made on the images' device."""

    first: PhotoView | DigitView
    second: PhotoView | DigitView
    local: PhotoView | LocalCrop
    local_crops: int

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 B x C x S x S to floats 2B x C x S x S and (local_crops * B) x C x s x s."""
        large = torch.cat([self.first(images), self.second(images)])
        return large, self.local(images.repeat(self.local_crops, 1, 1, 1))


def local_size(image_size: int, step: int = 8) -> int:
    """Side of a local crop: about 3/7 of the image's, a multiple of `step` (a ViT's patch).

    224 px with patches of 16 give 96 px, as in the paper.
    """
    return max(1, round(LOCAL_SHARE * image_size / step)) * step


def multicrop_for(dataset: str, image_size: int, *, size: int | None = None, step: int = 8,
                  local_crops: int = 6,
                  global_scale: tuple[float, float] = (0.4, 1.0),
                  local_scale: tuple[float, float] | None = None) -> MultiCrop:
    """The crops that DINO takes of a dataset.

    The colours change as in `view_for`, the same for every method. Photographs get the strengths of
    the paper's code on top: blur always in the first crop and seldom in the second, which is
    sometimes solarized instead.

    Args:
        size: side of a photograph's global crop, in pixels, rounded down to a multiple of `step`;
            None is that of `view_for`'s views.
        step: the sides of crops are multiples of it, in pixels; a ViT's patch size.
        local_crops: how many, 6 to 10 in the paper.
        global_scale, local_scale: smallest and largest areas, as shares of the image. Of drawings a
            global crop shows everything.
    """
    view = view_for(dataset, image_size)
    # mirrored colours make no sense there: no solarize, local crops of at least a quarter
    if dataset in DRAWINGS:
        local = LocalCrop(view, local_size(image_size, step), local_scale or DRAWN_LOCAL)
        return MultiCrop(view, view, local, local_crops)
    # a CPU's views are smaller than the images
    side = max(1, (size or view.size or image_size) // step) * step
    large = replace(view, size=side, scale=global_scale)
    blurred = 1.0 if view.blur else 0.0
    local = replace(view, size=local_size(side, step), blur=0.5 * blurred,
                    scale=local_scale or (SMALLEST_LOCAL, global_scale[0]))
    return MultiCrop(replace(large, blur=blurred), replace(large, blur=0.1 * blurred, solarize=0.2),
                     local, local_crops)
