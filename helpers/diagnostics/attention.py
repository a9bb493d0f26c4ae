"""What a ViT's answer depends on: attention weights and how much the answer would change with them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from helpers.encoders.vit import ViT
from helpers.evaluation import eval_mode


def attention_and_gradients(vit: ViT, head: nn.Module, images: Tensor,
                            classes: Tensor | None = None) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Attention weights of every block, and the gradient of a class's logit by each of them, in eval mode.

    Args:
        vit: gives tokens; its own head is not used.
        head: features B x W to logits.
        images: B x C x S x S, prepared as `vit` wants them.
        classes: B, whose logit to follow; None takes each picture's largest.

    Returns:
        One B x H x T x T tensor a block, twice, and the classes.
    """
    maps: list[Tensor] = []
    with eval_mode(vit), eval_mode(head), torch.enable_grad():
        logits = head(vit.tokens(images, maps)[:, 0])
        classes = logits.argmax(1) if classes is None else classes
        gradients = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), maps)
    return [weights.detach() for weights in maps], list(gradients), classes


def gradient_rollout(maps: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """How much each final token's answer gained from each patch, through all blocks: B x T x T.

    An attention weight counts as much as the logit would grow with it; weights that speak against the class
    count nothing. Heads are averaged and blocks are added up, each acting on what came before it (Chefer et
    al. 2021, arXiv:2103.15679, equations 5 and 6). Row 0 without its first entry, reshaped to G x G, is the map
    of the picture. Unlike `attention_rollout` it differs from class to class, and its rows have no fixed sum.
    """
    relevance = torch.eye(maps[0].shape[-1], device=maps[0].device, dtype=maps[0].dtype)      # T, T
    for weights, gradient in zip(maps, gradients, strict=True):
        used = (weights * gradient).clamp(min=0).mean(dim=1)                                   # B, T, T
        relevance = relevance + used @ relevance
    return relevance
