"""Slim, the encoder for a CPU: a ResNet of three blocks for very small images.

On a two-core CPU most of a ResNet18 step on 16-pixel images is spent on its 11 million
parameters, not on the images. This encoder has 173 thousand and learns digits in a minute.
`slim_fine` sees photographs at twice the side for the same work, and has a fourth block;
`slim_deep` is that with a second block behind each but the first, and `slim_joined` has the last
two stages' averages for features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KINDS = {"slim": {}, "slim_fine": dict(blocks=4, fine=True),
         "slim_deep": dict(blocks=4, fine=True, deep=True),
         "slim_joined": dict(blocks=4, fine=True, deep=True)}


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, 3.3): at half the resolution a 1x1
    convolution, at the same one nothing."""

    def __init__(self, inputs: int, outputs: int, stride: int = 2) -> None:
        super().__init__()
        self.residual = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                                      nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
                                      nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
                                      nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity() if stride == 1 else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return (self.residual(x) + self.shortcut(x)).relu()


class Slim(nn.Module):
    """Stem, residual blocks of stride 2, global average: B x C x H x W to B x features.

    Args:
        channels: of the input image.
        width: channels of the stem and the first block; each further block has twice as many.
        blocks: how many; the last one's channels are the features.
        fine: the stem halves the image (6x6, stride 2), so that an image of twice the side costs
            as much as before; else it keeps the side (3x3).
        deep: behind every block but the first stands another one that keeps the side.
    """

    def __init__(self, channels: int = 1, width: int = 24, blocks: int = 3,
                 fine: bool = False, deep: bool = False) -> None:
        super().__init__()
        kernel = (6, 2, 2) if fine else (3, 1, 1)  # side, stride, border
        widths = [width, *(width * 2**block for block in range(blocks))]
        self.num_features = widths[-1]
        self.stem = nn.Sequential(nn.Conv2d(channels, width, *kernel, bias=False),
                                  nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(*map(ResidualBlock, widths, widths[1:]))
        for number in range(1, blocks if deep else 0):
            again = ResidualBlock(widths[number + 1], widths[number + 1], stride=1)
            self.blocks[number] = nn.Sequential(self.blocks[number], again)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x)).mean(dim=(2, 3))  # B x F x H/8 x W/8 -> B x F


class JoinedSlim(Slim):
    """Slim with the averages of its last two stages for features, each at a root mean square of 1,
    so that neither outweighs the other by its scale."""

    def __init__(self, channels: int = 1, width: int = 24, **kind: int | bool) -> None:
        super().__init__(channels, width, **kind)
        self.num_features += self.num_features // 2

    def forward(self, x: Tensor) -> Tensor:
        *first, last = self.blocks
        x = self.stem(x)
        for block in first:
            x = block(x)
        averages = (stage.mean(dim=(2, 3)) for stage in (x, last(x)))
        return torch.cat([F.normalize(each, dim=1) * each.shape[1]**0.5 for each in averages], 1)


def build_slim(name: str, *, image_size: int, channels: int, width: int | None = None) -> Slim:
    """A fresh slim encoder for images of 8 pixels or more; the others for 32 or more.

    Args:
        name: one of `KINDS`.
        width: None is 24 for gray images and 32 for colour. To train on a CPU, take 8 or a multiple
            of it: torch's channels-last kernels have corrupted memory in the backward pass of
            narrower ones.
    """
    slim = JoinedSlim if name == "slim_joined" else Slim
    return slim(channels, width or (24 if channels == 1 else 32), **KINDS[name])
