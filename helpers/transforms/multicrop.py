"""Multi-crop (Caron et al. 2020): two views of a whole image and several of small parts of it.

The parts are seen at a lower resolution, so that six of them cost about as much as one whole view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from helpers.transforms.functional import crop, crop_boxes
from helpers.transforms.views import DRAWINGS, DigitView, PhotoView, view_for

# side of a part's view over that of the whole (Caron et al. 2021, section 3.1)
LOCAL_SHARE = 96 / 224
# area of a drawing that a part shows; (0.1, 0.4) and (0.4, 0.9) do as well on digits
DRAWN_PART = (0.25, 0.6)
SMALLEST_PART = 0.05


@dataclass(frozen=True)
class Part:
    """A random part of what another view shows, enlarged or shrunk to `size` pixels' side.

    Args:
        view: what is done before.
        size: side of the result, in pixels.
        scale: smallest and largest area, as a share of the whole.
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
    """Two views of the whole image and `parts` views of a part, all made on the images' device."""

    first: PhotoView | DigitView
    second: PhotoView | DigitView
    part: PhotoView | Part
    parts: int

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 B x C x S x S to floats 2B x C x S x S and (parts * B) x C x s x s, view after
        view."""
        whole = torch.cat([self.first(images), self.second(images)])
        return whole, self.part(images.repeat(self.parts, 1, 1, 1))


def local_size(image_size: int, step: int = 8) -> int:
    """Side of a part's view in pixels: about 3/7 of the whole image's, a multiple of `step` (a
    ViT's patch).

    224 px with patches of 16 give 96 px, as in the paper.
    """
    return max(1, round(LOCAL_SHARE * image_size / step)) * step


def crops_for(dataset: str, image_size: int, *, step: int = 8, parts: int = 6,
              border: float = 0.4) -> MultiCrop:
    """The views that DINO takes of a dataset.

    The colours change as in `view_for`, the same for every method. Photographs get the strengths of
    the paper's code on top: blur always in the first view and seldom in the second, which is
    sometimes solarized instead.

    Args:
        step: the sides of views are multiples of it, in pixels; a ViT's patch size.
        parts: how many, 6 to 10 in the paper.
        border: area between that of parts and of wholes, as a share of the image: 0.4 for ViTs,
            0.14 for ResNets.
    """
    view = view_for(dataset, image_size)
    # mirrored colours make no sense there: no solarize, parts of at least a quarter
    if dataset in DRAWINGS:
        return MultiCrop(view, view, Part(view, local_size(image_size, step), DRAWN_PART), parts)
    side = (view.size or image_size) // step * step  # a CPU's views are smaller than the images
    whole = replace(view, size=side, scale=(border, 1.0))
    blurred = 1.0 if view.blur else 0.0
    part = replace(view, size=local_size(side, step), scale=(SMALLEST_PART, border),
                   blur=0.5 * blurred)
    return MultiCrop(replace(whole, blur=blurred), replace(whole, blur=0.1 * blurred, solarize=0.2),
                     part, parts)
