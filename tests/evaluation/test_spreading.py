"""Label spreading: labels flow along neighbouring images, and validation chooses how."""

import numpy as np
import pytest
import torch

from helpers.data.splits import Labeled, Splits
from helpers.evaluation.spreading import ALPHAS, NEIGHBOURS, Spreading, spreading_scores


def chains(count, seed):
    """Images of 2 x 2 pixels: two long, thin clouds beside each other, one a class."""
    generator = np.random.RandomState(seed)
    labels = torch.arange(count) % 2
    along = torch.from_numpy(generator.uniform(0, 255, count))
    across = 40 + 120 * labels + torch.from_numpy(generator.uniform(-8, 8, count))
    images = torch.stack([along, along, across, across], 1).round().to(torch.uint8)
    return Labeled(images.view(-1, 1, 2, 2), labels)


@pytest.fixture(scope="module")
def splits():
    train, val, test = (chains(count, seed) for seed, count in enumerate((300, 60, 100)))
    return Splits("chains", train.images, train, val, test, ("a", "b"))


def test_one_label_per_class_is_enough_where_classes_are_chains(splits):
    scores = spreading_scores(splits, (1, 0), 4)
    assert len(scores["label spreading", 1]) == 4 and len(scores["label spreading", 0]) == 1
    assert min(scores["label spreading", 1]) > 0.95


def test_labels_that_are_hidden_do_not_matter(splits):
    spreading, other = Spreading(splits), Spreading(splits)
    index = torch.tensor([0, 1])
    other.labels = 1 - other.labels
    other.labels[index] = spreading.labels[index]
    predicted = [each._predictions(index, 10, 0.2, part=2) for each in (spreading, other)]
    assert (predicted[0] == predicted[1]).all()


def test_validation_chooses_and_test_is_not_read(splits):
    spreading = Spreading(splits)
    neighbours, alpha = spreading.choose(1)
    assert neighbours in NEIGHBOURS and alpha in ALPHAS
    spreading.test = Labeled(splits.test.images, 1 - splits.test.labels)
    assert spreading.choose(1) == (neighbours, alpha)


def test_it_gives_the_same_as_scikit_learns_own_prediction(splits):
    from sklearn.semi_supervised import LabelSpreading

    spreading = Spreading(splits)
    index = torch.tensor([0, 1, 2, 3])
    known = np.full(len(splits.train), -1)
    known[index] = splits.train.labels[index]
    peer = LabelSpreading(kernel="knn", n_neighbors=10, alpha=0.2).fit(spreading.features[0], known)
    ours = spreading._predictions(index, 10, 0.2, part=2)
    assert (ours == peer.predict(spreading.features[2])).mean() == 1
