"""The ways to train a classifier that is kept: a probe on frozen features, or the whole network."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from functools import cached_property
from typing import Any

import torch
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from helpers.common.errors import UserError
from helpers.data.latents import Latents, marks_of
from helpers.data.splits import Labeled, Splits
from helpers.evaluation.features import extract_features, is_vit
from helpers.evaluation.predictors import chosen_probe
from helpers.evaluation.probes import linear_probe, mlp_probe
from helpers.methods.presets import fine_tuning
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import Encoder
from helpers.settings import Settings
from helpers.training.finetune import train_classifier
from helpers.training.runs import images_of
from helpers.training.vit_starts import only_the_last_block

LONGER, PATIENCE = 2, 5  # times the preset's steps, at most: validation ends fine-tuning
MOST_EPOCHS = 100  # passes over the labelled images


class Features:
    """What a frozen encoder makes of the parts of a dataset, each part once: N x D."""

    def __init__(self, encoder: Encoder, splits: Splits) -> None:
        self.encoder, self.splits = encoder, splits

    @cached_property
    def train(self) -> Tensor:
        return self._of(self.splits.train)

    @cached_property
    def val(self) -> Tensor:
        return self._of(self.splits.val)

    @cached_property
    def test(self) -> Tensor:
        return self._of(self.splits.test)

    @cached_property
    def marks(self) -> Tensor:
        """Of the labelled images of training and validation, see `marks_of`."""
        return torch.cat([marks_of(part.images) for part in (self.splits.train, self.splits.val)])

    def sample(self, most: int) -> Tensor:
        """Of at most so many of the images without labels and the training images, a fixed random
        choice in their order."""
        count = len(self.splits.unlabeled)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        return self._unlabeled(order[:most].sort().values)

    def _unlabeled(self, rows: Tensor) -> Tensor:
        return extract_features(self.encoder, self.splits.unlabeled[rows])

    def _of(self, part: Labeled) -> Tensor:
        if not len(part):
            return torch.empty(0, self.encoder.num_features)
        return extract_features(self.encoder, part.images)


class FeaturesOnDisk(Features):
    """Features that were written before. Their `splits` hold them where others hold images, but for
    those without a label, which stay on the disk."""

    def __init__(self, encoder: Encoder, latents: Latents) -> None:
        self.parts = {name: latents.part(name) for name in ("unlabeled", "train", "val", "test")}
        labelled = {name: Labeled(self.parts[name].take(), self.parts[name].labels)
                    for name in ("train", "val", "test")}
        super().__init__(encoder, Splits(
            latents.name, self.parts["unlabeled"].rows, **labelled, classes=latents.classes,
            ranges=latents.ranges))

    @cached_property
    def marks(self) -> Tensor:
        return torch.cat([self.parts[name].marks for name in ("train", "val")])

    def _unlabeled(self, rows: Tensor) -> Tensor:
        return self.parts["unlabeled"].take(rows.numpy())

    def _of(self, part: Labeled) -> Tensor:
        return part.images


def train_linear(features: Features) -> tuple[Pipeline, dict[str, Any]]:
    """A linear probe, its strength chosen on validation where there is one; and its recipe."""
    labels, val = features.splits.train.labels, features.splits.val
    if len(val):
        probe = chosen_probe(features.train, labels, features.val, val.labels)
    else:
        probe = linear_probe(features.train, labels)
    return probe, {"strength": probe[-1].C}


def train_mlp(features: Features, seed: int) -> tuple[Pipeline, dict[str, Any]]:
    """The MLP probe and its recipe."""
    probe = mlp_probe(features.train, features.splits.train.labels, seed)
    return probe, {"hidden": [512, 128], "seed": seed}


def train_whole(encoder: Encoder, splits: Splits, settings: Settings, start: str, *,
                changes: dict[str, Any] | None = None, epochs: int | None = None,
                last_block: bool = False, resume: bool = False,
                **intervals: int | None) -> tuple[nn.Module, dict[str, Any]]:
    """A fine-tuned copy of the encoder with its head, ended by validation where there is one; and
    its recipe.

    Checkpoints and logs are in a folder of the settings' checkpoints, which is said.

    Args:
        start: the weights in words, which tell this run from others; "scratch" for random ones.
        changes: fields of the recipe that differ from the usual one.
        epochs: in place of steps.
        last_block: train a ViT's last block and its final norm only.
        intervals: as `train_classifier` has them.

    Raises:
        UserError: patience without validation images, or the last block of another network.
    """
    if last_block and not is_vit(encoder):
        raise UserError(f"{start}: only a ViT has a last block to train by itself")
    recipe = _whole_recipe(splits, settings, start, changes or {})
    if epochs:
        recipe = recipe.replace(steps=-(-epochs * len(splits.train) // recipe.batch_size))
    if recipe.patience and not len(splits.val):
        raise UserError("patience needs validation images, and there are none: label more, or "
                        "leave it out")
    facts = [dataclasses.asdict(recipe), start, images_of(splits, settings), splits.classes,
             splits.train.labels.tolist(), settings.seed]
    facts += [encoder.config] * (start == "scratch") + ["last block"] * last_block
    mark = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]
    folder = settings.checkpoints / f"finetune-{mark}"
    print(f"checkpoints and logs: {folder}")
    encoder = copy.deepcopy(encoder)
    if last_block:
        only_the_last_block(encoder)
    done = train_classifier(encoder, splits.train, len(splits.classes), settings, recipe,
                            val=splits.val if len(splits.val) else None,
                            title=f"fine-tuning on {splits.name}", folder=folder, resume=resume,
                            **intervals)
    return done.classifier, {**dataclasses.asdict(recipe), "done": len(done.losses)}


def _whole_recipe(splits: Splits, settings: Settings, start: str,
                  changes: dict[str, Any]) -> ClassifierRecipe:
    """The usual numbers of a start, with changes."""
    batch = ClassifierRecipe(**{"steps": 1, "batch_size": settings.batch_size} | changes).batch_size
    most = -(-MOST_EPOCHS * len(splits.train) // batch)
    longest = settings.supervised_steps if start == "scratch" else settings.finetune_steps
    usual = dict(patience=None, batch_size=batch)
    if len(splits.val):
        longest, usual["patience"] = LONGER * longest, PATIENCE
    usual["steps"] = min(longest, most)
    if start == "scratch":
        return ClassifierRecipe(**usual).replace(**changes)
    return fine_tuning(settings, **usual).replace(**changes)
