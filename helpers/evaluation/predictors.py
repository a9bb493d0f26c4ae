"""Classifiers in two halves, encoder and prediction, so that they can share features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from torch import Tensor, nn

from helpers.common.compute import threads_for_probes
from helpers.data.splits import Splits
from helpers.evaluation.features import extract_features, pixel_features, predict_logits
from helpers.evaluation.noise import noisy_images
from helpers.evaluation.probes import OneScale, linear_probe, score

STRENGTHS = (0.003, 0.03, 0.3, 3.0)  # of a linear probe, scikit-learn's C
SVM_STRENGTHS = (1.0, 10.0, 100.0)
SVM_IMAGES = 5000  # of training; the SVM's time grows with their square


@dataclass(frozen=True)
class Predictor:
    """An encoder and what turns its features into classes."""

    encoder: nn.Module | None  # N x C x H x W in [-1, 1] to features N x D; None takes the pixels
    predict: Callable[[Tensor], Tensor]  # N x D (float32, on the CPU) to class numbers N

    def __call__(self, images: Tensor) -> Tensor:
        """Class numbers N of images, float in [-1, 1] or uint8."""
        return self.predict(features_of(self.encoder, images))


def features_of(encoder: nn.Module | None, images: Tensor) -> Tensor:
    """Features N x D of images, in eval mode; without an encoder the pixels themselves."""
    return pixel_features(images) if encoder is None else extract_features(encoder, images)


def classifier_predictor(classifier: nn.Module) -> Predictor:
    """A trained `Classifier`: its encoder and its own head."""
    return Predictor(classifier.encoder,
                     lambda features: predict_logits(classifier.head, features).argmax(1))


def probe_predictor(encoder: nn.Module | None, probe) -> Predictor:
    """A fitted scikit-learn probe on the features of an encoder, or on pixels."""
    return Predictor(encoder, lambda features: torch.from_numpy(probe.predict(features.numpy())))


def chosen_probe(train: Tensor, labels: Tensor, val: Tensor, val_labels: Tensor) -> Pipeline:
    """The linear probe on features of the strength that classifies most of validation right."""
    probes = [linear_probe(train, labels, strength) for strength in STRENGTHS]
    return max(probes, key=lambda probe: score(probe, val, val_labels))


def best_probe(encoder: nn.Module | None, splits: Splits, sigma: float, seed: int) -> Predictor:
    """A linear classifier on features of *clean* training images (None: on pixels), all labels,
    of the strength that classifies most *validation* images with noise of `sigma` correctly."""
    train = features_of(encoder, splits.train.images)
    noisy = features_of(encoder, noisy_images(splits.val.images, sigma, 1000 + seed))
    with threads_for_probes(splits.train.images):
        best = chosen_probe(train, splits.train.labels, noisy, splits.val.labels)
    return probe_predictor(encoder, best)


def pixel_predictions(splits: Splits) -> dict[str, Tensor]:
    """Classes that a linear probe and a support vector machine with a Gaussian kernel (Cortes &
    Vapnik 1995), of the first `SVM_IMAGES`, predict for the test images, from pixels and with all
    labels; validation chooses how strongly the SVM is regularised."""
    train, val, test = (pixel_features(part.images)
                        for part in (splits.train, splits.val, splits.test))
    labels = splits.train.labels
    with threads_for_probes(splits.train.images):
        linear = linear_probe(train, labels).predict(test.numpy())
        svm = svm_predictions([part.numpy() for part in (train[:SVM_IMAGES], val, test)],
                              labels[:SVM_IMAGES], splits.val.labels)
    return {"raw pixels, linear": torch.from_numpy(linear), "raw pixels, SVM": svm}


def svm_predictions(parts: list[np.ndarray], labels: Tensor, val_labels: Tensor) -> Tensor:
    """Classes of the test part's rows by the SVM of the strength that is best on validation.

    How near all rows are to the training rows is computed once, for all strengths.

    Args:
        parts: features of training, validation and test images, N x D each.
    """
    train, val, test = map(OneScale().fit(parts[0]).transform, parts)
    near = {name: rbf_kernel(part, train)  # gamma 1 / D: SVC's "scale" after OneScale
            for name, part in (("train", train), ("val", val), ("test", test))}
    svms = [SVC(C=strength, kernel="precomputed").fit(near["train"], labels.numpy())
            for strength in SVM_STRENGTHS]
    best = max(svms, key=lambda svm: svm.score(near["val"], val_labels.numpy()))
    return torch.from_numpy(best.predict(near["test"]))
