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
    """The mean cross-entropy of an untrained model, and the ln(classes) of one that does not
    guess."""

    loss: float
    expected: float


def loss_at_start(model: nn.Module, images: Tensor, labels: Tensor) -> LossAtStart:
    """Cross-entropy in eval mode; before training it should be near ln(classes)."""
    with eval_mode(model), torch.no_grad():
        logits = model(images)
    return LossAtStart(F.cross_entropy(logits, labels).item(), math.log(logits.shape[1]))


def gradient_norms(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Euclidean norm of the loss's gradient for each named parameter, in eval mode.

    0 stands for a parameter that is frozen or that the output does not depend on.
    """
    named = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
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

    About 1e-3 is a healthy order of magnitude; far below it a layer stands still, far above it a
    layer is rewritten at every step. Only tensors of two or more dimensions count: biases start at
    zero.
    """
    model = copy.deepcopy(model).train()
    weights = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim > 1
    }
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


def activation_statistics(
        model: nn.Module, images: Tensor,
        layers: dict[str, nn.Module] | None = None) -> list[dict[str, float | str]]:
    """Mean and standard deviation of what each layer puts out, read by forward hooks in eval mode.

    Args:
        layers: name to module; by default the entries of `model.blocks`.

    Returns:
        One row a layer, in the order of `layers`: layer, mean, std.
    """
    if layers is None:
        layers = {f"block {index + 1}": block for index, block in enumerate(model.blocks)}
    with outputs_of(layers) as seen, eval_mode(model), torch.no_grad():
        model(images)
    return [{"layer": name, "mean": seen[name][0].mean().item(), "std": seen[name][0].std().item()}
            for name in layers]


def block_values(model: nn.Module, images: Tensor,
                 labels: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Every block's outputs, and the loss's gradient by all its weights, in eval mode.

    Returns:
        "block 1" and so on -> all entries of the block's output and all entries of the gradients of
        its weights, each as one flat tensor on the CPU.
    """
    blocks = {f"block {number}": block for number, block in enumerate(model.blocks, start=1)}
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
