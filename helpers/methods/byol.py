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
from helpers.methods.recipes import BYOLRecipe
from helpers.models.encoder import Encoder

View = Callable[..., Tensor]


class BYOL(pl.LightningModule):
    """Online encoder, projector and predictor; target encoder and projector.

    Args:
        encoder: maps views to B x D features.
        views: two functions (uint8 batch, strength) -> float views in [-1, 1].
        recipe: heads, schedules and optimizer.
    """

    recorded = "loss"  # what `helpers.training.graphs` may record

    def __init__(self, encoder: Encoder, views: tuple[View, View], recipe: BYOLRecipe) -> None:
        super().__init__()
        hidden, projection = recipe.hidden_dim, recipe.projection_dim
        self.encoder = encoder
        self.projector = BYOLProjectionHead(encoder.num_features, hidden, projection)
        self.predictor = BYOLPredictionHead(projection, hidden, projection)
        self.target = nn.ModuleList([copy.deepcopy(self.encoder), copy.deepcopy(self.projector)])
        deactivate_requires_grad(self.target)
        self.views, self.recipe = views, recipe
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
        """Each view, B x C x S x S, predicts the target of the other (equation 2).

        In [-1, 1], -1 when all agree; in fp32, since half precision has too few numbers there.
        """
        outputs = (self.online(first), self.targets(second),
                   self.online(second), self.targets(first))
        with torch.autocast(first.device.type, enabled=False):
            predicted, seen, predicted_too, seen_too = (output.float() for output in outputs)
            return 0.5 * (self.similarity(predicted, seen)
                          + self.similarity(predicted_too, seen_too))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        images, _ = batch
        return self.loss(*self.shown(images))

    def shown(self, images: Tensor) -> tuple[Tensor, ...]:
        """Two views, B x C x S x S, of uint8 images."""
        strength = self.noise_strength()
        return tuple(view(images, strength).contiguous(memory_format=torch.channels_last)
                     for view in self.views)

    def optimizer_step(self, *args: object, **options: object) -> None:
        super().optimizer_step(*args, **options)
        self.update_target(self.target_momentum(self.global_step))

    def noise_strength(self) -> float:
        """How much of the views' noise is on at this step, 0 to 1."""
        begin, end = self.recipe.ramp
        done = self.global_step / self.recipe.steps
        return 1.0 if done >= end else max(0.0, (done - begin) / (end - begin))

    def target_momentum(self, step: int) -> float:
        """The target's momentum at `step`: the recipe's `ema` at first, its `ema_end` at last."""
        steps, ema, end = self.recipe.steps, self.recipe.ema, self.recipe.ema_end
        return float(cosine_schedule(min(step, steps), steps + 1, ema, end))

    @torch.no_grad()
    def update_target(self, momentum: float) -> None:
        """target = momentum * target + (1 - momentum) * online, all tensors in one call."""
        online = [*self.encoder.parameters(), *self.projector.parameters()]
        torch._foreach_lerp_(list(self.target.parameters()), online, 1 - momentum)

    def configure_optimizers(self) -> dict:
        online = (self.encoder, self.projector, self.predictor)
        groups = parameter_groups(online, self.recipe.weight_decay, self.recipe.lr)
        return optimizer(groups, self.recipe)
