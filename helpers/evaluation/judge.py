"""How good a classifier is: accuracy with its interval, calibration, confusions, worst classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from helpers.evaluation.probes import confusion, per_class_accuracy
from helpers.report.stats import share_interval

FEW = 30  # images below which an accuracy hardly says anything
MOST_COLUMNS = 20  # classes of a confusion matrix that a screen can show
WORST = 3  # classes that are named
BINS = 15  # of equal width, over the probabilities
COLDEST, HOTTEST = 0.05, 20.0  # temperatures


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
    if len(classes) <= MOST_COLUMNS:
        names = [f"{number:>3} {name}" for number, name in enumerate(classes, 1)]
        table = pd.DataFrame(counts, names, range(1, len(classes) + 1))
        lines += [f"true class, and how often it was taken for class 1 to {len(classes)}:",
                  table.to_string()]
    return "\n".join(lines)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The number that logits are divided by so that the probabilities fit the labels best (Guo et
    al. 2017).

    The labels are smoothed as in Platt (1999): few images that are all classified correctly must
    not make a classifier certain.

    Args:
        logits, labels: N x classes of images that the classifier was not trained on, N.

    Returns:
        From `COLDEST` to `HOTTEST`; 1 without an image.
    """
    count, classes = logits.shape
    if not count:
        return 1.0
    doubt = classes / (classes - 1) / (count + 2)

    def loss(log_temperature: float) -> float:
        scaled = logits.double() / math.exp(log_temperature)
        return F.cross_entropy(scaled, labels, label_smoothing=doubt).item()

    limits = math.log(COLDEST), math.log(HOTTEST)
    return math.exp(minimize_scalar(loss, bounds=limits, method="bounded").x)


def calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """Expected calibration error, in [0, 1]: how far the largest probability is from the share of
    correct predictions, on average over `BINS` bins (Naeini et al. 2015).

    Args:
        probabilities, labels: N x classes, N.
    """
    sure, predicted = probabilities.max(1)
    correct = (predicted == labels).double()
    bins = (sure * BINS).long().clamp(max=BINS - 1)
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, correct - sure.double())
    return float(gaps.abs().sum() / max(1, len(labels)))
