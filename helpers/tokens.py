"""What the tokens of a ViT know: features of its last blocks, and where its class token looks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.encoders import Encoder
from helpers.encoders.vit import ViT
from helpers.evaluation import batched, evaluating
from helpers.views import normalise


def is_vit(encoder: Encoder) -> bool:
    """Whether the encoder has tokens at all."""
    return isinstance(encoder.backbone, ViT)


def last_blocks(encoder: Encoder, images: Tensor, blocks: int = 4, pooled: bool = False,
                batch_size: int = 256) -> Tensor:
    """The class tokens of the last `blocks` blocks, each through the final norm, side by side.

    What DINO's linear classifier reads (Caron et al. 2021, appendix F.2: four blocks for ViT-S; for ViT-B one, with the
    mean patch beside it).

    Args:
        encoder: a ViT.
        images: uint8 N x C x S x S, or float in normalised units.
        pooled: also the mean of the last block's patch tokens.

    Returns:
        float32 N x (blocks * D), or N x ((blocks + 1) * D), on the CPU; `blocks` = 1 gives the encoder's own features.
    """
    vit, device = encoder.backbone, next(encoder.parameters()).device

    def tokens(batch: Tensor) -> Tensor:
        states = vit.layers(encoder.prepare(normalise(batch.to(device))))[1:-1]  # after each block
        last = [vit.norm(state) for state in states[-blocks:]]  # each B x T x D
        mean = [last[-1][:, 1:].mean(1)] if pooled else []
        return torch.cat([state[:, 0] for state in last] + mean, dim=1)

    with evaluating(encoder):
        return batched(tokens, images, batch_size)


def class_attention(encoder: Encoder, images: Tensor, size: int | None = None, batch_size: int = 4) -> Tensor:
    """How much the class token takes from each patch in the last block, a map a head.

    Args:
        encoder: a ViT.
        images: uint8 N x C x S x S.
        size: side to which the pictures are enlarged first, in pixels, a multiple of the patch size: a finer grid, for
            which the positions are stretched. None leaves them as they are.

    Returns:
        N x heads x G x G; what is missing from a sum of 1 is the class token's attention to itself.
    """
    vit, device = encoder.backbone, next(encoder.parameters()).device

    def last_map(batch: Tensor) -> Tensor:
        x = normalise(batch.to(device))
        if size is not None and size != x.shape[-1]:
            x = F.interpolate(x, size, mode="bilinear", align_corners=False)
        grid, maps = x.shape[-1] // vit.patch_size, []
        tokens = vit.embed(encoder.prepare(x))
        for block in vit.blocks[:-1]:  # theirs are not kept: at several resolutions they would fill the memory
            tokens = block(tokens)
        vit.blocks[-1](tokens, maps)
        return maps[0][:, :, 0, 1:].unflatten(2, (grid, grid))  # B x H x T x T to B x H x G x G

    with evaluating(encoder):
        return batched(last_map, images, batch_size)
