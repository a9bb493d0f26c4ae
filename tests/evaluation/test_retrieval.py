"""Looking images up: against scikit-learn, hand counts, and copies whose originals are known."""

import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from helpers.data.loading import load
from helpers.evaluation import retrieval
from helpers.transforms.views import normalise


def features(count, dims=5, seed=0):
    return torch.randn(count, dims, generator=torch.Generator().manual_seed(seed))


def test_neighbours_are_scikit_learns_by_cosine(monkeypatch):
    monkeypatch.setattr(retrieval, "CELLS", 4 * 30)  # several blocks
    bank, queries = features(30), features(10, seed=1)
    values, index = retrieval.neighbours(bank, queries, 3)
    expected = torch.from_numpy(cosine_similarity(queries, bank))
    torch.testing.assert_close(values, expected.topk(3).values)
    assert torch.equal(index, expected.topk(3).indices)


def test_no_image_is_its_own_neighbour(monkeypatch):
    monkeypatch.setattr(retrieval, "CELLS", 4 * 10)
    bank = features(10)
    _, index = retrieval.neighbours(bank, bank, 9, skip_self=True)
    assert all(own not in row for own, row in enumerate(index.tolist()))


def test_mean_average_precision_is_scikit_learns_mean():
    bank, queries = features(40), features(12, seed=1)
    bank_labels, labels = torch.arange(40) % 3, torch.arange(12) % 3
    similarity = cosine_similarity(queries, bank)
    expected = [average_precision_score(bank_labels.numpy() == int(label), row)
                for label, row in zip(labels, similarity, strict=True)]
    found = retrieval.mean_average_precision(bank, bank_labels, queries, labels)
    assert found == pytest.approx(sum(expected) / len(expected), abs=1e-6)


def test_mean_average_precision_never_holds_more_than_a_block(monkeypatch):
    bank, queries, labels = features(40), features(12, seed=1), torch.arange(52) % 3
    whole = retrieval.mean_average_precision(bank, labels[:40], queries, labels[40:])
    sizes, looked_up = [], retrieval.neighbours
    monkeypatch.setattr(retrieval, "neighbours",
                        lambda *given: sizes.append(len(given[1])) or looked_up(*given))
    monkeypatch.setattr(retrieval, "CELLS", 5 * 40)
    assert retrieval.mean_average_precision(bank, labels[:40], queries,
                                            labels[40:]) == pytest.approx(whole)
    assert sizes == [5, 5, 2]


def test_copies_are_made_a_block_at_a_time(monkeypatch):
    images, sizes = load("digits").val.images[:20], []
    def describe(x):
        sizes.append(len(x))
        return normalise(x).flatten(1) + 1

    whole = retrieval.copy_detection(describe, images)
    sizes.clear()
    monkeypatch.setattr(retrieval, "NUMBERS", 8 * 16 * 16)
    found = retrieval.copy_detection(describe, images)
    assert sizes == [20] + [8, 8, 4] * len(retrieval.COPIES)
    assert {name: found[name] for name in found if "noise" not in name} == pytest.approx(
        {name: whole[name] for name in whole if "noise" not in name})


def test_queries_of_a_class_the_bank_lacks_do_not_count():
    bank = torch.eye(3)
    assert retrieval.mean_average_precision(bank, torch.tensor([0, 1, 1]),
                                            torch.eye(3)[:2], torch.tensor([0, 7])) == 1


@pytest.mark.parametrize("name", retrieval.COPIES)
def test_copies_keep_shape_and_units_and_change_the_image(name):
    images = load("digits").val.images[:4].repeat(1, 3, 1, 1)
    copy = retrieval.COPIES[name](images)
    assert copy.shape == images.shape and copy.dtype == torch.float32
    assert not torch.allclose(copy, normalise(images))
    assert torch.equal(copy, retrieval.COPIES[name](images))  # the same each time
    if "noise" not in name:
        assert copy.abs().max() <= 1 + 1e-5


def test_copy_detection_counts_the_copies_that_find_their_original():
    images = load("digits").val.images[:60]
    pixels = retrieval.copy_detection(lambda x: normalise(x).flatten(1) + 1, images)
    assert pixels["half as bright"] == 1.0  # half of every pixel is the same direction
    blind = retrieval.copy_detection(lambda x: torch.ones(len(x), 2), images)
    assert max(blind.values()) <= 1 / 60 + 1e-6
