"""torchvision's ResNets as encoders, with a stem that suits the image size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

SMALL = 64  # up to this side, in pixels, ImageNet's stem throws away more than it keeps
FEW = 16  # pixels of a map, up to which a product of matrices is the quicker convolution on a CPU


class FewPixelsConv2d(nn.Conv2d):
    """nn.Conv2d that trains on a CPU as one matrix product where it makes maps of at most `FEW`
    pixels.

    The sums are the same; groups and dilation are not meant to be used. A CPU's convolutions are
    made for large maps: the last stage of a ResNet18 at 96 pixels has maps of 3 x 3 with 512
    channels, where a product is 3.5 times as fast in bf16 and 1.6 times in fp32 (64 images, forward
    and backward, two cores with AMX).
    """

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to B x O x h x w."""
        (up, left), (high, wide) = self.padding, self.kernel_size
        height, width = x.shape[2] + 2 * up, x.shape[3] + 2 * left
        # h, w
        rows, columns = (height - high) // self.stride[0] + 1, (width - wide) // self.stride[1] + 1
        if not self.training or x.device.type != "cpu" or rows * columns > FEW:
            return super().forward(x)
        first = torch.arange(rows).view(
            -1, 1) * self.stride[0] * width + torch.arange(columns) * self.stride[1]
        window = torch.arange(high).view(-1, 1) * width + torch.arange(wide)
        # h * w * k * k
        pixels = (first.view(-1, 1) + window.view(1, -1)).flatten()
        # B, H * W, C
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, left, left, up, up)).flatten(1, 2)
        # B * h * w, k * k * C
        windows = padded.index_select(1, pixels).view(len(x) * rows * columns, -1)
        # B * h * w, O
        sums = F.linear(windows, self.weight.permute(0, 2, 3, 1).flatten(1), self.bias)
        return sums.view(len(x), rows, columns, -1).permute(0, 3, 1, 2)


def build_resnet(name: str, *, image_size: int, channels: int, stem: str = "auto") -> nn.Module:
    """ResNet18 or ResNet50 that returns the pooled features, B x 512 or B x 2048.

    Args:
        stem: "imagenet" is the 7x7 convolution of stride 2 and the max-pooling of He et al. 2016;
            "small" the 3x3 convolution of stride 1 without pooling that their CIFAR networks use
            (section 4.2); "auto" takes "small" up to 64 pixels' side.
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
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.__class__ = FewPixelsConv2d
    return model
