"""A classifier to keep: calibrated, judged, and written to one file."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from helpers.data.listing import some
from helpers.data.splits import Splits
from helpers.evaluation.cross_validation import cross_validation
from helpers.evaluation.features import evaluating
from helpers.evaluation.judge import FEW, calibration_error, fit_temperature, in_words, judged
from helpers.evaluation.probes import linear_probe, mlp_probe, probe_layers
from helpers.models.classifier_file import (
    KeptClassifier,
    Seen,
    layers_of,
    save_classifier,
)
from helpers.models.encoder import Encoder
from helpers.training.protocols import Features

KEPT = 1_000  # features of a fixed random sample, for the distance of new images
USUAL = 0.99  # share of the validation images that are not unlike what was seen


class Judges(NamedTuple):
    """Labelled images that a classifier was not trained on: which part, what to call them, logits
    N x K without the temperature, labels N, and the numbers K of their classes."""

    part: str
    words: str
    logits: Tensor
    labels: Tensor
    classes: Tensor


def keep_classifier(path: Path, head: nn.Module | Pipeline, splits: Splits, *,
                    encoder: Encoder | None = None, features: Features | None = None,
                    **facts: Any) -> KeptClassifier:
    """Calibrate a classifier on validation, judge it on test, write it to `path` and say so.

    A probe that lacks either is cross-validated.

    Args:
        head: a fitted probe on features of `encoder`, or a trained `Classifier`, which has its own.
        features: of the encoder, where some are there already.
        facts: what else the file is to say, such as protocol and recipe.

    Raises:
        UserError: the file cannot be written.
    """
    probe = isinstance(head, Pipeline)
    features = features or Features(encoder if probe else head.encoder, splits)
    layers = probe_layers(head) if probe else layers_of(head.head)
    seen = Seen(features.sample(KEPT), marks=features.marks, ranges=features.splits.ranges)
    made = KeptClassifier(features.encoder, layers, splits.classes, seen, dataset=splits.name,
                          trained_on=len(splits.train), **facts)
    made.to(next(features.encoder.parameters()).device)
    others = _cross_validated(features, head) if probe else None
    calibration = _on(made, "validation", features) or others
    if calibration:
        made.temperature = fit_temperature(calibration.logits, calibration.labels)
    # a distance that few images pass: of validation, else of what is kept among itself
    distances = (made.distances(features.val.to(made.bank.device)) if len(features.val)
                 else made.distances_within())
    made.seen = dataclasses.replace(made.seen, threshold=distances.cpu().quantile(USUAL).item())
    said = _judge(made, _on(made, "test", features) or others, calibration)
    save_classifier(path, made)
    print(f"{path}: {said}")
    return made.eval()


def _on(made: KeptClassifier, part: str, features: Features) -> Judges | None:
    """A classifier on validation or test images, where there are some."""
    name = {"validation": "val"}.get(part, part)
    labels, inputs = getattr(features.splits, name).labels, getattr(features, name)
    if not len(labels):
        return None
    with evaluating(made):
        logits = made.head(inputs.to(made.bank.device)).cpu()
    return Judges(part, f"{part} images", logits, labels, labels.unique())


def _cross_validated(features: Features, head: Pipeline) -> Judges | None:
    """Where validation or test images are missing: each label by a probe trained without it."""
    splits = features.splits
    if len(splits.val) and len(splits.test):
        return None
    model = head[-1]
    fit = (partial(linear_probe, strength=model.C) if isinstance(model, LogisticRegression) else
           partial(mlp_probe, seed=model.random_state))
    found = cross_validation(features.train, splits.train.labels, fit)
    return found and Judges("cross-validation", "labels in cross-validation", *found)


def _judge(made: KeptClassifier, judges: Judges | None, calibration: Judges | None) -> str:
    """How good it is, into its facts and in words."""
    if judges is None:
        made.facts["results"] = {"part": "none"}
        return ("how good it is is not known, for no label is left to test by: label "
                f"{FEW} or more other images and give them to `python -m helpers evaluate`")
    before = calibration_error(judges.logits.softmax(1), judges.labels)
    found = judged((judges.logits / made.temperature).softmax(1), judges.labels)
    made.facts["results"] = {"part": judges.part, **found, "calibration_error_before": before}
    lines = [in_words(found, judges.words), *_not_judged(made, judges)]
    if calibration:
        lines.append(f"expected calibration error on {judges.part}: {before:.3f}, and "
                     f"{found['calibration_error']:.3f} with the temperature "
                     f"{made.temperature:.2f} of {len(calibration.labels):,} {calibration.words}")
    return "\n".join(lines)


def _not_judged(made: KeptClassifier, judges: Judges) -> list[str]:
    """The classes of which no image tells how well they are known."""
    known = set(judges.classes.tolist())
    missing = [name for number, name in enumerate(made.classes) if number not in known]
    return [f"not judged, as there are too few labels of it: {some(missing)}"] if missing else []
