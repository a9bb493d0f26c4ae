"""What classifiers of plain pixels reach: the baselines that need no network."""

from __future__ import annotations

import torch
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC
from torch import Tensor

from helpers.common.compute import threads_for_probes
from helpers.data.splits import Splits
from helpers.evaluation.features import pixel_features
from helpers.evaluation.probes import OneScale, linear_probe, score

SVM_STRENGTHS = (1.0, 10.0, 100.0)  # scikit-learn's C
MOST = 5000  # training images of the SVM, whose time grows with their square


def rbf_svm(features: Tensor, labels: Tensor, strength: float = 10.0) -> Pipeline:
    """A support vector machine with a Gaussian kernel on scaled features N x D, of the first `MOST`
    images (Cortes & Vapnik 1995)."""
    machine = make_pipeline(OneScale(), SVC(C=strength))
    return machine.fit(features[:MOST].numpy(), labels[:MOST].numpy())


def pixel_predictions(splits: Splits) -> dict[str, Tensor]:
    """Classes that a linear probe and an RBF-SVM predict for the test images, from pixels and with
    all labels; validation chooses how strongly the SVM is regularised."""
    parts = (splits.train, splits.val, splits.test)
    train, val, test = (pixel_features(part.images) for part in parts)
    labels, val_labels = splits.train.labels, splits.val.labels
    with threads_for_probes(splits.train.images):
        linear = linear_probe(train, labels)
        svms = [rbf_svm(train, labels, strength) for strength in SVM_STRENGTHS]
        svm = max(svms, key=lambda each: score(each, val, val_labels))
        return {name: torch.from_numpy(probe.predict(test.numpy()))
                for name, probe in (("raw pixels, linear", linear), ("raw pixels, SVM", svm))}
