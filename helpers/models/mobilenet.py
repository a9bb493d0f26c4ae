"""torchvision's MobileNetV3 and EfficientNet as encoders, with strides that suit the image size."""

from __future__ import annotations

from torch import nn
from torchvision import models

NAMES = ("mobilenet_v3_small", "efficientnet_b0")
SMALL = 64  # up to this side, in pixels, the first stride throws away more than it keeps
MOMENTUM = 0.1  # of batch norm: torchvision's 0.01 settles after hundreds of steps only


def build_mobilenet(name: str, *, image_size: int, channels: int) -> nn.Module:
    """A MobileNetV3 (Howard et al. 2019) or EfficientNet (Tan & Le 2019) that returns the pooled
    features: B x 576 or B x 1280.

    Args:
        name: one of `NAMES`.
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
