"""Encoders: an image in normalised units goes in, one feature vector comes out.

`build(name, ...)` is the only way the suite makes one, so that a checkpoint can name its
encoder and rebuild it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.common.errors import UserError
from helpers.models.resnet import MOBILENETS, RESNETS, build_mobilenet, build_resnet
from helpers.models.slim import KINDS as SLIMS
from helpers.models.slim import build_slim
from helpers.models.vit import PRESETS, build_vit

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISATIONS = ("symmetric", "unit", "imagenet")
BACKBONES = {**{name: build_slim for name in SLIMS}, **{name: build_resnet for name in RESNETS},
             **{name: build_mobilenet for name in MOBILENETS},
             **{name: build_vit for name in PRESETS}}


class Encoder(nn.Module):
    """A backbone that knows its input and can be rebuilt from `config`.

    Args:
        backbone: maps B x C x H x W to B x D and has `num_features` (D).
        config: the arguments of `build` that made it.
        normalisation: what the backbone was trained on: "symmetric" is [-1, 1], "unit" is [0, 1],
            "imagenet" is [0, 1] less ImageNet's channel means, divided by its deviations.
        input_size: side in pixels to which images are resized first; None leaves them as they are.
    """

    def __init__(self, backbone: nn.Module, config: dict[str, Any],
                 normalisation: str = "symmetric", input_size: int | None = None) -> None:
        super().__init__()
        self.backbone, self.config = backbone, config
        self.meta: dict[str, Any] = {}  # what a checkpoint says about its training
        self.name, self.num_features = config["name"], backbone.num_features
        self.normalisation, self.input_size = normalisation, input_size
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    @property
    def patch_size(self) -> int:
        """Side of a ViT's patch in pixels, which divides that of its input; 1 for convolutions, and
        where images are resized."""
        return 1 if self.input_size else getattr(self.backbone, "patch_size", 1)

    def take_views_of(self, side: int) -> None:
        """From now on images are not resized, if it was to `side` pixels: views of such images are
        smaller, and to enlarge them all costs time. A ViT goes on, for its positions belong to one
        side."""
        if self.input_size == side and not hasattr(self.backbone, "patch_size"):
            self.config["image_size"] = self.config.pop("input_size")  # which its stem was made for
            self.input_size = None

    def prepare(self, x: Tensor) -> Tensor:
        """B x C x H x W from [-1, 1] to the size and the range that the backbone takes."""
        if self.input_size and x.shape[-1] != self.input_size:
            x = F.interpolate(x, (self.input_size, self.input_size), mode="bicubic",
                              antialias=x.shape[-1] > self.input_size)
        if self.normalisation == "symmetric":
            return x
        unit = x * 0.5 + 0.5
        return (unit - self.mean) / self.std if self.normalisation == "imagenet" else unit

    def forward(self, x: Tensor) -> Tensor:
        """Images B x C x H x W in [-1, 1] to features B x D."""
        return self.backbone(self.prepare(x))


def build(name: str, *, channels: int = 3, image_size: int = 96, normalisation: str = "symmetric",
          input_size: int | None = None, **options: Any) -> Encoder:
    """A fresh encoder with random weights.

    Args:
        name: one of `BACKBONES`.
        channels: 1 or 3 (ImageNet's normalisation needs 3).
        normalisation: what the weights are trained on, see `Encoder`; images always come in
            [-1, 1].
        image_size: side of the square input, in pixels; it decides the ResNet stem and ViT
            positions.
        input_size: side that images are resized to on their way in; it decides in place of
            `image_size`. None leaves them as they are.
        options: what the backbone's own function takes (e.g. `stem` for ResNets, `patch_size` for
            ViTs).

    Raises:
        UserError: for an unknown name or normalisation, or sizes that the backbone cannot have.
    """
    if normalisation not in NORMALISATIONS:
        raise UserError(
            f"unknown normalisation {normalisation!r}: choose {', '.join(NORMALISATIONS)}")
    if name not in BACKBONES:
        raise UserError(f"unknown encoder {name!r}: choose {', '.join(BACKBONES)}")
    config = dict(name=name, channels=channels, image_size=image_size, normalisation=normalisation,
                  **options)
    if input_size:
        config["input_size"] = input_size
    side = input_size or image_size
    try:
        backbone = BACKBONES[name](name, image_size=side, channels=channels, **options)
    except ValueError as problem:
        raise UserError(f"no {name} for images of {side} px: {problem}") from None
    return Encoder(backbone, config, normalisation, input_size)
