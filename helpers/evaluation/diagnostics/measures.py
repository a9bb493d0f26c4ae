"""What can be read off a classifier: losses, gradients, updates, activations.

Images are float B x C x S x S in [-1, 1], labels int64 B, and both lie on the model's device.
Only `overfit_one_batch` changes the model it is given. A model maps images to logits B x classes.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.common.compute import threads_for
from helpers.evaluation.features import eval_mode

CANDIDATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


@dataclass(frozen=True)
class Overfit:
    """How a model memorised one batch: `losses[i]` is the loss before update i + 1."""

    losses: list[float]
    steps: int
    reached: bool
    seconds: float


class LossAtStart(NamedTuple):
    """The mean cross-entropy of an untrained model, and the ln(classes) of one that does not
    guess."""

    loss: float
    expected: float


def adamw(model: nn.Module, lr: float) -> torch.optim.AdamW:
    """AdamW without weight decay, which would work against memorising, on what may be trained."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in trainable)
    return torch.optim.AdamW(trainable, lr=lr, weight_decay=0.0, fused=fused)


def overfit_one_batch(model: nn.Module, images: Tensor, labels: Tensor, *, lr: float = 3e-3,
                      max_steps: int = 200, tolerance: float = 1e-3, seed: int = 0) -> Overfit:
    """Train `model` in place on the same batch, until its cross-entropy is below `tolerance`.

    A network that cannot learn a few dozen images by heart will not learn from thousands, and this
    takes seconds. It is in training mode, and `seed` fixes what its dropout draws. A loss that is
    not a number ends the attempt.
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
    """The rate that reached the tolerance in the fewest steps; if none did, the one that came
    nearest."""
    def rank(lr: float) -> tuple[bool, int, float]:
        run = runs[lr]
        last = run.losses[-1] if math.isfinite(run.losses[-1]) else math.inf
        return not run.reached, run.steps if run.reached else 0, last

    return min(runs, key=rank)


def loss_at_start(model: nn.Module, images: Tensor, labels: Tensor) -> LossAtStart:
    """Cross-entropy in eval mode; before training it should be near ln(classes), as no class is
    preferred."""
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
    rows: dict[str, dict[str, float | str]] = {}

    def reader(name: str) -> Callable[[nn.Module, tuple, Tensor], None]:
        def read(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            rows[name] = {"layer": name, "mean": output.mean().item(), "std": output.std().item()}
        return read

    hooks = [module.register_forward_hook(reader(name)) for name, module in layers.items()]
    try:
        with eval_mode(model), torch.no_grad():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return [rows[name] for name in layers]


def block_values(model: nn.Module, images: Tensor,
                 labels: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Everything that each block puts out, and the loss's gradient by everything that it learns, in
    eval mode.

    Returns:
        "block 1" and so on -> all entries of the block's output and all entries of the gradients of
        its weights, each as one flat tensor on the CPU.
    """
    outputs: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda _, __, output: outputs.append(output.detach()))
             for block in model.blocks]
    try:
        with eval_mode(model):
            loss = F.cross_entropy(model(images), labels)
    finally:
        for hook in hooks:
            hook.remove()
    weights = [[weight
                for weight in block.parameters()
                if weight.requires_grad]
               for block in model.blocks]
    gradients = iter(
        torch.autograd.grad(loss, [weight for each in weights for weight in each],
                            allow_unused=True))
    values = {}
    for number, (output, own) in enumerate(zip(outputs, weights, strict=True), start=1):
        found = [
            gradient.flatten() for gradient in (next(gradients)
                                                for _ in own) if gradient is not None
        ]
        values[f"block {number}"] = (output.flatten().cpu(),
                                     torch.cat(found).cpu() if found else torch.empty(0))
    return values
