"""How large everything is, and the recipes of the trainings."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from helpers.data.splits import Splits
from helpers.methods.build import build_method, two_views
from helpers.methods.byol import BYOL
from helpers.methods.dino import DINO
from helpers.methods.recipes import BYOLRecipe, DINORecipe
from helpers.settings import Settings
from helpers.training.runs import fresh_encoder


class Sizes(NamedTuple):
    """Of networks, images (pixels) and trials."""

    encoder: str
    image: int
    view: int
    batch: int
    hidden: int
    outputs: int  # of DINO
    steps: int  # in which a path shows that it runs
    timed: int  # steps of a trial of speed
    longest: float  # seconds of a training


GPU = Sizes("resnet18", 128, 96, 256, 4096, 4096, 60, 100, 600.0)
SMALL = Sizes("slim", 48, 32, 8, 64, 64, 3, 2, 2.0)

# The trainings, each with its part of the time that all of them have.
SHARES = {"byol": 3, "noise-byol": 2, "dino": 3}


class Task(NamedTuple):
    """What all stages share."""

    splits: Splits
    settings: Settings
    sizes: Sizes

    @property
    def device(self) -> str:
        return self.settings.device


class DeepMindBYOL(BYOL):
    """BYOL with the paper's loss, the sum of 2 - 2 cos of both directions: weights without a rate
    of their own move four times as far by it."""

    def loss(self, first: Tensor, second: Tensor) -> Tensor:
        return 4 * (1 + super().loss(first, second))


def deepmind(task: Task, steps: int, **changes: Any) -> DeepMindBYOL:
    """BYOL as DeepMind trains it on Imagenette (deepmind-research, byol/configs/byol.py, with the
    numbers for 300 epochs): LARS, base rate 2.0, weight decay 1e-6, EMA 0.99 to 1.

    Args:
        changes: of the recipe, such as noise.
    """
    sizes = task.sizes
    batch = changes.get("batch_size", sizes.batch)
    usual = dict(
        steps=steps, batch_size=batch, optimizer="lars", lr=2.0 * batch / 256, weight_decay=1e-6,
        warmup=0.03, hidden_dim=sizes.hidden, projection_dim=256, ema=0.99,
        views={"size": sizes.view})
    recipe = BYOLRecipe(**usual | changes)
    encoder = fresh_encoder(task.splits, task.settings)
    return DeepMindBYOL(encoder, two_views(recipe, task.settings, encoder), recipe)


def dino(task: Task, steps: int, **changes: Any) -> DINO:
    """DINO as the slim encoders are trained on Imagenette (`benchmarks/imagenette.py`), with larger
    heads and batches.

    Args:
        changes: of the recipe.
    """
    sizes = task.sizes
    usual = dict(
        steps=steps, batch_size=sizes.batch, lr=2e-3, weight_decay=(1e-4, 1e-4), ema=0.99,
        temperature=(0.04, 0.04), batch_norm=True, hidden_dim=sizes.hidden // 2,
        bottleneck_dim=min(256, sizes.hidden), output_dim=sizes.outputs // 2, local_crops=6,
        global_scale=(0.2, 1.0), views={"size": sizes.view, "blur": 0.0, "solarize": 0.0})
    recipe = DINORecipe(**usual | changes)
    encoder = fresh_encoder(task.splits, task.settings)
    passes = len(task.splits.unlabeled) / recipe.batch_size
    return build_method(recipe, encoder, task.settings, passes)


def resized(images: Tensor, side: int, count: int) -> Tensor:
    """So many uint8 images of `side` pixels, repeated where there are fewer."""
    rows = torch.arange(count) % len(images)
    parts = images[:count].split(1024)
    small = [interpolate(part.float(), (side, side), mode="area").to(torch.uint8)
             for part in parts]
    return torch.cat(small)[rows]


def options_of(task: Task, steps: int, method: str = "byol") -> argparse.Namespace:
    """What `benchmarks.throughput` wants to know."""
    return argparse.Namespace(method=method, size=task.sizes.view, batch=task.sizes.batch,
                              steps=steps, device=task.device)
