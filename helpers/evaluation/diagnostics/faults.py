"""Mistakes to inject into a healthy ViT, each one that real projects have made.

A fault takes a ViT with a head and returns it broken. No shape changes: no error would show it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from helpers.models.vit import Attention, Block, ViT


class BlockWithoutResidual(Block):
    """Replaces the tokens by what its branches found, where it should add it."""

    def forward(self, tokens: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        tokens = self.dropout(self.attention(self.norm1(tokens), maps))
        return self.mlp(self.norm2(tokens))


class NormOverTokens(nn.LayerNorm):
    """Normalises each feature over the tokens of an image, where it should normalise each token."""

    def forward(self, tokens: Tensor) -> Tensor:
        variance, mean = torch.var_mean(tokens, dim=1, keepdim=True, correction=0)   # B, 1, W
        return (tokens - mean) / (variance + self.eps).sqrt() * self.weight + self.bias


class AttentionOverBatch(Attention):
    """Takes B x T x W for T x B x W, as a library does whose `batch_first` was forgotten."""

    def forward(self, tokens: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        return super().forward(tokens.transpose(0, 1), maps).transpose(0, 1)


def become(model: ViT, healthy: type[nn.Module], broken: type[nn.Module]) -> ViT:
    """Turn every `healthy` module into a `broken` one: same weights, another forward."""
    for module in model.modules():
        if type(module) is healthy:
            module.__class__ = broken
    return model


def forget_residual(model: ViT) -> ViT:
    """Every block drops its input."""
    return become(model, Block, BlockWithoutResidual)


def normalise_over_tokens(model: ViT) -> ViT:
    """Every LayerNorm works along the wrong dimension."""
    return become(model, nn.LayerNorm, NormOverTokens)


def drop_positions(model: ViT) -> ViT:
    """The model has no position embedding."""
    shape = model.positions
    del model.positions
    model.register_buffer("positions", torch.zeros_like(shape))
    return model


def freeze_block(model: ViT) -> ViT:
    """The middle block was frozen and never thawed."""
    model.blocks[len(model.blocks) // 2].requires_grad_(False)
    return model


def mix_batch(model: ViT) -> ViT:
    """Attention looks at the other images of the batch in place of the other patches."""
    return become(model, Attention, AttentionOverBatch)


def softmax_twice(model: ViT) -> ViT:
    """The model ends with a softmax, and the loss takes another."""
    model.head = nn.Sequential(model.head, nn.Softmax(dim=1))
    return model


def start_loud(model: ViT) -> ViT:
    """The head starts with weights of deviation 1: wild guesses, made with great confidence."""
    nn.init.normal_(model.head.weight, std=1.0)
    return model


def shuffle_labels(labels: Tensor) -> Tensor:
    """The N labels in an order that has nothing to do with the images."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return labels[order.to(labels.device)]


FAULTS: dict[str, Callable[[ViT], ViT]] = {
    "forgotten residual": forget_residual,
    "norm over tokens": normalise_over_tokens,
    "no position embedding": drop_positions,
    "frozen block": freeze_block,
    "attention over the batch": mix_batch,
    "softmax before the loss": softmax_twice,
    "head starts too large": start_loud,
}
DATA_FAULTS: dict[str, Callable[[Tensor], Tensor]] = {"shuffled labels": shuffle_labels}
