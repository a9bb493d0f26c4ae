"""How good a classifier is: accuracy with its interval, calibration, confusions, worst classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from helpers.evaluation.calibration import calibration_error
from helpers.evaluation.probes import confusion, per_class_accuracy
from helpers.report.stats import share_interval

FEW = 30  # images below which an accuracy hardly says anything
MOST_COLUMNS = 20  # classes of a confusion matrix that a screen can show
WORST = 3  # classes that are named


def judged(probabilities: Tensor, labels: Tensor) -> dict[str, Any]:
    """Accuracy with its 95 % interval and calibration error of probabilities N x classes for
    labels N."""
    hits = int((probabilities.argmax(1) == labels).sum())
    low, high = share_interval(hits, len(labels))
    return {"images": len(labels), "accuracy": hits / max(1, len(labels)), "low": low,
            "high": high, "calibration_error": calibration_error(probabilities, labels)}


def in_words(found: dict[str, Any], what: str = "test images") -> str:
    """What `judged` found, with a warning where the images are few."""
    text = (f"{found['accuracy']:.1%} of {found['images']:,} {what}, 95 % interval "
            f"{found['low']:.1%} to {found['high']:.1%}")
    if found["images"] < FEW:
        text += (f"\nwarning: {found['images']} images are too few to judge by (the interval says "
                 f"how little is known): label {FEW} or more for test")
    return text


def details(probabilities: Tensor, labels: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    """Confusion counts (row: true class), and the accuracy of each class that has images."""
    counts = confusion(labels, probabilities.argmax(1), len(classes))
    shares = per_class_accuracy(counts)
    return {"confusion": counts.tolist(),
            "classes": {name: float(share) for name, share in zip(classes, shares, strict=True)
                        if not np.isnan(share)}}


def details_in_words(found: dict[str, Any], classes: Sequence[str]) -> str:
    """The worst classes with what they are taken for, and the confusion matrix where it fits."""
    counts = np.array(found["confusion"])
    lines = []
    for name, share in sorted(found["classes"].items(), key=lambda item: item[1])[:WORST]:
        wrong = counts[classes.index(name)].copy()
        total, hits = wrong.sum(), wrong[classes.index(name)]
        wrong[classes.index(name)] = 0
        if wrong.any():
            low, high = share_interval(int(hits), int(total))
            lines.append(f"worst: {name} {share:.1%} of {total} ({low:.1%} to {high:.1%}), most "
                         f"often taken for {classes[wrong.argmax()]}")
    return "\n".join([*lines, *_matrix(counts, classes)])


def _matrix(counts: np.ndarray, classes: Sequence[str]) -> list[str]:
    if len(classes) > MOST_COLUMNS:
        return []
    width = max(len(str(counts.max())), len(str(len(classes)))) + 1
    names = max(map(len, classes))
    head = "".join(f"{number:>{width}}" for number in range(1, len(classes) + 1))
    rows = [f"{number:>3} {name:<{names}}" + "".join(f"{count:>{width}}" for count in row)
            for number, (name, row) in enumerate(zip(classes, counts, strict=True), 1)]
    return [f"true class, and how often it was taken for class 1 to {len(classes)}:",
            " " * (names + 4) + head, *rows]
