"""A classifier: an encoder with a head, trained with labels, from scratch or from a good start."""

from __future__ import annotations

from collections.abc import Callable

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.methods.optim import adamw, parameter_groups
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


class Classifier(pl.LightningModule):
    """Cross-entropy on labelled images.

    Args:
        encoder, head: B x C x S x S to B x D, and B x D to B x classes.
        view: the augmentation (uint8 batch -> float in [-1, 1]).
        steps: how many steps the whole training has; the schedule ends there.
        lr, head_lr: peak rates of encoder and head (the same if `head_lr` is None). The encoder may
            have been trained already and then wants a smaller one.
        schedule, eight_bit: as for `adamw`.
    """

    def __init__(self, encoder: Encoder, head: nn.Module, view: Callable[...,
                                                                         Tensor], *, steps: int,
                 lr: float = 2e-3, head_lr: float | None = None, weight_decay: float = 1e-4,
                 warmup: float = 0.08, schedule: str = "cosine", eight_bit: bool = False) -> None:
        super().__init__()
        self.encoder, self.head, self.view, self.steps = encoder, head, view, steps
        self.lr, self.head_lr = lr, lr if head_lr is None else head_lr
        self.weight_decay, self.warmup = weight_decay, warmup
        self.schedule, self.eight_bit = schedule, eight_bit

    def forward(self, x: Tensor) -> Tensor:
        """Images in [-1, 1] to logits B x classes."""
        return self.head(self.encoder(x))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        images, labels = batch
        x = self.view(images).contiguous(memory_format=torch.channels_last)
        return F.cross_entropy(self(x), labels)

    def configure_optimizers(self) -> dict:
        groups = (parameter_groups([self.encoder], self.weight_decay, self.lr)
                  + parameter_groups([self.head], self.weight_decay, self.head_lr))
        return adamw([group for group in groups if group["params"]], self.steps, self.warmup,
                     self.schedule, self.eight_bit)
