"""Labels predicted by a probe that has not seen them: what can be judged without a test image."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from torch import Tensor

from helpers.evaluation.probes import linear_probe

FOLDS = 5


class HeldOut(NamedTuple):
    """Logits N x K (float64) and labels N (0 to K - 1) of the images that could be judged, and the
    numbers K of their classes, those with more than one label."""

    logits: Tensor
    labels: Tensor
    classes: Tensor


def cross_validation(features: Tensor, labels: Tensor,
                     fit: Callable[[Tensor, Tensor], Pipeline] = linear_probe,
                     seed: int = 0) -> HeldOut | None:
    """Each labelled image by a probe on the others: five folds, or fewer of small classes.

    Classes with one label cannot be judged and are left out; None where fewer than two are left.

    Args:
        features, labels: N x D, N; negative labels are not known.
        fit: makes a probe of features and labels.
    """
    counts = torch.bincount(labels[labels >= 0])
    rows = torch.tensor([row for row, label in enumerate(labels.tolist())
                         if label >= 0 and counts[label] > 1], dtype=torch.long)
    known, y = labels[rows].unique(return_inverse=True)
    if len(known) < 2:
        return None
    x = features[rows]
    logits = torch.zeros(len(y), len(known), dtype=torch.float64)
    folds = StratifiedKFold(min(FOLDS, int(counts.max())), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes smaller than the folds
        for train, held_out in folds.split(x, y):
            probe = fit(x[train], y[train])
            found = probe.predict_log_proba(x[held_out].float().numpy())
            logits[torch.from_numpy(held_out)] = torch.from_numpy(found).double()
    return HeldOut(logits, y, known)
