"""Outliers, look-alikes and wrong labels: injected ones are found, and scores keep their
definitions."""

import csv

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from helpers.data.faults import DRAW, inject, injected_share
from helpers.data.loading import load
from helpers.data.splits import Whole
from helpers.evaluation import outliers
from helpers.evaluation.features import extract_features
from helpers.methods.presets import recipe_for
from helpers.settings import Settings


@pytest.fixture(scope="module")
def splits():
    return load("digits")


def cloud(count=200, dims=8, classes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    return torch.randn(count, dims, generator=generator) + 6 * torch.eye(dims)[labels], labels


def images(labels, names=None, parts=None):
    """Blank images with these labels, names and parts."""
    count = len(labels)
    return Whole((torch.zeros(count, 1, 4, 4, dtype=torch.uint8),), labels,
                 np.array(parts or ["train"] * count), names or tuple(map(str, range(count))))


def test_every_score_puts_an_outlier_first():
    features, _ = cloud()
    features[17] = -20 * torch.ones(8)
    scores = outliers.outlier_scores(features)
    assert list(scores) == ["k nearest", "isolation forest", "local outlier factor"]
    assert all(values.argmax() == 17 for values in scores.values())
    assert outliers.consensus(scores).argmax() == 17


def test_many_outliers_of_one_kind_do_not_vouch_for_each_other():
    features = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    features[:, 4:] *= 0.05  # where ordinary images hardly vary
    features[:, 0] += 5.0
    features[:40, 4:] *= 0.5
    features[:40, 4:8] += 0.4  # and 40 that are alike differ: more than 20, fewer than one in 64
    scores = outliers.outlier_scores(features)
    for name in ("k nearest", "local outlier factor"):
        found = outliers.found_at(scores[name], torch.arange(4000) < 40, 40)
        assert found["average_precision"] > 0.5


def test_scores_do_not_depend_on_the_features_length():
    features, _ = cloud()
    first, second = (outliers.outlier_scores(x) for x in (features, 7 * features))
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-3, atol=1e-3)


def test_consensus_is_the_mean_rank():
    scores = {"a": np.array([0.1, 5.0, 9.0]), "b": np.array([2.0, 1.0, 3.0])}
    np.testing.assert_allclose(outliers.consensus(scores), [0.25, 0.25, 1.0])


def test_agreement_is_spearmans():
    random = np.random.RandomState(0)
    scores = {"a": random.rand(30), "b": random.rand(30)}
    table = outliers.agreement(scores)
    assert table[0, 0] == pytest.approx(1) and table[0, 1] == pytest.approx(
        spearmanr(*scores.values()).statistic)


def test_near_duplicates_are_the_pairs_that_were_put_in():
    features, _ = cloud()
    features = torch.cat([features, features[[3, 50]] * 2])  # the same direction counts as the same
    assert [(i, j) for i, j, _ in sorted(outliers.near_duplicates(features))] == [(3, 200),
                                                                                  (50, 201)]


def test_a_flipped_label_is_doubted_and_the_neighbours_know_better():
    features, labels = cloud()
    labels = labels.clone()
    labels[30] = 1 - labels[30]
    doubt, guess = outliers.label_doubt(features, labels)
    assert doubt.argmax() == 30 and guess[30] == 1 - labels[30]
    assert doubt[30] > 0.9 and doubt.min() >= 0


def test_a_rare_class_among_many_images_is_not_outvoted():
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.arange(9).repeat(1000), torch.full((60,), 9)])
    features = 4 + 3 * torch.eye(16)[labels] + torch.randn(9060, 16, generator=generator) / 2
    found = outliers.label_doubt(features, labels)
    assert (found.guess[labels == 9] == 9).all()


def test_images_without_a_label_neither_vote_nor_are_doubted():
    features, labels = cloud()
    labels = labels.clone()
    labels[::5] = -1
    doubt, guess = outliers.label_doubt(features, labels)
    known = labels >= 0
    expected = outliers.label_doubt(features[known], labels[known])
    assert torch.equal(doubt[known], expected[0]) and torch.equal(guess[known], expected[1])
    assert doubt[~known].isnan().all() and (guess[~known] == -1).all()


def test_found_at_counts_what_was_looked_at():
    found = outliers.found_at([0.9, 0.8, 0.7, 0.1], [True, False, True, False], 2)
    assert found == {"recall": 0.5, "average_precision": pytest.approx((1 + 2 / 3) / 2)}
    more = outliers.found_at([0.9, 0.8, 0.7, 0.1], [True, False, True, False], 3)
    assert more["recall"] == 1 and more["average_precision"] == found["average_precision"]


def test_injecting_keeps_the_images_and_marks_every_fault(splits):
    injected = inject(splits.train, 0.02, seed=1)
    own = torch.from_numpy(~injected.outliers)
    count = round(0.02 * len(splits.train))
    assert injected.outliers.sum() == injected.flipped.sum() == count and not (
        injected.outliers & injected.flipped).any()
    before = {
        image.numpy().tobytes(): int(label)
        for image, label in zip(*splits.train, strict=True)
    }
    assert len(injected.data) == len(splits.train) + count
    pairs = zip(injected.data.images[own], injected.data.labels[own], injected.flipped[own.numpy()],
                strict=True)
    changed = [
        before[image.numpy().tobytes()] != int(label) for image, label, flipped in pairs if flipped
    ]
    assert all(changed)
    assert torch.equal(splits.train.images[injected.rows[~injected.outliers]],
                       injected.data.images[own])
    assert (injected.rows[injected.outliers] == -1).all()
    assert set(injected.kinds[injected.outliers]) == set(DRAW)
    again = inject(splits.train, 0.02, seed=1)
    assert torch.equal(again.data.images, injected.data.images) and torch.equal(
        again.data.labels, injected.data.labels)


def test_a_share_of_nothing_injects_nothing(splits):
    injected = inject(splits.val, 0)
    assert len(injected.data) == len(
        splits.val) and not injected.outliers.any() and not injected.flipped.any()


def test_nothing_is_injected_in_a_persons_folder_unless_asked():
    assert (injected_share("auto", "digits"), injected_share("auto", "my_images")) == (0.02, 0)
    assert injected_share("5%", "my_images") == 0.05 and injected_share(0, "digits") == 0


@pytest.mark.parametrize("kind", DRAW)
@pytest.mark.parametrize("channels", [1, 3])
def test_outliers_fit_the_dataset_and_are_not_empty(kind, channels):
    image = DRAW[kind](16, channels, np.random.RandomState(0))
    assert image.shape == (channels, 16, 16) and image.dtype == torch.uint8
    assert image.float().std() > 20


@pytest.mark.slow
def test_outliers_among_digits_are_found_by_dinos_features(splits, tmp_path):
    """Seeds other than those the whitening was chosen with; half the quick training."""
    from helpers.training.pretraining import pretrain

    settings = Settings.resolve(preset="quick", dataset="digits", run_dir=tmp_path, dino_steps=300)
    encoder = pretrain(splits, settings, recipe_for("dino", settings)).encoder
    for seed in (20, 21):
        injected = inject(splits.train, seed=seed)
        features = extract_features(encoder, injected.data.images)
        scores = outliers.outlier_scores(features)
        count = int(injected.outliers.sum())
        assert outliers.found_at(outliers.consensus(scores), injected.outliers,
                                 count)["average_precision"] >= 0.9
        doubt, _ = outliers.label_doubt(features, injected.data.labels)
        own = ~injected.outliers
        assert outliers.found_at(doubt[torch.from_numpy(own)], injected.flipped[own],
                                 count)["recall"] >= 0.7


def test_the_report_lists_every_image_the_greatest_outlier_first(tmp_path):
    features, labels = cloud(40)
    scores = outliers.outlier_scores(features)
    doubts = outliers.label_doubt(features, labels)
    path = outliers.write_report(tmp_path / "out" / "report.csv", images(labels), ("ant", "bee"),
                                 scores, doubts)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    ranks = [float(row["outlier"]) for row in rows]
    assert len(rows) == 40 and ranks == sorted(ranks, reverse=True)
    first = rows[0]
    number = int(first["image"])
    assert first["label"] == ("ant", "bee")[labels[number]]
    assert float(first["label_doubt"]) == pytest.approx(doubts.doubt[number].item(), abs=1e-4)


def test_the_report_names_each_images_nearest_twin(tmp_path):
    scores = {"k nearest": np.array([0.4, 0.3, 0.2, 0.1])}
    pairs = [(0, 2, 0.99999), (0, 1, 0.9999)]
    labels = torch.zeros(4, dtype=torch.long)
    path = outliers.write_report(tmp_path / "r.csv", images(labels, tuple("wxyz")), ("a",), scores,
                                 outliers.LabelDoubt(torch.zeros(4), labels), pairs)
    assert [line["near_duplicate"] for line in csv.DictReader(path.open())] == ["y", "w", "w", ""]


def test_the_report_leaves_open_what_an_image_without_a_label_cannot_tell(tmp_path):
    labels, scores = torch.tensor([0, -1]), {"k nearest": np.array([0.1, 0.2])}
    doubts = outliers.LabelDoubt(torch.tensor([0.5, torch.nan]), torch.tensor([1, -1]))
    both = images(labels, ("x", "y"), ("train", "unlabeled"))
    path = outliers.write_report(tmp_path / "r.csv", both, ("a", "b"), scores, doubts)
    first, second = csv.DictReader(path.open())
    assert [first[name] for name in ("image", "split", "label", "label_doubt", "neighbours_predict")
            ] == ["y", "unlabeled", "", "", ""]
    assert (second["split"], second["label"], second["neighbours_predict"]) == ("train", "a", "b")
