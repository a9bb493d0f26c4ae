"""Strategies that say which images to label next."""

import numpy as np
import pytest
import torch

from helpers.common.errors import UserError
from helpers.evaluation import selection
from helpers.evaluation.probes import score
from helpers.evaluation.selection import AUTO, NO_CLASS, NOT_ASKED, STRATEGIES, select


@pytest.fixture(scope="module")
def blobs():
    """Four classes of 60, 30, 20 and 10 images, well apart in 8 dimensions."""
    random = np.random.RandomState(0)
    answers = np.repeat(np.arange(4), (60, 30, 20, 10))
    features = 4 * np.eye(8)[answers] + random.normal(scale=0.3, size=(120, 8))
    return torch.tensor(features, dtype=torch.float32), torch.tensor(answers)


def nothing_known(answers):
    return torch.full_like(answers, NOT_ASKED)


@pytest.mark.parametrize("strategy", [*STRATEGIES, AUTO])
def test_only_images_nobody_was_asked_about_are_chosen_and_each_once(blobs, strategy):
    features, answers = blobs
    labels = nothing_known(answers)
    labels[::3], labels[1::3] = answers[::3], NO_CLASS
    chosen = select(strategy, features, labels, 4, 25)
    assert len(set(chosen)) == 25 and set((labels[chosen]).tolist()) == {NOT_ASKED}


@pytest.mark.parametrize("strategy", [*STRATEGIES, AUTO])
def test_the_same_seed_gives_the_same_images_and_no_more_than_there_are(blobs, strategy):
    features, answers = blobs
    labels = nothing_known(answers)
    first, second = (select(strategy, features, labels, 4, 500, seed=7) for _ in range(2))
    assert first == second and sorted(first) == list(range(120))


@pytest.mark.parametrize("strategy", ["typical", "coverage"])
def test_one_label_per_class_finds_every_class_also_the_rare_one(blobs, strategy):
    features, answers = blobs
    chosen = select(strategy, features, nothing_known(answers), 4, 4)
    assert sorted(answers[chosen].tolist()) == [0, 1, 2, 3]


def test_the_typical_image_lies_in_the_middle_of_its_cluster(blobs):
    features, answers = blobs
    (first,) = select("typical", features[answers == 0], nothing_known(answers[answers == 0]), 1, 1)
    z = torch.nn.functional.normalize(features[answers == 0], dim=1)
    distance = (z - z.mean(0)).norm(dim=1)
    assert distance[first] < distance.quantile(0.2)


def test_typical_images_leave_out_clusters_that_have_labels(blobs):
    features, answers = blobs
    labels = nothing_known(answers)
    labels[0], labels[60] = 0, 1
    chosen = select("typical", features, labels, 4, 2)
    assert sorted(answers[chosen].tolist()) == [2, 3]


def test_the_first_ball_covers_the_most(blobs):
    features, answers = blobs
    z = torch.nn.functional.normalize(features, dim=1).numpy()
    radius = selection.pure_radius(z, 4, 0)
    covered = (np.linalg.norm(z[:, None] - z[None], axis=2) <= radius).sum(1)
    (first,) = select("coverage", features, nothing_known(answers), 4, 1)
    assert covered[first] == covered.max()


def test_balls_of_the_chosen_radius_hold_one_cluster_in_95_of_100(blobs):
    features, answers = blobs
    close = features + 1.5 * torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    z = torch.nn.functional.normalize(close, dim=1).numpy()
    cluster, radius = selection._clusters(z, 4, 0), selection.pure_radius(z, 4, 0)
    distances = np.linalg.norm(z[:, None].astype(float) - z[None], axis=2)
    pure = [(cluster[row < radius - 1e-6] == own).all()
            for row, own in zip(distances, cluster, strict=True)]
    assert np.mean(pure) >= 0.95
    wider = [(cluster[row < 1.3 * radius] == own).all()
             for row, own in zip(distances, cluster, strict=True)]
    assert np.mean(wider) < 0.95


def test_the_smallest_margin_is_between_two_classes():
    answers = torch.tensor([0] * 10 + [1] * 10)
    features = torch.linspace(-1, 1, 20)[:, None] * torch.ones(1, 3)
    labels = nothing_known(answers)
    labels[[0, 19]] = answers[[0, 19]]
    assert sorted(select("margin", features, labels, 2, 2)) == [9, 10]


def test_without_two_classes_margins_are_random(blobs):
    features, answers = blobs
    labels = nothing_known(answers)
    labels[:3] = 0
    assert (select("margin", features, labels, 4, 9, seed=3)
            == select("random", features, labels, 4, 9, seed=3))


def test_auto_goes_from_typical_images_to_those_in_doubt(blobs):
    _, answers = blobs
    labels = nothing_known(answers)
    assert selection.suited(labels, 4) == "typical"
    labels[:] = answers
    assert selection.suited(labels, 4) == "margin"


def test_of_many_images_some_are_drawn_and_the_rows_are_still_those_of_the_whole(blobs,
                                                                                 monkeypatch):
    features, answers = blobs
    monkeypatch.setattr(selection, "POOL", 40)
    labels = nothing_known(answers)
    labels[:20] = answers[:20]
    chosen = select("coverage", features, labels, 4, 40)
    assert len(set(chosen)) == 40 and min(chosen) >= 20


def test_simulated_rounds_ask_for_the_budget_and_keep_earlier_answers(blobs):
    features, answers = blobs
    rounds = list(selection.labelled_so_far("typical", features, answers, 4, (1, 5, 100), 0))
    assert [int((labels >= 0).sum()) for labels in rounds] == [4, 20, 120]
    for earlier, later in zip(rounds, rounds[1:], strict=False):
        assert (later[earlier >= 0] == earlier[earlier >= 0]).all()
    assert torch.equal(rounds[-1], answers)


def test_a_probe_of_one_class_predicts_that_class(blobs):
    features, answers = blobs
    labels = nothing_known(answers)
    labels[:2] = answers[:2]
    assert score(selection.probe_of(features, labels), features, answers) == 0.5


def test_a_strategy_that_is_not_there_is_one_line_that_names_the_others(blobs):
    features, answers = blobs
    with pytest.raises(UserError, match="'margn': choose auto, random, "):
        select("margn", features, nothing_known(answers), 4, 5)
