"""Accuracy under noise and other corruptions, with every method shown the same images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.common.compute import threads_for_probes
from helpers.common.progress_bar import progress
from helpers.data.splits import Labeled
from helpers.evaluation.noise import BATCH, STRIDE, unit_noise
from helpers.evaluation.predictors import Predictor, features_of
from helpers.transforms.corruptions import RANDOM, SEVERITIES, corrupt
from helpers.transforms.views import normalise

LEAST_ERROR = 0.05  # of the baseline under a corruption, to be a measure for others


@dataclass(frozen=True)
class Sweep:
    """What a noise sweep measured; both map a method's name to an array, seeds x sigmas."""

    sigmas: list[float]  # standard deviations of the noise, normalised units
    accuracy: dict[str, np.ndarray]  # in [0, 1]
    similarity: dict[str, np.ndarray]  # mean cosine of noisy and clean features, in [-1, 1]


def noise_sweep(predictors: Mapping[str, Predictor], data: Labeled, sigmas: Sequence[float],
                seeds: Iterable[int], device: str = "cpu") -> Sweep:
    """Each method at each sigma (normalised units), on the same noisy images.

    Nothing is computed twice: noise is drawn once per seed and scaled by every sigma; methods with
    the same encoder share its features.

    Args:
        device: where noise is drawn; a seed gives other noise on another kind of device.
    """
    seeds, sigmas, count = list(seeds), list(sigmas), len(data)
    accuracy, similarity = ({name: np.zeros((len(seeds), len(sigmas))) for name in predictors}
                            for _ in range(2))
    bar = progress(None, "noise sweep", "images", total=len(seeds) * len(sigmas) * count)
    with threads_for_probes(data.images), bar:
        for first, images, labels in _batches(data, device):
            clean = normalise(images)
            quiet = _features(predictors, clean)
            for row, seed in enumerate(seeds):
                noise = unit_noise(clean, seed, first)
                for column, sigma in enumerate(sigmas):
                    found = _features(predictors, clean + sigma * noise) if sigma else quiet
                    cosine = {encoder: F.cosine_similarity(found[encoder], quiet[encoder]).sum()
                              for encoder in found}
                    for name, predictor in predictors.items():
                        correct = predictor.predict(found[predictor.encoder]) == labels
                        accuracy[name][row, column] += correct.sum().item()
                        similarity[name][row, column] += cosine[predictor.encoder].item()
                    bar.update(len(clean))
    return Sweep(sigmas, *({name: sums / count for name, sums in totals.items()}
                           for totals in (accuracy, similarity)))


def _batches(data: Labeled, device: str) -> Iterable[tuple[int, Tensor, Tensor]]:
    """Number of the first image, images on the device, labels: `BATCH` images at a time."""
    for first in range(0, len(data), BATCH):
        last = first + BATCH
        yield first, data.images[first:last].to(device), data.labels[first:last]


def _features(predictors: Mapping[str, Predictor],
              images: Tensor) -> dict[nn.Module | None, Tensor]:
    """What each encoder makes of the images, each asked once."""
    return {encoder: features_of(encoder, images)
            for encoder in {predictor.encoder for predictor in predictors.values()}}


def corruption_sweep(predictors: Mapping[str, Predictor], data: Labeled, seeds: Iterable[int],
                     device: str = "cpu") -> dict[str, dict[str, np.ndarray]]:
    """Errors of each method under each of the common corruptions.

    Args:
        seeds: of the corruptions that draw random numbers; the others are evaluated once.
        device: where images are corrupted; a seed gives other images on another kind of device.

    Returns:
        method -> corruption -> share of wrong predictions at the five severities, mean over seeds.
    """
    seeds = list(seeds)
    errors = {name: {kind: np.zeros(5) for kind in SEVERITIES} for name in predictors}
    draws = {kind: seeds if kind in RANDOM else seeds[:1] for kind in SEVERITIES}
    cases = [(kind, severity, seed)
             for kind in SEVERITIES for severity in range(1, 6) for seed in draws[kind]]
    with threads_for_probes(data.images):
        for kind, severity, seed in progress(cases, "corruptions", "corrupted test sets"):
            for first, images, labels in _batches(data, device):
                corrupted = corrupt(images, kind, severity, seed + STRIDE * first)
                found = _features(predictors, corrupted)
                for name, predictor in predictors.items():
                    wrong = (predictor.predict(found[predictor.encoder]) != labels).sum().item()
                    errors[name][kind][severity - 1] += wrong / (len(draws[kind]) * len(data))
    return errors


def mean_corruption_error(errors: dict[str, np.ndarray], baseline: dict[str, np.ndarray]) -> float:
    """mCE (Hendrycks & Dietterich 2019, section 4): errors summed over severities, divided by the
    baseline's, averaged over corruptions; below 1 is better than the baseline. Corruptions under
    which the baseline's mean error is below `LEAST_ERROR` are left out, since a few mistakes would
    decide there; NaN if that is all of them.

    Raises:
        ValueError: the two do not hold the same corruptions.
    """
    if errors.keys() != baseline.keys():
        raise ValueError("the method and the baseline were shown different corruptions")
    ratios = [errors[name].sum() / baseline[name].sum() for name in errors
              if baseline[name].mean() >= LEAST_ERROR]
    return float(np.mean(ratios)) if ratios else float("nan")
