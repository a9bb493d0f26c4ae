"""All images of a dataset in a row: each of them once, with its label, split and file."""

import numpy as np
import torch
from image_folders import SIZE, make_folder, paint
from PIL import Image

from helpers.common.split import Split
from helpers.data import loading as data
from helpers.data.splits import everything


def test_a_named_dataset_counts_its_training_images_once():
    splits = data.load("digits")
    whole = everything(splits)
    assert len(whole) == 1797 and whole.counts() == {"train": 1097, "val": 200, "test": 500}
    assert torch.equal(whole.each(lambda images: images), torch.cat([part.images for part in (
        splits.train, splits.val, splits.test)]))
    assert whole.names[0] == "train 0" and whole.names[-1] == "test 499" and len(set(
        whole.names)) == 1797


def folder(tmp_path, **choices):
    root = make_folder(tmp_path / "insects", ("",), each=20)
    for number in range(5):
        paint(root / "pretext" / f"{number}.png", (9, 200, number))
    return root, data.load(root, image_size=SIZE, data_dir=tmp_path / "data",
                           split=Split.of(**choices))


def test_every_image_of_a_folder_is_there_under_its_files_name(tmp_path):
    root, splits = folder(tmp_path, train=3)
    whole = everything(splits)
    assert whole.counts() == {"unlabeled": 5 + 28 - 6, "train": 6, "val": 6, "test": 6}
    assert sorted(whole.names) == sorted(
        path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    assert set(whole.labels[whole.splits == "unlabeled"].tolist()) == {-1}
    for row, name in enumerate(whole.names):
        assert tuple(whole[row][:, 0, 0].tolist()) == Image.open(root / name).getpixel((0, 0))
        assert whole.labels[row] < 0 or splits.classes[whole.labels[row]] == name.split("/")[0]


def test_rows_are_a_number_a_list_an_array_or_a_tensor(tmp_path):
    whole = everything(folder(tmp_path)[1])
    together = whole.each(lambda images: images)
    assert torch.equal(whole[4], together[4]) and torch.equal(whole[[0, 44]], together[[0, 44]])
    rows = np.argsort(np.arange(45))[::-1]
    assert torch.equal(whole[rows], together.flip(0)) and torch.equal(whole[torch.tensor([7])],
                                                                      together[[7]])


def test_of_too_many_images_only_unlabelled_ones_are_left_out(tmp_path):
    splits = folder(tmp_path)[1]
    assert everything(splits,
                      most=42).counts() == {"unlabeled": 2, "train": 28, "val": 6, "test": 6}
    assert everything(splits, most=1).counts() == {"train": 28, "val": 6, "test": 6}
    assert everything(splits,
                      most=42).names == tuple(splits.names["unlabeled"][:2] + splits.names["train"]
                                              + splits.names["val"] + splits.names["test"])
