"""torchvision's ResNets, MobileNetV3 and EfficientNet as encoders, with strides that suit the image
size."""

from __future__ import annotations

from torch import nn
from torchvision import models

from helpers.models.few_pixels import quicken_convolutions

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
MOBILENETS = ("mobilenet_v3_small", "efficientnet_b0")
SMALL = 64  # up to this side, in pixels, ImageNet's first stride throws away more than it keeps
MOMENTUM = 0.1  # of batch norm: torchvision's 0.01 settles after hundreds of steps only


def build_resnet(name: str, *, image_size: int, channels: int, stem: str = "auto") -> nn.Module:
    """A ResNet that returns the pooled features: B x 512, from 50 layers on B x 2048.

    Args:
        name: one of `RESNETS`.
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


def build_mobilenet(name: str, *, image_size: int, channels: int) -> nn.Module:
    """A MobileNetV3 (Howard et al. 2019) or EfficientNet (Tan & Le 2019) that returns the pooled
    features: B x 576 or B x 1280.

    Args:
        name: one of `MOBILENETS`.
        image_size: side of the images in pixels; up to `SMALL` the first stride is 1, so that the
            features are a 16th of the image's side in place of a 32nd.
        channels: of the images, 1 or 3.
    """
    model = getattr(models, name)(weights=None)
    linear = next(layer for layer in model.classifier if isinstance(layer, nn.Linear))
    model.num_features = linear.in_features
    model.classifier = nn.Identity()
    first, stride = model.features[0], 1 if image_size <= SMALL else 2
    if stride == 1 or channels != 3:
        first[0] = nn.Conv2d(channels, first[0].out_channels, 3, stride, 1, bias=False)
        nn.init.kaiming_normal_(first[0].weight, mode="fan_out")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = MOMENTUM
    return model
