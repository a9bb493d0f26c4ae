"""torchvision's MobileNetV3 as an encoder, with strides that suit the image size."""

from __future__ import annotations

from torch import nn
from torchvision import models

NAMES = ("mobilenet_v3_small",)
SMALL = 64  # up to this side, in pixels, the first stride throws away more than it keeps
MOMENTUM = 0.1  # of batch norm: torchvision's 0.01 settles after hundreds of steps only


def build_mobilenet(name: str, *, image_size: int, channels: int) -> nn.Module:
    """A MobileNetV3 (Howard et al. 2019) that returns the pooled features: B x 576.

    Args:
        name: one of `NAMES`.
        image_size: side of the images in pixels; up to `SMALL` the first stride is 1, so that the
            features are a 16th of the image's side in place of a 32nd.
        channels: of the images, 1 or 3.
    """
    model = getattr(models, name)(weights=None)
    model.num_features = model.classifier[0].in_features
    model.classifier = nn.Identity()
    first, stride = model.features[0], 1 if image_size <= SMALL else 2
    if stride == 1 or channels != 3:
        first[0] = nn.Conv2d(channels, 16, 3, stride, 1, bias=False)
        nn.init.kaiming_normal_(first[0].weight, mode="fan_out")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = MOMENTUM
    return model
