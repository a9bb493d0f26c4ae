"""What it costs that features vary more in some directions than in others, or what it is good for.

Principal axes of the training images' features, no labels; along each the features are divided by
their standard deviation to some power: 0 leaves them as they are, 1 makes all deviations alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from benchmarks.photos.protocols import knn_on, linear_on
from helpers.data.splits import Splits
from helpers.evaluation.predictors import features_of
from helpers.models.encoder import Encoder
from helpers.settings import Settings

POWERS = (0.0, 0.25, 0.5, 1.0)
COUNTS = (1, 10, 50)  # labels per class of the linear probes


def whitened(features: Tensor, axes: PCA, power: float) -> Tensor:
    """N x D features along the D axes, each divided by the fitted features' standard deviation
    there to `power`; an axis along which nothing varied is left out."""
    deviations = torch.from_numpy(axes.singular_values_ / (axes.n_samples_ - 1) ** 0.5)
    varied = deviations > 1e-4 * deviations.max()
    along = torch.from_numpy(axes.transform(features.numpy()))
    return along[:, varied] / deviations[varied] ** power


def compare(encoder: Encoder, splits: Splits, settings: Settings) -> Iterator[dict]:
    """Rows of kNN and linear probes on test for every power; probes are chosen on validation."""
    parts = [features_of(encoder, part.images)
             for part in (splits.train, splits.val, splits.test)]
    axes = PCA().fit(parts[0].numpy())
    for power in POWERS:
        bank, val, test = (whitened(part, axes, power) for part in parts)
        for row in (*knn_on(bank, test, splits),
                    *linear_on(bank, val, test, splits, settings, COUNTS)):
            yield dict(power=power, **row)
