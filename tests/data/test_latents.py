"""Features on disk: written once, gone on with, and read a batch at a time."""

import json

import numpy as np
import pytest
import torch

from helpers.common.errors import UserError
from helpers.data import latents
from helpers.data.latents import Made, in_memory, read_latents, write_latents
from helpers.data.splits import Labeled, Splits

MADE = Made("an encoder", "ab" * 32, 8, 3, "float16")


def random_splits(count=40, pretext=10, seed=0, names=True):
    """`count` images of 3 classes and `pretext` without a label, of 8 pixels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (pretext + count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % 3
    train, val, test = labels.split([count - 20, 10, 10])
    cut = pretext + count - 20
    parts = {"unlabeled": images[:cut], "train": images[pretext:cut], "val": images[cut:cut + 10],
             "test": images[cut + 10:]}
    files = {name: tuple(f"{name}/{row}.png" for row in range(len(part)))
             for name, part in parts.items()} if names else {}
    return Splits("drawn", parts["unlabeled"], Labeled(parts["train"], train),
                  Labeled(parts["val"], val), Labeled(parts["test"], test),
                  ("=one", "two, three", "四"), names=files)


class Encoder:
    """The first 5 numbers of an image as its features; counts what it was asked for."""

    def __init__(self, most=10**9):
        self.seen, self.most = 0, most

    def __call__(self, images):
        self.seen += len(images)
        if self.seen > self.most:
            raise KeyboardInterrupt
        return images.flatten(1)[:, :5].float() / 3


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(latents, "ROWS", 16)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("names", [True, False])
def test_what_is_read_is_what_was_described(tmp_path, names):
    splits = random_splits(names=names)
    assert write_latents(tmp_path, splits, MADE, Encoder()) == {
        "kept": 0, "computed": 50, "dropped": 0}
    found = read_latents(tmp_path)
    assert [len(shard) for shard in found.shards] == [16, 16, 16, 2]
    assert found.classes == splits.classes and found.width == 5 and len(set(found.files)) == 50
    for name in ("train", "val", "test"):
        images, labels = getattr(splits, name)
        part = found.part(name)
        assert torch.equal(part.labels, labels)
        assert torch.allclose(part.take(), Encoder()(images), rtol=1e-3)
    assert torch.allclose(found.part("unlabeled").take(), Encoder()(splits.unlabeled), rtol=1e-3)


@pytest.mark.usefixtures("small_shards")
def test_batches_give_every_row_once_with_its_label(tmp_path):
    splits = random_splits()
    write_latents(tmp_path, splits, MADE, Encoder())
    part = read_latents(tmp_path).part("train")
    batches = list(part.batches(7, torch.Generator().manual_seed(1)))
    assert [len(labels) for _, labels in batches] == [7, 7, 6]
    rows = torch.cat([features for features, _ in batches])
    order = [int((part.take() == row).all(1).nonzero()[0]) for row in rows]
    assert sorted(order) == list(range(20)) != order
    assert torch.equal(torch.cat([labels for _, labels in batches]), part.labels[order])


def test_features_in_memory_are_a_part_as_well():
    features, labels = torch.randn(9000, 3), torch.arange(9000) % 4
    part = in_memory(features, labels)
    assert torch.equal(part.take(), features) and len(part.shards) == 3


@pytest.mark.usefixtures("small_shards")
def test_an_interrupted_writing_goes_on(tmp_path):
    splits = random_splits()
    with pytest.raises(KeyboardInterrupt):
        write_latents(tmp_path, splits, MADE, Encoder(most=40))
    again = Encoder()
    assert write_latents(tmp_path, splits, MADE, again)["kept"] == 32
    assert again.seen == 18


@pytest.mark.usefixtures("small_shards")
def test_only_what_has_changed_is_computed_again(tmp_path):
    splits = random_splits()
    write_latents(tmp_path, splits, MADE, Encoder())
    splits.val.images[3] = 7
    counts = write_latents(tmp_path, splits, MADE, Encoder())
    assert counts == {"kept": 49, "computed": 1, "dropped": 1}
    assert torch.allclose(read_latents(tmp_path).part("val").take(), Encoder()(splits.val.images),
                          rtol=1e-3)
    assert len(list(tmp_path.glob("*.npy"))) == 4  # none is left over


@pytest.mark.parametrize("field, value", [
    ("sha256", "cd" * 32), ("image_size", 16), ("dtype", "float32")])
def test_features_made_in_another_way_are_not_written_over(tmp_path, field, value):
    write_latents(tmp_path, random_splits(), MADE, Encoder())
    other = Made(**{**MADE.__dict__, field: value})
    with pytest.raises(UserError, match="name another folder, or remove it"):
        write_latents(tmp_path, random_splits(), other, Encoder())


@pytest.mark.parametrize("harm", [
    lambda folder: (folder / "rows.csv").unlink(),
    lambda folder: next(folder.glob("*.npy")).write_bytes(b"\x93NUMPY"),
    lambda folder: next(folder.glob("*.npy")).unlink(),
    lambda folder: (folder / "latents.json").write_text("[1, 2]"),
    lambda folder: np.save(next(folder.glob("*.npy")), np.zeros((3, 5))),
    lambda folder: (folder / "rows.csv").write_text("file,split,class,mark\na,train,none,zz\n"),
    lambda folder: np.save(next(folder.glob("*.npy")), np.array([{}] * 50, dtype=object)),
])
def test_damaged_features_are_one_line(tmp_path, harm):
    write_latents(tmp_path, random_splits(), MADE, Encoder())
    harm(tmp_path)
    with pytest.raises(UserError, match="write them again"):
        read_latents(tmp_path)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_latents(tmp_path / "file", random_splits(), MADE, Encoder())


def test_images_without_files_are_named_by_split_and_number(tmp_path):
    write_latents(tmp_path, random_splits(names=False), MADE, Encoder())
    lines = (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()[1:]
    kinds = [line.split(",")[1] for line in lines]
    numbers = [kinds[:row].count(kind) for row, kind in enumerate(kinds)]
    assert [line.split(",")[0] for line in lines] == [
        f"{kind}/{number}" for kind, number in zip(kinds, numbers, strict=True)]
    assert set(kinds) == {"pretext", "train", "val", "test"}


def test_the_facts_are_for_people_too(tmp_path):
    write_latents(tmp_path, random_splits(), MADE, Encoder())
    facts = json.loads((tmp_path / "latents.json").read_text(encoding="utf-8"))
    assert facts["made"]["weights"] == "an encoder" and facts["name"] == "drawn"
    lines = (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert lines[11].startswith("train/0.png,train,'=one,")  # no formula of a spreadsheet
