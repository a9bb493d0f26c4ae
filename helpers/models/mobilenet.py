"""torchvision's MobileNetV3 as an encoder, with strides that suit the image size."""

from __future__ import annotations

from torch import nn
from torchvision import models

NAMES = ("mobilenet_v3_small",)
SMALL = 64  # up to this side, in pixels, two of the five strides throw away more than they keep


def build_mobilenet(name: str, *, image_size: int, channels: int) -> nn.Module:
    """A MobileNetV3 (Howard et al. 2019) that returns the pooled features: B x 576.

    Args:
        name: one of `NAMES`.
        image_size: side of the images in pixels; up to `SMALL` the first two strides are 1, so that
            the features are an eighth of the image's side in place of a 32nd.
        channels: of the images, 1 or 3.
    """
    model = getattr(models, name)(weights=None)
    model.num_features = model.classifier[0].in_features
    model.classifier = nn.Identity()
    first, early = model.features[0], model.features[1].block[0][0]
    stride = 1 if image_size <= SMALL else 2
    if stride == 1 or channels != 3:
        first[0] = nn.Conv2d(channels, 16, 3, stride, 1, bias=False)
        nn.init.kaiming_normal_(first[0].weight, mode="fan_out")
    early.stride = (stride, stride)
    return model
