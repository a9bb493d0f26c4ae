"""BYOL: Bootstrap Your Own Latent (Grill et al. 2020, arXiv:2006.07733).

An online network predicts what a slowly moving copy of itself, the target, says of another view of
the same image. There are no labels and no negative pairs. With noise in one view this becomes the
noise-BYOL of the ViT-BYOL project: the representation learns to look through noise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytorch_lightning as pl
import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn

from helpers.methods.optim import optimizer, parameter_groups
from helpers.methods.recipes import Recipe
from helpers.models.encoder import Encoder

View = Callable[..., Tensor]


class BYOL(pl.LightningModule):
    """Online encoder, projector and predictor; target encoder and projector.

    Args:
        encoder: maps views to B x D features.
        views: two functions (uint8 batch, strength) -> float views in [-1, 1].
        steps: how many steps the whole training has; the schedules end there.
        hidden, projection: widths of the heads (the paper: 4096 and 256).
        lr, weight_decay, warmup: AdamW's peak rate, decay (weights only), share of warming up.
        momentum: of the target at the first step; it rises to 1 along a half cosine (section 3.2).
        ramp: the views' noise grows from none to all between these shares of the training; (0, 0)
            is all of it from the first step on. Strong noise then ruins the representation: there
            is nothing yet to hold on to.
    """

    def __init__(self, encoder: Encoder, views: tuple[View, View], *, steps: int, hidden: int = 256,
                 projection: int = 64, lr: float = 2e-3, weight_decay: float = 1e-4,
                 warmup: float = 0.08, momentum: float = 0.98,
                 ramp: tuple[float, float] = (0.15, 0.65)) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = BYOLProjectionHead(encoder.num_features, hidden, projection)
        self.predictor = BYOLPredictionHead(projection, hidden, projection)
        self.target = nn.ModuleList([copy.deepcopy(self.encoder), copy.deepcopy(self.projector)])
        deactivate_requires_grad(self.target)
        self.views, self.steps = views, steps
        self.lr, self.weight_decay, self.warmup = lr, weight_decay, warmup
        self.momentum, self.ramp = momentum, ramp
        self.similarity = NegativeCosineSimilarity()

    def online(self, view: Tensor) -> Tensor:
        """B x C x S x S to predictions B x P."""
        return self.predictor(self.projector(self.encoder(view)))

    @torch.no_grad()
    def targets(self, view: Tensor) -> Tensor:
        """B x C x S x S to the target's projections B x P, without gradients."""
        encoder, projector = self.target
        return projector(encoder(view))

    def loss(self, first: Tensor, second: Tensor) -> Tensor:
        """Each view, B x C x S x S, predicts the target of the other (equation 2): in [-1, 1], -1
        when all agree."""
        return 0.5 * (self.similarity(self.online(first), self.targets(second))
                      + self.similarity(self.online(second), self.targets(first)))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        images, _ = batch
        first, second = (view(images,
                              self.noise_strength()).contiguous(memory_format=torch.channels_last)
                         for view in self.views)
        return self.loss(first, second)

    def optimizer_step(self, *args: object, **options: object) -> None:
        super().optimizer_step(*args, **options)
        self.update_target(self.target_momentum(self.global_step))

    def noise_strength(self) -> float:
        """How much of the views' noise is on at this step, 0 to 1."""
        begin, end = self.ramp
        done = self.global_step / self.steps
        return 1.0 if done >= end else max(0.0, (done - begin) / (end - begin))

    def target_momentum(self, step: int) -> float:
        """The target's momentum at `step`: `momentum` at first, 1 at the end of all steps."""
        return float(cosine_schedule(min(step, self.steps), self.steps + 1, self.momentum, 1.0))

    @torch.no_grad()
    def update_target(self, momentum: float) -> None:
        """target = momentum * target + (1 - momentum) * online, all tensors in one call."""
        online = [*self.encoder.parameters(), *self.projector.parameters()]
        torch._foreach_lerp_(list(self.target.parameters()), online, 1 - momentum)

    def configure_optimizers(self) -> dict:
        groups = parameter_groups((self.encoder, self.projector, self.predictor), self.weight_decay,
                                  self.lr)
        return optimizer(groups, Recipe(steps=self.steps, warmup=self.warmup))
