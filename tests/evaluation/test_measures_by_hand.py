"""What is measured of features, by plain loops in double precision, one query at a time."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers.data.splits import Labeled
from helpers.evaluation.collapse import effective_rank
from helpers.evaluation.embedding import trustworthiness
from helpers.evaluation.predictors import Predictor
from helpers.evaluation.probes import knn_accuracy
from helpers.evaluation.retrieval import mean_average_precision
from helpers.evaluation.robustness import corruption_sweep, mean_corruption_error


def features(count, dims, seed):
    return torch.randn(count, dims, generator=torch.Generator().manual_seed(seed))


def classes(count, of, seed):
    return torch.randint(0, of, (count,), generator=torch.Generator().manual_seed(seed))


def votes_of(query, bank, labels, k, temperature):
    """Wu et al. 2018, section 3.4: the k nearest by cosine vote with exp(cosine / temperature)."""
    cosines = [float(query @ one / (query.norm() * one.norm())) for one in bank]
    votes = {}
    for place in sorted(range(len(cosines)), key=lambda place: -cosines[place])[:k]:
        name = int(labels[place])
        votes[name] = votes.get(name, 0.0) + math.exp(cosines[place] / temperature)
    return max(votes, key=votes.get)


@pytest.mark.parametrize(("k", "temperature", "known", "asked"), [
    (1, 0.07, 3, 3), (20, 0.07, 5, 5), (20, 0.1, 7, 7), (500, 0.1, 3, 3),
    (10, 0.1, 3, 6), (10, 0.1, 9, 2)])  # the last two: classes that one side lacks
def test_knn_is_a_vote_of_the_nearest(k, temperature, known, asked):
    labels, wanted = classes(90, known, 1), classes(30, asked, 2)
    bank = features(90, 16, 3) + 1.2 * F.one_hot(labels, 16)
    queries = 5 * features(30, 16, 4) + 6 * F.one_hot(wanted, 16)
    right = [votes_of(query, bank.double(), labels, min(k, 90), temperature) == answer
             for query, answer in zip(queries.double(), wanted.tolist(), strict=True)]
    assert knn_accuracy(bank, labels, queries, wanted, k, temperature) == pytest.approx(
        sum(right) / 30)


@pytest.mark.parametrize(("count", "dims", "away"), [(10, 96, 0), (300, 32, 0), (64, 64, 0),
                                                     (300, 32, 1000)])
def test_the_effective_rank_is_the_entropy_of_singular_values_wherever_they_lie(count, dims, away):
    found = features(count, dims, 5) @ torch.diag(torch.logspace(0, -1, dims)) + away
    exact = found.double().numpy()
    sizes = np.linalg.svd(exact - exact.mean(0), compute_uv=False)
    shares = sizes[sizes > 0] / sizes.sum()
    wanted = math.exp(-(shares * np.log(shares)).sum())
    assert effective_rank(found) == pytest.approx(wanted, rel=2e-3)


def test_mean_average_precision_counts_hits_from_the_nearest_on():
    bank, labels = features(80, 8, 6), classes(80, 4, 7)
    queries, wanted = features(30, 8, 8), classes(30, 5, 9)
    precisions = []
    for query, answer in zip(queries.double(), wanted, strict=True):
        order = F.cosine_similarity(query[None], bank.double()).argsort(descending=True)
        hits = (labels[order] == answer).tolist()
        if any(hits):
            precisions.append(np.mean([sum(hits[:place + 1]) / (place + 1)
                                       for place, hit in enumerate(hits) if hit]))
    assert mean_average_precision(bank, labels, queries, wanted) == pytest.approx(
        np.mean(precisions))


def test_trustworthiness_counts_neighbours_of_the_map_that_are_far_in_truth():
    k, count = 10, 60
    found, points = features(count, 9, 10), features(count, 2, 11).numpy()
    truth = torch.cdist(found.double(), found.double()).numpy()
    shown = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(truth, np.inf)
    np.fill_diagonal(shown, np.inf)
    ranks = truth.argsort(1).argsort(1) + 1
    penalty = sum(max(0, ranks[row, other] - k)
                  for row in range(count) for other in shown[row].argsort()[:k])
    wanted = 1 - 2 / (count * k * (2 * count - 3 * k - 1)) * penalty
    assert trustworthiness(found, points, k) == pytest.approx(wanted)


def halves(count, seed):
    """Images whose upper or lower half is bright, and which of the two it is."""
    labels = classes(count, 2, seed)
    images = torch.full((count, 3, 16, 16), 60, dtype=torch.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 8 * label:8 * label + 8] = 220
    return Labeled(images, labels)


def brighter_half(pixels):
    """N x D to 0 (the upper half) or 1."""
    rows = pixels.unflatten(1, (3, 16, 16)).mean((1, 3))
    return (rows[:, 8:].mean(1) > rows[:, :8].mean(1)).long()


def test_beside_a_classifier_that_is_never_wrong_there_is_no_relative_error():
    data = halves(12, 12)
    never_wrong = Predictor(None, brighter_half)
    errors = corruption_sweep({"never wrong": never_wrong}, data, range(2))["never wrong"]
    assert not any(wrong.any() for wrong in errors.values())
    assert np.isnan(mean_corruption_error(errors, errors))
