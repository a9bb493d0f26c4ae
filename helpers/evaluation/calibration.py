"""Do the probabilities hold? Temperature scaling and the calibration error (Guo et al. 2017)."""

from __future__ import annotations

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

BINS = 15  # of equal width, over the probabilities
COLDEST, HOTTEST = 0.05, 20.0


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The number that logits are divided by so that the probabilities fit the labels best.

    The labels are smoothed as in Platt (1999): few images that are all classified correctly must
    not make a classifier certain.

    Args:
        logits, labels: N x classes of images that the classifier was not trained on, N.

    Returns:
        From 0.05 to 20; 1 without an image.
    """
    count, classes = logits.shape
    if not count:
        return 1.0
    doubt = 1 / (count + 2)
    targets = torch.full((count, classes), doubt / (classes - 1), dtype=torch.float64)
    targets[torch.arange(count), labels] = 1 - doubt
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        scaled = logits / torch.tensor(log_temperature).exp()
        return -(targets * scaled.log_softmax(1)).sum(1).mean().item()

    limits = torch.tensor([COLDEST, HOTTEST], dtype=torch.float64).log().tolist()
    best = minimize_scalar(loss, bounds=limits, method="bounded")
    return float(torch.tensor(best.x).exp())


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
