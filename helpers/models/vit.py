"""The Vision Transformer, from scratch and on one page.

Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021 (arXiv:2010.11929). An image is cut
into square patches; every patch becomes a token, a vector of `width` numbers; a stack of
identical blocks lets the tokens look at each other; an extra "class" token, which stands for
no patch, collects what is needed to name the image.

Letters in the shape comments: B images, G patches along a side, T = 1 + G * G tokens,
W = width, H heads, D = W / H numbers a head.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# how positions are stretched to another grid, see `interpolate_positions`
STRETCHES = ("corners", "dino", "smooth")
# 224 px in patches of 16 px, the paper's; attention costs the grid to the fourth power
LARGEST_GRID = 14

PRESETS: dict[str, dict[str, int]] = {
    "vit_tiny": {"width": 192, "depth": 12, "heads": 3},
    "vit_small": {"width": 384, "depth": 12, "heads": 6},
    "vit_base": {"width": 768, "depth": 12, "heads": 12},
    # learns digits on a CPU in seconds
    "vit_digits": {"width": 64, "depth": 4, "heads": 4, "mlp_ratio": 2},
}


class Attention(nn.Module):
    """Multi-head self-attention (paper, appendix A): each token gathers from all the others."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        """B x T x W to B x T x W; a list `maps` also receives the weights, B x H x T x T."""
        batch, count, width = tokens.shape
        # B, T, 3, H, D
        qkv = self.qkv(tokens).view(batch, count, 3, self.heads, width // self.heads)
        # each B, H, T, D
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        if maps is None:  # the same sum in one fused kernel, which never stores the weights
            gathered = F.scaled_dot_product_attention(query, key, value)               # B, H, T, D
        else:
            scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])        # B, H, T, T
            maps.append(scores.softmax(dim=-1))
            gathered = maps[-1] @ value                                                # B, H, T, D
        return self.out(gathered.transpose(1, 2).flatten(2))                           # B, T, W


class Block(nn.Module):
    """Attention, then an MLP on each token; each reads a normalised copy and adds what it found."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.dropout = nn.Dropout(dropout)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout),
                                 nn.Linear(hidden, width), nn.Dropout(dropout))

    def forward(self, tokens: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        """B x T x W to B x T x W (paper, equations 2 and 3)."""
        tokens = tokens + self.dropout(self.attention(self.norm1(tokens), maps))
        return tokens + self.mlp(self.norm2(tokens))


class ViT(nn.Module):
    """Images B x C x S x S in [-1, 1] to features B x W, or to logits if `num_classes` is given.

    S may be any multiple of `patch_size`: the positions are learned for `image_size` and stretched
    for others, such as DINO's small crops.

    Args:
        image_size: side of the square images that the positions are made for, in pixels; a multiple
            of `patch_size`.
        patch_size: side of a patch, in pixels.
        channels: 3 for colour, 1 for grey.
        width: length of a token; a multiple of `heads`.
        depth: number of blocks.
        heads: attention heads in a block.
        mlp_ratio: hidden units of a block's MLP, as a multiple of `width`.
        dropout: rate after the position embedding and after each dense layer but query, key, value.
        num_classes: adds a linear head on the class token; None gives the features themselves.
        stretch: one of `STRETCHES`: how positions are made for other sizes.

    Raises:
        ValueError: the sizes do not divide, or the stretch is unknown.
    """

    def __init__(self, *, image_size: int, patch_size: int, channels: int = 3, width: int,
                 depth: int, heads: int, mlp_ratio: float = 4, dropout: float = 0.0,
                 num_classes: int | None = None, stretch: str = "corners") -> None:
        super().__init__()
        if stretch not in STRETCHES:
            raise ValueError(f"stretch must be {' or '.join(STRETCHES)}, not {stretch!r}")
        self.stretch = stretch
        if patch_size < 1 or image_size < patch_size or image_size % patch_size:
            raise ValueError(
                f"image_size {image_size} is not a multiple of patch_size {patch_size}")
        if heads < 1 or width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.image_size, self.patch_size, self.channels = image_size, patch_size, channels
        self.grid = image_size // patch_size
        self.num_features = width

        # A convolution whose stride is its size is one linear map, applied to each patch alone.
        self.patches = nn.Conv2d(channels, width, kernel_size=patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + self.grid**2, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Identity() if num_classes is None else nn.Linear(width, num_classes)
        self.initialise()

    def initialise(self) -> None:
        """Random weights as in the paper's code.

        Xavier (Glorot & Bengio, 2010) in the blocks, 1 / sqrt(inputs) for the patches, and 0.02 for
        what is learned by itself and for the head, so that an untrained model prefers no class. All
        biases are zero.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.patches.weight, std=self.patches.weight[0].numel() ** -0.5)
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)
        if isinstance(self.head, nn.Linear):
            nn.init.trunc_normal_(self.head.weight, std=0.02)

    def embed(self, images: Tensor) -> Tensor:
        """Images B x C x S x S to the tokens B x T x W that enter the first block (equation 1)."""
        channels, height, width = images.shape[1:]
        if channels != self.channels or height != width or height % self.patch_size or not height:
            raise ValueError(
                f"this ViT reads square images, {self.channels} x {self.image_size} x "
                f"{self.image_size} or another multiple of {self.patch_size}, "
                f"not {channels} x {height} x {width}")
        positions = interpolate_positions(self.positions, self.grid, height // self.patch_size,
                                          self.stretch)
        tokens = self.patches(images)                             # B, W, G, G
        tokens = tokens.flatten(2).transpose(1, 2)                # B, G * G, W: row by row
        first = self.class_token.expand(len(images), -1, -1)      # B, 1, W
        tokens = torch.cat([first, tokens], dim=1)                # B, T, W
        return self.dropout(tokens + positions)

    def tokens(self, images: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        """All final tokens, B x T x W: the class token, then the patches row by row."""
        tokens = self.embed(images)
        for block in self.blocks:
            tokens = block(tokens, maps)
        return self.norm(tokens)

    def forward(self, images: Tensor) -> Tensor:
        """Features B x W of the class token, or logits B x num_classes (equation 4)."""
        return self.head(self.tokens(images)[:, 0])

    def layers(self, images: Tensor) -> list[Tensor]:
        """Tokens B x T x W after the positions are added, after each block and the final norm."""
        states = [self.embed(images)]
        for block in self.blocks:
            states.append(block(states[-1]))
        return [*states, self.norm(states[-1])]

    def attention_maps(self, images: Tensor) -> list[Tensor]:
        """B x H x T x T for each block: row t is how much token t takes from each (sum 1)."""
        maps: list[Tensor] = []
        self.tokens(images, maps)
        return maps


class ViTWithRegisters(ViT):
    """A ViT with some learned tokens that stand for no patch (Darcet et al. 2024, DINOv2's second
    release): scratch paper for the blocks, so that no patch is used as such.

    They have no position and come after the patches; what is given out leaves them away. In
    `attention_maps` they are the last rows and columns.
    """

    def __init__(self, *, registers: int, **options: Any) -> None:
        super().__init__(**options)
        self.registers = nn.Parameter(torch.zeros(1, registers, self.num_features))
        nn.init.trunc_normal_(self.registers, std=0.02)

    def embed(self, images: Tensor) -> Tensor:
        registers = self.registers.expand(len(images), -1, -1)
        return torch.cat([super().embed(images), registers], dim=1)

    def tokens(self, images: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        return super().tokens(images, maps)[:, :-self.registers.shape[1]]

    def layers(self, images: Tensor) -> list[Tensor]:
        return [state[:, :-self.registers.shape[1]] for state in super().layers(images)]


def interpolate_positions(positions: Tensor, old_grid: int, new_grid: int,
                          stretch: str = "corners") -> Tensor:
    """Stretch a learned position embedding to another number of patches (paper, section 3.2).

    Args:
        positions: 1 x (1 + old_grid ** 2) x W; the first entry, the class token's, is kept.
        old_grid, new_grid: patches along a side before and after.
        stretch: "corners" maps corner patches onto corner patches, as torchvision does; "dino" maps
            the edges of the image, with a grid that counts as a tenth of a patch longer, as the
            DINO repository does; "smooth" maps the edges and averages where the grid gets coarser,
            as DINOv2 with registers does. Weights that were trained so need it at other sizes.

    Returns:
        1 x (1 + new_grid ** 2) x W, bicubic.
    """
    if positions.shape[1] != 1 + old_grid**2:
        raise ValueError(
            f"{positions.shape[1]} positions do not make a class token and a grid of {old_grid}")
    if old_grid == new_grid:
        return positions
    first, rest = positions[:, :1], positions[:, 1:]
    # 1, W, G, G
    plane = rest.transpose(1, 2).unflatten(2, (old_grid, old_grid))
    if stretch == "dino":
        plane = F.interpolate(plane, scale_factor=(new_grid + 0.1) / old_grid, mode="bicubic")
    elif stretch == "smooth":
        plane = F.interpolate(plane, size=(new_grid, new_grid), mode="bicubic", antialias=True)
    else:
        plane = F.interpolate(plane, size=(new_grid, new_grid), mode="bicubic", align_corners=True)
    return torch.cat([first, plane.flatten(2).transpose(1, 2)], dim=1)


def default_patch_size(image_size: int) -> int:
    """The divisor of `image_size` nearest to its root, for a grid of 2 x 2 to 14 x 14 patches.

    16 px gives 4, 28 and 32 px give 4, 64 and 96 px give 8, 128 and 224 px give 16.
    """
    fitting = [size for size in range(1, image_size)
               if image_size % size == 0 and 2 <= image_size // size <= LARGEST_GRID]
    if not fitting:
        raise ValueError(
            f"no patch size cuts {image_size} px into 2 to {LARGEST_GRID} patches a side; "
            "resize the images, to 32 or 96 px for example")
    return min(fitting, key=lambda size: abs(size - math.sqrt(image_size)))


def build_vit(name: str, image_size: int, channels: int = 3, patch_size: int | None = None,
              **options: Any) -> ViT:
    """A ViT by the name of its preset; `options` go to `ViT` and win over the preset; with
    `registers` among them it is a `ViTWithRegisters`.

    Raises ValueError for a name that is not in `PRESETS`.
    """
    if name not in PRESETS:
        raise ValueError(f"no ViT is called {name!r}; choose one of {', '.join(PRESETS)}")
    patch_size = default_patch_size(image_size) if patch_size is None else patch_size
    kind = ViTWithRegisters if "registers" in options else ViT
    return kind(image_size=image_size, patch_size=patch_size, channels=channels,
                **PRESETS[name] | options)
