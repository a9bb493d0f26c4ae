"""Features to accuracies: kNN (Wu et al. 2018), linear and MLP probes, few-label subsets.

Accuracies are fractions in [0, 1].
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from lightly.utils.benchmarking.knn import knn_predict
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from torch import Tensor
from torch.nn import functional as F

from helpers.common.compute import numpy_threads
from helpers.common.errors import UserError
from helpers.common.fields import number_of

FEW_NUMBERS = 4_000_000  # in the features: up to this many, a second thread gains nothing
FEW_IMAGES = 10  # of a class: with fewer, the tenth that early stopping keeps apart may have none


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of rows whose largest entry is at the label. `logits` N x classes, `labels` N."""
    return (logits.argmax(1) == labels).float().mean().item()


def knn_accuracy(bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor, k: int = 20,
                 temperature: float = 0.1) -> float:
    """Weighted k-nearest-neighbour accuracy by cosine similarity (Wu et al. 2018, section 3.4).

    The bank is N x D, its labels N; queries are M x D, their labels M.
    """
    bank, queries = F.normalize(bank, dim=1), F.normalize(queries, dim=1)
    classes = int(max(bank_labels.max(), labels.max())) + 1
    votes = torch.cat([
        knn_predict(part, bank.T, bank_labels, classes, min(k, len(bank)), temperature)[:, 0]
        for part in queries.split(1024)
    ])
    return (votes == labels).float().mean().item()


class OneScale(TransformerMixin, BaseEstimator):
    """Centre the features and divide all of them by one number, their root mean square.

    A deviation for each dimension would blow up the noise of weak ones.
    """

    def fit(self, x: np.ndarray, y: np.ndarray | None = None) -> OneScale:
        self.mean_ = x.mean(0)
        self.scale_ = np.sqrt(np.square(x - self.mean_).mean()) + 1e-12
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean_) / self.scale_


def linear_probe(features: Tensor, labels: Tensor, strength: float = 1.0) -> Pipeline:
    """Logistic regression on scaled features, N x D, with N labels; a fitted scikit-learn pipeline.

    `strength` is the inverse of the L2 penalty, scikit-learn's C.
    """
    probe = make_pipeline(OneScale(), LogisticRegression(C=strength, max_iter=2000))
    return _fitted(probe, features, labels)


def mlp_probe(features: Tensor, labels: Tensor, seed: int = 0) -> Pipeline:
    """The Self-Learner project's 512-128 head, with early stopping; otherwise as `linear_probe`.

    Where a class has fewer than ten images none is kept apart: the training loss says when to stop.
    """
    enough = bool(labels.unique(return_counts=True)[1].min() >= FEW_IMAGES)
    head = MLPClassifier((512, 128), random_state=seed, early_stopping=enough, max_iter=200,
                         n_iter_no_change=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 passes are the rule here
        return _fitted(make_pipeline(OneScale(), head), features, labels)


def _fitted(probe: Pipeline, features: Tensor, labels: Tensor) -> Pipeline:
    with numpy_threads(features.numel() < FEW_NUMBERS):
        return probe.fit(_flat(features), labels.numpy())


def score(probe: Pipeline, features: Tensor, labels: Tensor) -> float:
    """Accuracy of a fitted probe on N x D features."""
    return float(probe.score(_flat(features), labels.numpy()))


def _flat(features: Tensor) -> np.ndarray:
    return features.float().flatten(1).numpy()


def label_subsets(labels: Tensor, per_class: int, draws: int, seed: int = 0) -> list[Tensor]:
    """Random choices of labelled images, the same number of every class.

    Args:
        labels: N class numbers.
        per_class: how many of each class (all of a class that has fewer); 0 takes everything, once.
        draws: how many subsets.

    Returns:
        Index tensors into `labels`; the same for the same arguments on every machine.

    Raises:
        UserError: fewer than no labels per class, or no subset.
    """
    draws = number_of("draws", draws, "int", 1)
    if per_class < 0:
        raise UserError(f"{per_class} labels per class cannot be drawn: choose 1 or more, or 0 for "
                        "all")
    if per_class == 0:
        return [torch.arange(len(labels))]
    generator = np.random.RandomState(seed)
    classes = [np.flatnonzero(labels.numpy() == c) for c in labels.unique().tolist()]
    subsets = ([generator.permutation(rows)[:per_class] for rows in classes] for _ in range(draws))
    return [torch.from_numpy(np.concatenate(subset)) for subset in subsets]


def few_label_scores(features: Tensor, labels: Tensor, test_features: Tensor, test_labels: Tensor,
                     per_class: int, draws: int, seed: int = 0,
                     strength: float = 1.0) -> list[float]:
    """Test accuracy of a linear probe for each of `draws` label subsets; features are N x D.

    `strength` is that of `linear_probe`.
    """
    return [
        score(linear_probe(features[index], labels[index], strength), test_features, test_labels)
        for index in label_subsets(labels, per_class, draws, seed)
    ]


def confusion(labels: Tensor, predictions: Tensor, classes: int) -> np.ndarray:
    """classes x classes counts: row = true class, column = predicted class."""
    return confusion_matrix(labels.numpy(), predictions.numpy(), labels=range(classes))


def per_class_accuracy(counts: np.ndarray) -> np.ndarray:
    """Accuracy per class from a confusion matrix; NaN for an absent class."""
    total = counts.sum(1)
    return np.divide(np.diag(counts), total, out=np.full(len(counts), np.nan), where=total > 0)


def probe_layers(probe: Pipeline) -> list[tuple[Tensor, Tensor]]:
    """A fitted probe as linear layers with ReLU between, its scaling folded into the first.

    The softmax of their logits is the probe's own `predict_proba`.

    Returns:
        Weights (out x in) and biases (out) of each layer, float32.
    """
    scale, model = probe[0], probe[-1]
    linear = isinstance(model, LogisticRegression)
    weights = [model.coef_] if linear else [weight.T for weight in model.coefs_]
    biases = [model.intercept_] if linear else list(model.intercepts_)
    if len(weights[-1]) == 1:  # of two classes only the second has a logit of its own
        weights[-1] = np.concatenate([0 * weights[-1], weights[-1]])
        biases[-1] = np.concatenate([0 * biases[-1], biases[-1]])
    weights[0] = weights[0] / scale.scale_
    biases[0] = biases[0] - weights[0] @ scale.mean_
    return [(torch.from_numpy(weight).float(), torch.from_numpy(bias).float())
            for weight, bias in zip(weights, biases, strict=True)]
