"""Images that look wrong: outliers, near-duplicates, and labels that their neighbours contradict.

Everything is read off an encoder's features; nothing is deleted or changed. A score says where a
person should look first, not what is true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata, spearmanr
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from torch import Tensor
from torch.nn import functional as F

from helpers.common.files import write_atomically
from helpers.common.markup import as_cell
from helpers.data.splits import Whole
from helpers.evaluation.retrieval import neighbours

K = 20  # neighbours; more than a small group of outliers has, which could vouch for each other
# Where images are many, so are outliers of a kind: a neighbour for so many images, at most 200.
ONE_IN, MOST_NEIGHBOURS = 64, 200
DIRECTIONS = 48  # of the features, at most; chosen on outliers injected into digits
DUPLICATE = 0.9999  # cosine similarity from which two images count as nearly the same
TWINS = 5  # near-duplicates of one image that are named, at most
TEMPERATURE = 0.07  # of the neighbours' votes
TREES = 100
EMPTY = 1e-8  # of the first direction's variance: what has less varies by rounding only
ROUNDING = 1e-12  # variance of unit vectors that differ by rounding only
SAME = 1e-4  # distance of whitened points within which they are copies


def whitened(features: Tensor) -> np.ndarray:
    """The features' main directions, each with variance 1: N x D to N x at most half of D.

    A plain distance is blind where ordinary images hardly vary, and there an outlier differs. The
    weakest directions carry nothing but noise, and those in which nothing varies would be noise
    scaled up to 1: both are left out. Equal features all lie at 0.
    """
    unit = F.normalize(features.float(), dim=1).numpy()
    directions = max(1, min(DIRECTIONS, unit.shape[1] // 2, len(unit) // 4))
    if unit.var(0).max() < ROUNDING:
        return np.zeros((len(unit), 1), unit.dtype)
    pca = PCA(directions, whiten=True, random_state=0)
    points = pca.fit_transform(unit)
    variance = pca.explained_variance_
    return points[:, variance > EMPTY * variance[0]]


def neighbourhood(count: int) -> int:
    """How many neighbours judge an image of so many."""
    return min(max(K, count // ONE_IN), MOST_NEIGHBOURS, count - 1)


def outlier_scores(features: Tensor, seed: int = 0) -> dict[str, np.ndarray]:
    """Three scores of how unlike the others each image is; higher is more of an outlier.

    Args:
        features: N x D, N of at least 8.

    Returns:
        "k nearest": mean distance to the k nearest images, see `neighbourhood`. "isolation forest":
        how few random cuts set an image apart (Liu et al. 2008). "local outlier factor": how much
        thinner its surroundings are than its neighbours' (Breunig et al. 2000). N float64 each, all
        of them on `whitened` features.
    """
    points = whitened(features)
    k = neighbourhood(len(points))
    # a point is not its own neighbour
    distance, _ = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()
    forest = IsolationForest(n_estimators=TREES, random_state=seed).fit(points)
    return {"k nearest": distance.mean(1).astype(np.float64),
            "isolation forest": -forest.score_samples(points),
            "local outlier factor": _local_outlier_factor(points, k, distance)}


def _local_outlier_factor(points: np.ndarray, k: int, distance: np.ndarray) -> np.ndarray:
    """Of N points; `distance`, N x k, is that of their neighbours.

    Around k copies of one image the surroundings have no size, and everything near them would be
    infinitely thinner. Then copies count as one point (Breunig et al. 2000, after definition 6).
    """
    first, group = np.arange(len(points)), np.arange(len(points))
    if (distance.max(1) < SAME).any():
        _, first, group = np.unique(points.round(3), axis=0, return_index=True,
                                    return_inverse=True)
    if len(first) < 2:
        return np.ones(len(points))
    local = LocalOutlierFactor(n_neighbors=min(k, len(first) - 1)).fit(points[first])
    return -local.negative_outlier_factor_.astype(np.float64)[group.ravel()]


def consensus(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """The mean of the scores' ranks, from 0 (least) to 1 (most of an outlier): N float64."""
    ranks = np.stack([rankdata(values) for values in scores.values()])
    return (ranks.mean(0) - 1) / max(1, ranks.shape[1] - 1)


def agreement(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Spearman's rank correlation of each score with each other: scores x scores, in [-1, 1]."""
    values = list(scores.values())
    return np.array([[spearmanr(a, b).statistic for b in values] for a in values])


def near_duplicates(features: Tensor) -> list[tuple[int, int, float]]:
    """Pairs (i, j, cosine similarity), i < j, of images with nearly the same features, N x D; the
    most alike first."""
    count = min(TWINS, len(features) - 1)
    similarity, index = neighbours(features, features, count, skip_self=True)
    pairs = {(min(i, int(j)), max(i, int(j))): float(s)
             for i, (row, near) in enumerate(zip(similarity, index, strict=True))
             for s, j in zip(row, near, strict=True) if s >= DUPLICATE}
    return sorted(((i, j, s) for (i, j), s in pairs.items()), key=lambda pair: -pair[2])


class LabelDoubt(NamedTuple):
    """What the neighbours of N images say of their labels."""

    doubt: Tensor  # 1 less the share of votes for an image's own label, NaN without one
    guess: Tensor  # the class with most votes, -1 without a label


def label_doubt(features: Tensor, labels: Tensor) -> LabelDoubt:
    """How strongly an image's neighbours contradict its label, weighted as in kNN (Wu et al. 2018).

    Features are N x D, labels N; an image without one (-1) neither votes nor is doubted. More votes
    are steadier, but no more are asked than half of the rarest class has, or it would be outvoted.
    """
    doubt, guess = torch.full((len(labels),), torch.nan), torch.full_like(labels, -1)
    known = labels >= 0
    features, labels = features[known], labels[known]
    rarest = int(labels.bincount()[labels.unique()].min())
    k = min(neighbourhood(len(labels)), max(K, rarest // 2))
    similarity, index = neighbours(features, features, k, skip_self=True)
    votes = torch.zeros(len(labels), int(labels.max()) + 1)
    votes.scatter_add_(1, labels[index], (similarity / TEMPERATURE).exp())
    share = votes / votes.sum(1, keepdim=True)
    doubt[known], guess[known] = 1 - share.gather(1, labels[:, None]).squeeze(1), share.argmax(1)
    return LabelDoubt(doubt, guess)


def found_at(score: Any, truth: Any, count: int) -> dict[str, float]:
    """How well a score (N numbers, higher = more suspect) finds the injected faults (N booleans):
    recall among the `count` most suspect, and average_precision of the ranking. Where `count` is
    the number of faults, precision is the same number as recall."""
    score, truth = np.asarray(score, dtype=float), np.asarray(truth, dtype=bool)
    hits = truth[np.argsort(-score, kind="stable")[:count]].sum()
    return {"recall": float(hits / max(1, truth.sum())),
            "average_precision": float(average_precision_score(truth, score))}


def write_report(path: Path | str, images: Whole, classes: Sequence[str],
                 scores: Mapping[str, np.ndarray], doubts: LabelDoubt,
                 pairs: Sequence[tuple[int, int, float]] = ()) -> Path:
    """One CSV line an image, the greatest outlier first, for a person to go through.

    Args:
        classes: names of the labels.
        scores, doubts: of `outlier_scores` and `label_doubt`.
        pairs: of `near_duplicates`; an image's line names the one most like it.
    """
    def words(numbers: Tensor) -> list[str]:
        return [classes[number] if number >= 0 else "" for number in numbers.tolist()]

    twin: dict[int, int] = {}
    for first, second, _ in pairs:
        twin.setdefault(first, second)
        twin.setdefault(second, first)
    twins = [str(images.names[twin[i]]) if i in twin else "" for i in range(len(images))]
    frame = pd.DataFrame({
        "image": images.names, "split": images.splits, "label": words(images.labels),
        "outlier": consensus(scores), **scores, "label_doubt": doubts.doubt.numpy(),
        "neighbours_predict": words(doubts.guess), "near_duplicate": twins
    })
    cells = frame.sort_values("outlier", ascending=False).map(as_cell)
    write_atomically(path, cells.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    return Path(path)
