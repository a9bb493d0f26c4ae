"""Where a ViT's tokens look: attention maps, and what of them reaches the prediction.

Maps are B x heads x T x T for B images of T tokens: row i says what token i takes from each token.
Token 0 is the class token, the others are patches of a G x G grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.evaluation.features import batched, eval_mode, evaluating
from helpers.models.encoder import Encoder
from helpers.models.vit import ViT
from helpers.transforms.views import normalise

AT_A_TIME = 4  # images: maps of fine grids are large


def class_attention(encoder: Encoder, images: Tensor, size: int | None = None) -> Tensor:
    """How much the class token of a ViT takes from each patch in the last block, a map per head.

    Args:
        images: uint8 N x C x S x S.
        size: side in pixels to which the images are enlarged first, a multiple of the patch size:
            a finer grid, for which the positions are stretched.

    Returns:
        N x heads x G x G; what is missing from a sum of 1 is the class token's attention to itself
        and to registers.
    """
    vit, device = encoder.backbone, next(encoder.parameters()).device

    def last_map(batch: Tensor) -> Tensor:
        x = normalise(batch.to(device))
        if size is not None and size != x.shape[-1]:
            x = F.interpolate(x, size, mode="bilinear", align_corners=False)
        x, maps = encoder.prepare(x), []
        grid = x.shape[-1] // vit.patch_size
        tokens = vit.embed(x)
        for block in vit.blocks[:-1]:  # their maps are not kept: they would fill the memory
            tokens = block(tokens)
        vit.blocks[-1](tokens, maps)
        patches = maps[0][:, :, 0, 1:1 + grid**2]
        return patches.unflatten(2, (grid, grid))  # B x H x T x T to B x H x G x G

    with evaluating(encoder):
        return batched(last_map, images, AT_A_TIME)


def attention_and_gradients(
        vit: ViT, head: nn.Module, images: Tensor,
        classes: Tensor | None = None) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Attention maps of every block, and the gradient of a class's logit by each; in eval mode.

    Args:
        vit: gives tokens; its own head is not used.
        head: features B x W to logits.
        images: B x C x S x S, prepared as `vit` wants them.
        classes: B, whose logit to follow; None takes each image's largest.

    Returns:
        The maps and the gradients, one tensor per block each, and the classes.
    """
    maps: list[Tensor] = []
    with eval_mode(vit), eval_mode(head), torch.enable_grad():
        logits = head(vit.tokens(images, maps)[:, 0])
        classes = logits.argmax(1) if classes is None else classes
        gradients = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), maps)
    return [weights.detach() for weights in maps], list(gradients), classes


def attention_rollout(maps: list[Tensor]) -> Tensor:
    """How much each final token draws on each patch, through all blocks: B x T x T, rows sum to 1.

    Heads are averaged, half of the identity stands for the residual connection, and the blocks'
    matrices are multiplied (Abnar & Zuidema 2020, section 3). Row 0 without its first entry,
    reshaped to G x G, is what the class token saw of the image.
    """
    identity = rollout = torch.eye(maps[0].shape[-1]).to(maps[0])                         # T, T
    for weights in maps:
        rollout = (weights.mean(dim=1) + identity) / 2 @ rollout                          # B, T, T
    return rollout


def gradient_rollout(maps: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """How much each patch raised the logit, through all blocks: B x T x T.

    An attention weight counts as much as the logit would grow with it; weights that lower it count
    nothing. Heads are averaged, blocks are added up (Chefer et al. 2021, arXiv:2103.15679,
    equations 5 and 6). Row 0 without its first entry, reshaped to G x G, is the map of the image.
    Unlike `attention_rollout` it differs from class to class, and its rows have no fixed sum.
    """
    relevance = torch.eye(maps[0].shape[-1]).to(maps[0])                                  # T, T
    for weights, gradient in zip(maps, gradients, strict=True):
        used = (weights * gradient).clamp(min=0).mean(dim=1)                              # B, T, T
        relevance = relevance + used @ relevance
    return relevance


def hide_patches(images: Tensor, ranking: Tensor, count: int) -> Tensor:
    """Cover the `count` patches that a ranking puts first with the mean of each channel.

    Where the patches matter most to the prediction, covering them costs the most accuracy: a test
    of a map that needs no eye.

    Args:
        images: float B x C x S x S.
        ranking: B x G x G, the larger the earlier, of a grid that divides S.
        count: patches of each image, from 0 to G * G.
    """
    order = ranking.flatten(1).argsort(dim=1, descending=True, stable=True)[:, :count]
    hidden = torch.zeros(ranking.flatten(1).shape, dtype=torch.bool, device=ranking.device)
    hidden = hidden.scatter(1, order, True).view_as(ranking)[:, None].float()         # B, 1, G, G
    mask = F.interpolate(hidden, images.shape[-2:], mode="nearest").bool().to(images.device)
    return torch.where(mask, images.mean((0, 2, 3), keepdim=True), images)
