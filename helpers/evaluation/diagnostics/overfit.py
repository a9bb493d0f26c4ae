"""Memorising one batch: the quickest sign that a network can learn, and a search for its rate.

Images are float B x C x S x S in [-1, 1], labels int64 B, and both lie on the model's device.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.common.compute import threads_for

CANDIDATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


@dataclass(frozen=True)
class Overfit:
    """How a model memorised one batch: `losses[i]` is the loss before update i + 1."""

    losses: list[float]
    steps: int
    reached: bool
    seconds: float


def adamw(model: nn.Module, lr: float) -> torch.optim.AdamW:
    """AdamW without weight decay, which would work against memorising, on what may be trained."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in trainable)
    return torch.optim.AdamW(trainable, lr=lr, weight_decay=0.0, fused=fused)


def overfit_one_batch(model: nn.Module, images: Tensor, labels: Tensor, *, lr: float = 3e-3,
                      max_steps: int = 200, tolerance: float = 1e-3, seed: int = 0) -> Overfit:
    """Train `model` in place on the same batch, until its cross-entropy is below `tolerance`.

    A network that cannot memorise a few dozen images will not learn from thousands. `seed` fixes
    what its dropout draws. A loss that is not a number ends the attempt.
    """
    optimizer = adamw(model.train(), lr)
    losses: list[float] = []
    began = time.perf_counter()
    with torch.random.fork_rng(), threads_for(images):
        torch.manual_seed(seed)
        while True:
            loss = F.cross_entropy(model(images), labels)
            losses.append(loss.item())
            reached = losses[-1] < tolerance
            if reached or len(losses) > max_steps or not math.isfinite(losses[-1]):
                return Overfit(losses, len(losses) - 1, reached, time.perf_counter() - began)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def search_learning_rate(make_model: Callable[[], nn.Module], images: Tensor, labels: Tensor,
                         candidates: Sequence[float] = CANDIDATES, *, max_steps: int = 200,
                         tolerance: float = 1e-3, seed: int = 0) -> dict[float, Overfit]:
    """Overfit the batch once per learning rate, each time from the same weights.

    `make_model` draws its weights from torch's global generator, which is seeded before each call.
    """
    runs = {}
    for lr in candidates:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = make_model()
        runs[lr] = overfit_one_batch(model.to(images.device), images, labels, lr=lr,
                                     max_steps=max_steps, tolerance=tolerance, seed=seed)
    return runs


def best_learning_rate(runs: dict[float, Overfit]) -> float:
    """The rate that reached the tolerance in the fewest steps, or else came nearest."""
    def rank(lr: float) -> tuple[bool, int, float]:
        run = runs[lr]
        last = run.losses[-1] if math.isfinite(run.losses[-1]) else math.inf
        return not run.reached, run.steps if run.reached else 0, last

    return min(runs, key=rank)
