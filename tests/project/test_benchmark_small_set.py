"""The benchmark of a small set: the same images for all, every seed, resumed."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import small_set  # noqa: E402
from helpers.data.splits import Labeled, Splits  # noqa: E402


def part(each, first=0):
    """Images that say their number, `each` of five classes."""
    labels = torch.arange(5 * each) % 5
    numbers = first + torch.arange(5 * each)
    images = numbers.view(-1, 1, 1, 1).remainder(256).expand(-1, 3, 8, 8).to(torch.uint8)
    return Labeled(images.contiguous(), labels)


@pytest.fixture
def splits():
    train, val, test = part(150), part(40), part(35)
    return Splits("x", train.images, train, val, test, tuple("abcde"))


def test_the_set_has_750_labels_and_the_folders_val_is_its_test(splits):
    found = small_set.small_set(splits)
    assert len(found.train) + len(found.val) == 750
    assert found.train.labels.bincount().tolist() == [small_set.TRAIN] * 5
    assert found.val.labels.bincount().tolist() == [small_set.VAL] * 5
    assert found.test is splits.val and len(found.unlabeled) == len(found.train)


def test_every_network_is_trained_from_each_seed_and_what_is_there_is_not_trained_again(
        splits, tmp_path, monkeypatch):
    made = []

    def trained(name, encoder, recipe, splits, settings, seed):
        made.append((name, seed, recipe.lr))
        return dict(network=name, weights=1, seed=seed, rate=recipe.lr, steps=recipe.steps,
                    validation=recipe.lr, test=0.5, seconds=1.0)

    encoder = torch.nn.Linear(1, 1)
    monkeypatch.setattr(small_set, "trained", trained)
    monkeypatch.setattr(small_set, "named_encoder", lambda *_: (encoder, ""))
    monkeypatch.setattr(small_set, "fresh", lambda *_: encoder)
    monkeypatch.setattr(small_set, "extract_features",
                        lambda _, images: images.float().mean((2, 3)))
    file = tmp_path / "small-set.csv"
    small_set.measured(small_set.small_set(splits), SimpleNamespace(), file, 1, 3)
    vit = [(seed, rate) for name, seed, rate in made if name.startswith("ViT")]
    assert vit == [(0, 5e-4), (1, 5e-4), (2, 5e-4)]
    assert {name for name, _, _ in made} == {*small_set.NETWORKS, small_set.TUNED}
    rows = pd.read_csv(file)
    assert len(rows) == len(made) + 1 and (rows.network == small_set.FROZEN).sum() == 1
    rows.iloc[:-2].to_csv(file, index=False)
    before = len(made)
    small_set.measured(small_set.small_set(splits), SimpleNamespace(), file, 1, 3)
    assert len(made) == before + 2 and len(pd.read_csv(file)) == len(rows)
