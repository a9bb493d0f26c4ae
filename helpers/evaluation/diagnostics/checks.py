"""The check-up: eight measurements with a limit each, so that a fault shows before training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.common.compute import threads_for
from helpers.common.progress_bar import progress
from helpers.evaluation.diagnostics.faults import DATA_FAULTS, FAULTS
from helpers.evaluation.diagnostics.measures import gradient_norms, loss_at_start
from helpers.evaluation.diagnostics.overfit import adamw, overfit_one_batch
from helpers.evaluation.features import eval_mode


@dataclass(frozen=True)
class Trial:
    """What the checks work with; every model that they make starts from the same seed.

    The first `batch_size` images are the batch to overfit; the last quarter is held out. Images are
    float N x C x S x S in [-1, 1], labels int64 N.
    """

    make_model: Callable[[], nn.Module]
    images: Tensor
    labels: Tensor
    lr: float = 3e-3
    batch_size: int = 32
    max_steps: int = 70
    tolerance: float = 0.05
    train_steps: int = 40
    seed: int = 0

    def model(self) -> nn.Module:
        """A fresh model on the images' device."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return self.make_model().to(self.images.device)

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        """The images and labels to overfit."""
        return self.images[:self.batch_size], self.labels[:self.batch_size]


@dataclass(frozen=True)
class CheckResult:
    """What a check measured, and whether that is within its limit; `losses` if it trained."""

    check: str
    passed: bool
    value: float
    limit: str
    losses: list[float] = field(default_factory=list, repr=False)


def starts_undecided(trial: Trial) -> CheckResult:
    """An untrained model prefers no class: its loss is near ln(classes)."""
    loss, expected = loss_at_start(trial.model(), *trial.batch)
    return CheckResult("loss at start", abs(loss - expected) < 0.25, loss, f"{expected:.2f} ± 0.25")


def all_layers_learn(trial: Trial) -> CheckResult:
    """Every parameter receives a gradient. Measured: the share of tensors that get none."""
    norms = gradient_norms(trial.model(), *trial.batch)
    share = sum(norm == 0 for norm in norms.values()) / len(norms)
    return CheckResult("gradient everywhere", share == 0, share, "0 of the tensors without")


def sees_order(trial: Trial) -> CheckResult:
    """Shuffled patches make another image. Measured: change of the output, over its variation."""
    model, (images, _) = trial.model(), trial.batch
    with eval_mode(model), torch.no_grad():
        logits = model(images)
        shuffled = model(shuffle_patches(images, model.patch_size, trial.seed))
    change = ((shuffled - logits).norm() / (logits - logits.mean(0)).norm()).item()
    return CheckResult("order of patches", change > 1e-3, change, "> 0.001")


def shuffle_patches(images: Tensor, patch_size: int, seed: int = 0) -> Tensor:
    """The patches of each of the B x C x S x S images in another order, the same for all."""
    side = images.shape[-1]
    columns = F.unfold(images, patch_size, stride=patch_size)                # B, C * P * P, G * G
    order = torch.randperm(columns.shape[2], generator=torch.Generator().manual_seed(seed))
    return F.fold(columns[:, :, order.to(images.device)], side, patch_size, stride=patch_size)


def norms_mind_one_token(trial: Trial) -> CheckResult:
    """A norm layer treats each token by itself.

    Measured: one token at the input of each norm is replaced; the largest change of the other
    tokens at its output, over the change of that token.
    """
    model, (images, _) = trial.model(), trial.batch
    norms = [module for name, module in model.named_modules() if "norm" in name.rsplit(".", 1)[-1]]
    seen: dict[nn.Module, Tensor] = {}
    hooks = [norm.register_forward_hook(lambda module, inputs, _: seen.update({module: inputs[0]}))
             for norm in norms]
    with eval_mode(model), torch.no_grad():
        model(images)
        for hook in hooks:
            hook.remove()
        leak = max((leak_of(norm, tokens) for norm, tokens in seen.items()), default=0.0)
    return CheckResult("norm per token", leak < 1e-4, leak, "0")


def leak_of(norm: nn.Module, tokens: Tensor) -> float:
    """How far a norm's outputs for other tokens move when the first of `tokens` is reversed."""
    changed = tokens.clone()
    changed[0, 0] = tokens[0, 0].flip(0)
    moved = (norm(changed) - norm(tokens)).norm(dim=-1)                            # B, T
    own = moved[0, 0].item()
    moved[0, 0] = 0
    return moved.max().item() / own


def blocks_add(trial: Trial) -> CheckResult:
    """Every block adds to its input and passes the input itself on.

    The branches read a normalised copy, so they vanish beside an input a thousand times as large.
    Measured: what is then missing of the input, as a share of it, in the worst block.
    """
    model, (images, _), scale = trial.model(), trial.batch, 1000
    with eval_mode(model), torch.no_grad():
        states = model.layers(images)
        missing = max(((block(scale * state) / scale - state).norm() / state.norm()).item()
                      for block, state in zip(model.blocks, states, strict=False))
    return CheckResult("input passes through", missing < 0.1, missing, "< 0.1")


def images_stay_apart(trial: Trial) -> CheckResult:
    """The tokens of an image depend on that image alone.

    Measured: gradient of a random mixture of the first image's final tokens by the other images,
    over the gradient by all of them.
    """
    model, (images, _) = trial.model(), trial.batch
    images = images.clone().requires_grad_()
    with eval_mode(model):
        tokens = model.tokens(images)[0]                                           # T, W
        mixture = torch.randn(tokens.shape, generator=torch.Generator().manual_seed(trial.seed))
        (gradient,) = torch.autograd.grad((tokens * mixture.to(tokens.device)).sum(), images)
    leak = (gradient[1:].norm() / gradient.norm()).item()
    return CheckResult("images apart", leak < 1e-6, leak, "0")


def memorises(trial: Trial) -> CheckResult:
    """One small batch is memorised. Measured: the lowest loss."""
    run = overfit_one_batch(trial.model(), *trial.batch, lr=trial.lr, max_steps=trial.max_steps,
                            tolerance=trial.tolerance, seed=trial.seed)
    return CheckResult("overfits a batch", run.reached, min(run.losses), f"< {trial.tolerance:g}",
                   run.losses)


def carries_over(trial: Trial) -> CheckResult:
    """After a short training, held-out images are classified better than by chance.

    Measured: accuracy on the held-out quarter; the limit is the most frequent class's share plus
    three standard errors.
    """
    cut = len(trial.images) * 3 // 4
    model = trial.model().train()
    losses = train_briefly(model, trial.images[:cut], trial.labels[:cut], trial)
    with eval_mode(model), torch.no_grad():
        correct = (model(trial.images[cut:]).argmax(1) == trial.labels[cut:]).float()
    chance = trial.labels[cut:].bincount().max().item() / len(correct)
    limit = chance + 3 * math.sqrt(chance * (1 - chance) / len(correct))
    accuracy = correct.mean().item()
    return CheckResult("held-out images", accuracy > limit, accuracy, f"> {limit:.2f}", losses)


def train_briefly(model: nn.Module, images: Tensor, labels: Tensor, trial: Trial) -> list[float]:
    """The losses of the trial's number of steps on random batches of the images."""
    optimizer, losses = adamw(model, trial.lr), []
    with torch.random.fork_rng():
        torch.manual_seed(trial.seed)
        for _ in range(trial.train_steps):
            index = torch.randint(len(images), (trial.batch_size,)).to(images.device)
            loss = F.cross_entropy(model(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


CHECKS = (starts_undecided, all_layers_learn, sees_order, norms_mind_one_token, blocks_add,
          images_stay_apart, memorises, carries_over)  # those that train come last


def check_up(make_model: Callable[[], nn.Module], images: Tensor, labels: Tensor,
             **options: float) -> list[CheckResult]:
    """Run every check on ViTs with a head from `make_model`; `options` go to `Trial`.

    Images are float N x C x S x S in [-1, 1], labels int64 N: a few hundred in random order.
    """
    trial = Trial(make_model, images, labels, **options)
    with threads_for(images):
        return [check(trial) for check in CHECKS]


def check_up_faults(make_model: Callable[[], nn.Module], images: Tensor, labels: Tensor,
                    **options: float) -> dict[str, list[CheckResult]]:
    """The results of `check_up` for "healthy" and for each of `FAULTS` and `DATA_FAULTS`."""
    patients = {"healthy": (make_model, labels)}
    patients |= {name: (lambda inject=inject: inject(make_model()), labels)
                 for name, inject in FAULTS.items()}
    patients |= {name: (make_model, spoil(labels)) for name, spoil in DATA_FAULTS.items()}
    return {name: check_up(make, images, given, **options)
            for name, (make, given) in progress(list(patients.items()), "check-ups", "models")}
