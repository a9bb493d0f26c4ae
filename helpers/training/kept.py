"""Training a classifier to keep: by a protocol, calibrated on validation, judged on test."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from helpers.data.splits import Splits
from helpers.evaluation.calibration import calibration_error, fit_temperature
from helpers.evaluation.features import evaluating, extract_features
from helpers.evaluation.judge import in_words, judged
from helpers.evaluation.predictions import marks_of
from helpers.evaluation.predictors import chosen_probe
from helpers.evaluation.probes import mlp_probe, probe_layers
from helpers.methods.presets import fine_tuning
from helpers.models.classifier_file import KeptClassifier, Seen, layers_of, save_classifier
from helpers.models.encoder import Encoder
from helpers.settings import Settings
from helpers.training.finetune import train_classifier
from helpers.training.runs import images_of

KEPT = 1_000  # features of a fixed random sample, for the distance of new images
USUAL = 0.99  # share of the validation images that are not unlike what was seen
LONGER, PATIENCE = 2, 5  # times the preset's steps, at most: validation ends fine-tuning
MOST_EPOCHS = 100  # passes over the labelled images


def train_linear(encoder: Encoder, splits: Splits) -> tuple[Pipeline, dict[str, Any]]:
    """A linear probe, its strength chosen on validation; the probe and its recipe."""
    train, val = (extract_features(encoder, part.images) for part in (splits.train, splits.val))
    probe = chosen_probe(train, splits.train.labels, val, splits.val.labels)
    return probe, {"strength": probe[-1].C}


def train_mlp(encoder: Encoder, splits: Splits, seed: int) -> tuple[Pipeline, dict[str, Any]]:
    """The MLP probe and its recipe."""
    features = extract_features(encoder, splits.train.images)
    return mlp_probe(features, splits.train.labels, seed), {"hidden": [512, 128], "seed": seed}


def train_whole(encoder: Encoder, splits: Splits, settings: Settings, start: str, *,
                resume: bool = False) -> tuple[nn.Module, dict[str, Any]]:
    """A fine-tuned copy of the encoder with its head, ended by validation; and its recipe.

    Checkpoints and logs are in a folder of the settings' checkpoints, which is said.

    Args:
        start: the weights in words, which tell this run from others.
    """
    most = -(-MOST_EPOCHS * len(splits.train) // settings.batch_size)
    recipe = fine_tuning(settings, steps=min(LONGER * settings.finetune_steps, most),
                         patience=PATIENCE)
    facts = [dataclasses.asdict(recipe), start, images_of(splits, settings), splits.classes,
             splits.train.labels.tolist(), settings.seed]
    mark = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]
    folder = settings.checkpoints / f"finetune-{mark}"
    print(f"checkpoints and logs: {folder}")
    done = train_classifier(copy.deepcopy(encoder), splits.train, len(splits.classes), settings,
                            recipe, val=splits.val, title=f"fine-tuning on {splits.name}",
                            folder=folder, resume=resume)
    return done.classifier, {**dataclasses.asdict(recipe), "done": len(done.losses)}


def keep_classifier(path: Path, head: nn.Module | Pipeline, splits: Splits, *,
                    encoder: Encoder | None = None, **facts: Any) -> KeptClassifier:
    """Calibrate a classifier on validation, judge it on test, write it to `path` and say so.

    Args:
        head: a fitted probe on features of `encoder`, or a trained `Classifier`, which has its own.
        facts: what else the file is to say, such as protocol and recipe.

    Raises:
        UserError: the file cannot be written.
    """
    probe = isinstance(head, Pipeline)
    encoder = encoder if probe else head.encoder
    layers = probe_layers(head) if probe else layers_of(head.head)
    made = KeptClassifier(encoder, layers, splits.classes, _seen(encoder, splits),
                          dataset=splits.name, trained_on=len(splits.train), **facts)
    made.to(next(encoder.parameters()).device)
    (val, distances), (test, _) = (_outputs(made, part.images)
                                   for part in (splits.val, splits.test))
    made.temperature = fit_temperature(val, splits.val.labels)
    made.seen = dataclasses.replace(made.seen, threshold=distances.quantile(USUAL).item())
    before = calibration_error(test.softmax(1), splits.test.labels)
    found = judged((test / made.temperature).softmax(1), splits.test.labels)
    made.facts["results"] = {"part": "test", **found, "calibration_error_before": before}
    save_classifier(path, made)
    print(f"{path}: {in_words(found)}\n"
          f"expected calibration error on test: {before:.3f}, and {found['calibration_error']:.3f} "
          f"with the temperature {made.temperature:.2f} of {len(splits.val):,} validation images")
    return made.eval()


def _seen(encoder: Encoder, splits: Splits) -> Seen:
    """Features of a sample of what was there for training, and marks of what had a label."""
    order = torch.randperm(len(splits.unlabeled), generator=torch.Generator().manual_seed(0))
    sample = splits.unlabeled[order[:KEPT].sort().values]
    marks = torch.cat([marks_of(part.images) for part in (splits.train, splits.val)])
    return Seen(extract_features(encoder, sample), marks=marks, ranges=splits.ranges)


def _outputs(made: KeptClassifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits N x classes, without the temperature, and distances N; on the CPU."""
    features = extract_features(made.encoder, images).to(made.bank.device)
    with evaluating(made):
        return made.head(features).cpu(), made.distances(features).cpu()
