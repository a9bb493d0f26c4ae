"""What can be read off a classifier: its loss, gradients, updates and activations.

Images are float B x C x S x S in [-1, 1], labels int64 B, and both lie on the model's device. A
model maps images to logits B x classes, and none of these functions changes it.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.common.compute import threads_for
from helpers.evaluation.diagnostics.overfit import adamw
from helpers.evaluation.features import eval_mode
from helpers.evaluation.layers import outputs_of


class LossAtStart(NamedTuple):
    """The mean cross-entropy of a model, and the ln(classes) of one that prefers no class."""

    loss: float
    expected: float


def loss_at_start(model: nn.Module, images: Tensor, labels: Tensor) -> LossAtStart:
    """Cross-entropy in eval mode; before training it should be near ln(classes)."""
    with eval_mode(model), torch.no_grad():
        logits = model(images)
    return LossAtStart(F.cross_entropy(logits, labels).item(), math.log(logits.shape[1]))


def gradient_norms(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Euclidean norm of the loss's gradient for each named parameter, in eval mode; 0 where it is
    frozen or the output does not depend on it."""
    named = {name: parameter for name, parameter in model.named_parameters()
             if parameter.requires_grad}
    norms = {name: 0.0 for name, _ in model.named_parameters()}
    with eval_mode(model):
        loss = F.cross_entropy(model(images), labels)
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    norms |= {name: gradient.norm().item() for name, gradient in zip(named, gradients, strict=True)
              if gradient is not None}
    return norms


def update_ratios(model: nn.Module, images: Tensor, labels: Tensor, lr: float,
                  steps: int = 10) -> dict[str, float]:
    """Norm of an AdamW update over the norm of the weights it changes, averaged over `steps`, on a
    copy.

    About 1e-3 is healthy; far below it a layer stands still, far above it is rewritten at every
    step. Only tensors of two or more dimensions count: biases start at zero.
    """
    model = copy.deepcopy(model).train()
    weights = {name: parameter for name, parameter in model.named_parameters()
               if parameter.ndim > 1}
    optimizer = adamw(model, lr)
    total = dict.fromkeys(weights, 0.0)
    with torch.random.fork_rng(), threads_for(images):
        torch.manual_seed(0)
        for _ in range(steps):
            before = {name: weight.detach().clone() for name, weight in weights.items()}
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
            for name, weight in weights.items():
                total[name] += (
                    (weight.detach() - before[name]).norm() / before[name].norm()).item() / steps
    return total


def activation_statistics(model: nn.Module, images: Tensor) -> list[dict[str, float | str]]:
    """Mean and standard deviation of each block's output in eval mode: rows of layer, mean, std."""
    with outputs_of(blocks_of(model)) as seen, eval_mode(model), torch.no_grad():
        model(images)
    return [{"layer": name, "mean": output.mean().item(), "std": output.std().item()}
            for name, (output,) in seen.items()]


def blocks_of(model: nn.Module) -> dict[str, nn.Module]:
    """A ViT's blocks: "block 1" and so on."""
    return {f"block {number}": block for number, block in enumerate(model.blocks, start=1)}


def block_values(model: nn.Module, images: Tensor,
                 labels: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """"block 1" and so on -> the block's outputs and the loss's gradients by its weights, each as
    one flat tensor on the CPU; in eval mode."""
    blocks = blocks_of(model)
    with outputs_of(blocks) as seen, eval_mode(model):
        loss = F.cross_entropy(model(images), labels)
    values = {}
    for name, block in blocks.items():
        weights = [weight for weight in block.parameters() if weight.requires_grad]
        gradients = torch.autograd.grad(loss, weights, allow_unused=True,
                                        retain_graph=True) if weights else []
        found = [gradient.flatten() for gradient in gradients if gradient is not None]
        values[name] = (seen[name][0].detach().flatten().cpu(),
                        torch.cat(found).cpu() if found else torch.empty(0))
    return values
