"""Encoders: an image in normalised units goes in, one feature vector comes out.

`build(name, ...)` is the only way the suite makes one, so that a checkpoint can name its
encoder and rebuild it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from helpers.encoders import resnet, slim, vit
from helpers.errors import UserError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BACKBONES = {"slim": slim.slim, "resnet18": resnet.resnet, "resnet50": resnet.resnet,
             **{name: vit.vit for name in vit.PRESETS}}


class Encoder(nn.Module):
    """A backbone that knows its input and can be rebuilt from `config`.

    Args:
        backbone: maps B x C x H x W to B x D and has `num_features` (D).
        config: the arguments of `build` that made it.
        normalisation: "symmetric" when the backbone wants [-1, 1] itself, "imagenet" when it was
            trained with ImageNet's channel means and deviations.
    """

    def __init__(self, backbone: nn.Module, config: dict[str, Any], normalisation: str = "symmetric") -> None:
        super().__init__()
        self.backbone, self.config = backbone, config
        self.name, self.num_features = config["name"], backbone.num_features
        self.imagenet = normalisation == "imagenet"
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def prepare(self, x: Tensor) -> Tensor:
        """[-1, 1] as the suite uses it to what the backbone was trained on."""
        return (x * 0.5 + 0.5 - self.mean) / self.std if self.imagenet else x

    def forward(self, x: Tensor) -> Tensor:
        """Images B x C x H x W in [-1, 1] to features B x D."""
        return self.backbone(self.prepare(x))


def build(name: str, *, channels: int = 3, image_size: int = 96, normalisation: str = "symmetric",
          **options: Any) -> Encoder:
    """A fresh encoder with random weights.

    Args:
        name: one of `BACKBONES`.
        channels: 1 or 3 (ImageNet's normalisation needs 3).
        image_size: side of the square input, in pixels; it decides the ResNet stem and ViT positions.
        options: what the backbone's own function takes (e.g. `stem` for ResNets, `patch_size` for ViTs).

    Raises:
        UserError: for an unknown name.
    """
    if name not in BACKBONES:
        raise UserError(f"unknown encoder {name!r}: choose {', '.join(BACKBONES)}")
    config = dict(name=name, channels=channels, image_size=image_size, normalisation=normalisation, **options)
    backbone = BACKBONES[name](name, image_size=image_size, channels=channels, **options)
    return Encoder(backbone, config, normalisation)
