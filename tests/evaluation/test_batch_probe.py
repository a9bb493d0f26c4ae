"""Heads that Adam trains a batch at a time, against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from helpers.data.latents import in_memory
from helpers.evaluation.batch_probe import adam_probe, batch_accuracy
from helpers.evaluation.probes import linear_probe, score


@pytest.fixture(scope="module")
def digits():
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(labels))
    pixels, labels = torch.tensor(pixels[order]).float() + 40, torch.tensor(labels[order])
    return in_memory(pixels[:400], labels[:400]), in_memory(pixels[400:], labels[400:])


def test_logistic_regression_is_that_of_scikit_learn(digits):
    train, test = digits
    probe = adam_probe(train, 10)
    peer = linear_probe(train.take(), train.labels)
    mine = probe(test.take()).softmax(1).detach().numpy()
    assert np.abs(mine - peer.predict_proba(test.take().numpy())).mean() < 0.003
    assert batch_accuracy(probe, test) == pytest.approx(score(peer, test.take(), test.labels),
                                                        abs=0.005)


def test_hidden_layers_learn_what_a_line_cannot_part():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(800, 2, generator=generator) * 2 - 1
    part = in_memory(points, (points.prod(1) > 0).long())
    assert batch_accuracy(adam_probe(part, 2), part) < 0.7
    assert batch_accuracy(adam_probe(part, 2, (64, 32)), part) > 0.95


def test_the_same_seed_gives_the_same_head_and_leaves_other_draws_alone(digits):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (adam_probe(digits[0], 10, (8,), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), wanted)
    assert torch.equal(first.layers[0].weight, again.layers[0].weight)
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)
