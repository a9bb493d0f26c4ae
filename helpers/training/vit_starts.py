"""Three ways of training a ViT when labels are few (notebook 05), each with what it costs."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from helpers.common.errors import UserError
from helpers.data.splits import Labeled, Splits
from helpers.evaluation.probes import label_subsets
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import Encoder, build
from helpers.models.weights import registry
from helpers.models.weights.hub import named_encoder
from helpers.settings import Settings
from helpers.training.finetune import train_classifier

STARTS = ("other classes", "imagenet")  # where pretrained weights come from
# peak learning rates, for the ViT of the digits
WAYS = {"from scratch": 2e-3, "from pretrained weights": 2e-3, "last block and head only": 8e-3}
PATIENCE = 6


def start_named(text: str, settings: Settings) -> str:
    """One of `STARTS`, or the name of a listed ViT; "auto" is the settings'.

    Raises:
        UserError: it is none of them.
    """
    start = settings.vit_start if text == "auto" else text
    listed = [name for name, entry in registry.entries().items() if entry.encoder.startswith("vit")]
    if start not in (*STARTS, *listed):
        raise UserError(f"there is no start {text!r}: choose auto, {', '.join(STARTS)}, or a "
                        f"listed ViT ({', '.join(listed)})")
    return start


def fetched_start(start: str, splits: Splits) -> Encoder:
    """A ViT with weights from elsewhere: torchvision's for "imagenet", else those of this name.

    Raises:
        UserError: they cannot be had here, or do not go with images of this size.
    """
    name = "imagenet-vit-base" if start == "imagenet" else start
    encoder, report = named_encoder(name, splits.image_size, splits.channels)
    print(report)
    return encoder


def trainable(module: nn.Module) -> int:
    """How many numbers a training would change."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def only_the_last_block(encoder: Encoder) -> Encoder:
    """Freeze a ViT but for its last block and its final norm, in place."""
    encoder.requires_grad_(False)
    for module in (encoder.backbone.blocks[-1], encoder.backbone.norm):
        module.requires_grad_(True)
    return encoder


def start_of(way: str, pretrained: Encoder, seed: int) -> Encoder:
    """What one of `WAYS` begins with: a copy of the pretrained encoder, or fresh weights."""
    if way == "from scratch":
        torch.manual_seed(seed)
        return build(**pretrained.config)
    encoder = copy.deepcopy(pretrained)
    return only_the_last_block(encoder) if way == "last block and head only" else encoder


def three_ways(pretrained: Encoder, splits: Splits, settings: Settings, *, per_class: int,
               steps: int, slower: float = 1.0) -> list[dict[str, Any]]:
    """Train in each of `WAYS` on the same label subsets, with early stopping on validation.

    Args:
        pretrained: the start of the last two ways; it is not changed.
        steps: at most so many.
        slower: divides the learning rates, for networks larger than the digits' ViT.

    Returns:
        One dict a way: method, mean and std of the test accuracy over n subsets (and `scores`,
        `val_scores`), seconds and steps of one training on average, and trainable parameters.

    Raises:
        UserError: none, or more than any class has training images.
    """
    most = int(splits.train.labels.bincount().max())
    if not 1 <= per_class <= most:
        raise UserError(f"{per_class:,} labels per class cannot be drawn from classes of at most "
                        f"{most:,} training images: choose 1 to {most:,}")
    rows = []
    for way, lr in WAYS.items():
        recipe = ClassifierRecipe(steps=steps, batch_size=settings.batch_size, lr=lr / slower,
                                  schedule="stable", patience=PATIENCE)
        subsets = label_subsets(splits.train.labels, per_class, settings.draws, settings.seed)
        runs = []
        for number, index in enumerate(subsets):
            few = Labeled(splits.train.images[index], splits.train.labels[index])
            encoder = start_of(way, pretrained, settings.seed + number)
            run = train_classifier(encoder, few, len(splits.classes), settings, recipe,
                                   seed=settings.seed + number, val=splits.val)
            parameters = trainable(run.classifier)
            runs.append(dict(score=run.score(splits.test), val_score=run.score(splits.val),
                             seconds=run.seconds, steps=len(run.losses), curve=run.curve))
        scores = [run["score"] for run in runs]
        rows.append(
            dict(method=way, mean=np.mean(scores),
                 std=np.std(scores, ddof=1) if len(scores) > 1 else None, n=len(scores),
                 scores=scores, val_scores=[run["val_score"] for run in runs],
                 seconds=np.mean([run["seconds"] for run in runs]), curve=runs[0]["curve"],
                 steps=np.mean([run["steps"] for run in runs]), parameters=parameters))
    return rows
