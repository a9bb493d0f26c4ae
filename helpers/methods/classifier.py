"""A classifier: an encoder with a head, trained with labels, from scratch or from a good start."""

from __future__ import annotations

from collections.abc import Callable

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.methods.optim import optimizer, parameter_groups
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import Encoder


def mlp_head(inputs: int, classes: int) -> nn.Sequential:
    """The Self-Learner project's head: inputs - 512 - 128 - classes, with ReLU between."""
    return nn.Sequential(nn.Linear(inputs, 512), nn.ReLU(), nn.Linear(512, 128), nn.ReLU(),
                         nn.Linear(128, classes))


def linear_head(inputs: int, classes: int) -> nn.Linear:
    """One linear layer, started at zero so that fine-tuning begins from the encoder as it is."""
    head = nn.Linear(inputs, classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


HEADS = {"linear": linear_head, "mlp": mlp_head}


class Classifier(pl.LightningModule):
    """Cross-entropy on labelled images.

    Args:
        encoder, head: B x C x S x S to B x D, and B x D to B x classes.
        view: the augmentation (uint8 batch -> float in [-1, 1]).
        recipe: steps, rates and optimizer.
    """

    def __init__(self, encoder: Encoder, head: nn.Module, view: Callable[..., Tensor],
                 recipe: ClassifierRecipe) -> None:
        super().__init__()
        self.encoder, self.head, self.view, self.recipe = encoder, head, view, recipe

    def forward(self, x: Tensor) -> Tensor:
        """Images in [-1, 1] to logits B x classes."""
        return self.head(self.encoder(x))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        images, labels = batch
        x = self.view(images).contiguous(memory_format=torch.channels_last)
        return F.cross_entropy(self(x), labels)

    def configure_optimizers(self) -> dict:
        recipe = self.recipe
        groups = [*parameter_groups([self.encoder], recipe.weight_decay, recipe.lr),
                  *parameter_groups([self.head], recipe.weight_decay, recipe.head_lr or recipe.lr)]
        return optimizer([group for group in groups if group["params"]], recipe)
