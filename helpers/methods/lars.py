"""LARS: each layer's own rate, for large batches (You et al. 2017, arXiv:1708.03888)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """SGD with momentum in which a layer's step is a share of the norm of its weights.

    As in BYOL's own code, groups without weight decay (biases and normalisation) take plain steps.
    All tensors in a few calls, and the host waits for nothing on the way.

    Args:
        groups: parameters with their rates and decay, see `helpers.methods.optim.parameter_groups`.
        momentum: share of the last step that is made again.
        trust: the share of a weight's norm that a step of rate 1 has.
    """

    def __init__(self, groups: Iterable[dict], momentum: float = 0.9, trust: float = 1e-3) -> None:
        super().__init__(groups, dict(momentum=momentum, trust=trust))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._move(group, weights)
        return loss

    def _move(self, group: dict, weights: list[Tensor]) -> None:
        steps = [weight.grad for weight in weights]
        if group["weight_decay"]:
            steps = torch._foreach_add(steps, weights, alpha=group["weight_decay"])
            torch._foreach_mul_(steps, trusted(weights, steps, group["trust"]))
        for weight in weights:
            if "momentum_buffer" not in self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        moved = [self.state[weight]["momentum_buffer"] for weight in weights]
        torch._foreach_mul_(moved, group["momentum"])
        torch._foreach_add_(moved, steps)
        torch._foreach_add_(weights, moved, alpha=-group["lr"])


def trusted(weights: list[Tensor], steps: list[Tensor], trust: float) -> list[Tensor]:
    """For each tensor what its step is multiplied by: `trust` times the ratio of the two norms, 1
    where one of them is zero."""
    large, small = (torch.stack(torch._foreach_norm(each)) for each in (weights, steps))
    ratios = torch.where((large > 0) & (small > 0), trust * large / small, 1.0)
    return list(ratios.unbind())
