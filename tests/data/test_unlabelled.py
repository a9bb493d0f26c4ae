"""Folders with images and few labels or none: what is learned from, and what is compared."""

import pytest
import torch
from image_folders import colors, make_folder, one_line, paint

from helpers.cli.main import main
from helpers.common.errors import UserError
from helpers.data.loading import load
from helpers.data.splits import pretext_sets
from helpers.models.weights.checkpoint import load_encoder


@pytest.fixture(params=["", "unlabeled", "pretext"])
def folder(request, tmp_path):
    """Forty images without a class: in a flat folder, or in one for images without labels."""
    for n in range(40):
        paint(tmp_path / "walk" / request.param / f"{n}.png", (n, 0, 0))
    return tmp_path / "walk"


def test_images_without_any_class_are_there_for_pretraining(folder, tmp_path):
    splits = load(folder, image_size=16, data_dir=tmp_path / "data", labelled=False)
    assert (len(splits.unlabeled), len(splits.val)) == (34, 6)
    assert not colors(splits.unlabeled) & colors(splits.val.images)
    assert len(splits.train) == len(splits.test) == len(splits.classes) == 0
    assert (splits.val.labels == -1).all() and len(splits.names["unlabeled"]) == 34
    assert "no image has a label; 6 are kept apart" in str(splits)


@pytest.mark.parametrize("places", [["all"], ["train/all"], ["train/all", "val/all"], ["train"],
                                    ["images"], ["walk/images"], ["all", "unlabeled"]])
def test_one_class_is_none(places, tmp_path):
    for place in places:
        for n in range(10):
            paint(tmp_path / "walk" / place / f"{n}.png", (n, len(place), 0))
    splits = load(tmp_path / "walk", image_size=16, data_dir=tmp_path / "data", labelled=False)
    assert len(splits.unlabeled) + len(splits.val) == 10 * len(places) and not splits.classes


@pytest.mark.parametrize("place", ["", "train", "photos", "photos/train"])
def test_two_classes_are_classes_for_pretraining_too(place, tmp_path):
    make_folder(tmp_path / "walk" / place, parts=("",))
    splits = load(tmp_path / "walk", image_size=16, data_dir=tmp_path / "data", labelled=False)
    assert splits.classes == ("ant", "bee")


def test_what_needs_labels_says_what_can_be_done_without(folder, tmp_path):
    with pytest.raises(UserError, match="no class folders: .*helpers pretrain") as caught:
        load(folder, image_size=16, data_dir=tmp_path / "data")
    assert one_line(caught)


def test_an_empty_folder_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images in it") as caught:
        load(tmp_path / "empty", image_size=16, data_dir=tmp_path / "data", labelled=False)
    assert one_line(caught)


@pytest.mark.parametrize("method", ["byol", "dino"])
def test_a_pretraining_without_labels_ends_with_an_encoder(method, folder, tmp_path, monkeypatch,
                                                           capsys):
    monkeypatch.setenv("FEWLABELS_DATA_DIR", str(tmp_path / "data"))
    command = ["pretrain", method, "--dataset", str(folder), "--preset", "smoke", "--image-size",
               "32", "--out", str(tmp_path / "runs"), "--batch-size", "16", "--device", "cpu"]
    assert main(command) == 0
    assert "no labels for a kNN, feature std" in capsys.readouterr().out
    encoder = load_encoder(next((tmp_path / "runs").rglob("encoder.safetensors")))
    assert encoder.meta["dataset"] == "walk" and "knn_validation" not in encoder.meta


@pytest.fixture
def classes(tmp_path):
    return make_folder(tmp_path / "birds", classes=("ant", "bee"), each=40)


def test_a_folders_own_pretext_set_is_compared_with_its_labelled_classes(classes, tmp_path):
    for n in range(50):
        paint(classes / "Unlabelled" / "deep" / f"{n}.png", (n, 255, 255))
    splits = load(classes, image_size=16, data_dir=tmp_path / "data")
    task, sets = pretext_sets(splits)
    assert task is splits and list(sets) == ["labelled classes", "own pretext set"]
    assert {len(images) for images in sets.values()} == {50}
    assert (sets["own pretext set"][:, 1] == 255).all()
    assert colors(sets["labelled classes"]) <= colors(splits.train.images)


def test_without_one_the_classes_are_halved_and_two_classes_are_too_few(classes, tmp_path):
    splits = load(classes, image_size=16, data_dir=tmp_path / "data")
    assert pretext_sets(splits) == (splits, {})
    digits = load("digits")
    task, sets = pretext_sets(digits)
    assert task.classes == digits.classes[:5] and list(sets) == ["same classes", "other classes"]
    assert len({len(images) for images in sets.values()}) == 1
    assert torch.equal(sets["same classes"], task.unlabeled[:len(sets["same classes"])])
