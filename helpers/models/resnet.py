"""torchvision's ResNets as encoders, with a stem that suits the image size."""

from __future__ import annotations

from torch import nn
from torchvision import models

from helpers.models.few_pixels import quicken_convolutions

NAMES = ("resnet18", "resnet34", "resnet50", "resnet101")
SMALL = 64  # up to this side, in pixels, ImageNet's stem throws away more than it keeps


def build_resnet(name: str, *, image_size: int, channels: int, stem: str = "auto") -> nn.Module:
    """A ResNet that returns the pooled features: B x 512, from 50 layers on B x 2048.

    Args:
        name: one of `NAMES`.
        image_size: side of the images in pixels; "auto" chooses the stem by it.
        channels: of the images, 1 or 3.
        stem: "imagenet" is the 7x7 convolution of stride 2 and the max-pooling of He et al. 2016;
            "small" the 3x3 convolution of stride 1 without pooling that their CIFAR networks use
            (section 4.2); "auto" takes "small" up to 64 pixels' side.

    Raises:
        ValueError: an unknown stem.
    """
    if stem not in ("auto", "imagenet", "small"):
        raise ValueError(f"stem must be auto, imagenet or small, not {stem!r}")
    model = getattr(models, name)(weights=None)
    model.num_features = model.fc.in_features
    model.fc = nn.Identity()
    if stem == "small" or (stem == "auto" and image_size <= SMALL):
        model.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        model.maxpool = nn.Identity()
    elif channels != 3:
        model.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    return quicken_convolutions(model)
