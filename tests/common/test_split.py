"""How a folder is split by choice: counts, shares, chosen classes; nothing on disk changes."""

import pytest
import torch
from image_folders import SIZE, colors, make_folder, one_line, paint

from helpers.common.errors import UserError
from helpers.common.split import Split, amount_text, share_of
from helpers.data import loading as data
from helpers.settings import Settings


@pytest.fixture
def load(tmp_path):
    def load(root, seed=0, **choices):
        return data.load(root, image_size=SIZE, data_dir=tmp_path / "data", seed=seed,
                         split=Split.of(**choices))

    return load


def sizes(splits):
    return [len(splits.train), len(splits.val), len(splits.test), len(splits.unlabeled)]


@pytest.mark.parametrize("text,meant", [("auto", None), (0.25, 0.25), ("25%", 0.25), ("20 %", 0.2),
                                        (20, 20), ("20", 20)])
def test_amounts_are_read_as_a_person_writes_them(text, meant):
    assert Split.of(val=text).val == meant


@pytest.mark.parametrize(
    "text", ["a few", 0, -3, 1.5, "150%", "100%",
             float("nan"), float("inf"), "yes"])
def test_an_amount_that_is_none_is_one_line(text):
    with pytest.raises(UserError,
                       match="val is .*: give auto, a share of the images such as 0.15") as caught:
        Split.of(val=text)
    assert one_line(caught)


@pytest.mark.parametrize("text,meant", [("auto", 0.1), ("", 0.1), (None, 0.1), (0, 0), ("0", 0),
                                        ("2%", 0.02), (0.05, 0.05), ("5 %", 0.05)])
def test_shares_are_read_as_a_person_writes_them(text, meant):
    assert share_of("INJECTED", text, 0.1) == meant


@pytest.mark.parametrize("text", [2, "2", "100%", -0.1, "much", float("nan"), float("inf")])
def test_a_share_that_is_none_is_one_line(text):
    with pytest.raises(
            UserError,
            match="INJECTED is .*: give auto, a share of the images such as 0.02") as caught:
        share_of("INJECTED", text, 0)
    assert one_line(caught)


@pytest.mark.parametrize(
    "shares,words",
    [(dict(val=0.5,
           test=0.6), "val 50% + test 60% is 110% of the images, which leaves none for train"),
     (dict(val=0.5, test=0.5), "leaves none for train"),
     (dict(train=0.8, val=0.15, test=0.15), "is 110% of the images: choose smaller shares")])
def test_shares_that_leave_nothing_are_one_line(shares, words):
    with pytest.raises(UserError) as caught:
        Split.of(**shares)
    assert words in str(caught.value) and one_line(caught)


def test_three_shares_may_be_everything():
    assert Split.of(train=0.7, val=0.15, test=0.15).train == 0.7


def test_counts_are_of_every_class_and_the_rest_is_for_pretraining(tmp_path, load):
    root = make_folder(tmp_path / "all", ("",), each=50)
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    splits = load(root, train=5, val=10, test=12)
    assert sizes(splits) == [10, 20, 24, 100 - 44]
    for part, each in (("train", 5), ("val", 10), ("test", 12)):
        assert torch.bincount(getattr(splits, part).labels).tolist() == [each, each]
    held_out = colors(splits.val.images) | colors(splits.test.images)
    assert colors(splits.unlabeled).isdisjoint(held_out) and colors(splits.train.images) < colors(
        splits.unlabeled)
    assert len(held_out | colors(splits.unlabeled)) == 100
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before


def test_shares_are_of_all_labelled_images(tmp_path, load):
    root = make_folder(tmp_path / "all", ("",), each=50)
    assert sizes(load(root, train="50%", val="20%", test="10%")) == [50, 20, 10, 70]
    assert sizes(load(root, train=0.7, val=0.15, test=0.15)) == [70, 15, 15, 70]


def test_a_share_for_train_that_val_and_test_do_not_leave_is_one_line(tmp_path, load):
    root = make_folder(tmp_path / "all", ("",), each=50)
    with pytest.raises(
            UserError,
            match="all: train wants 90% of the images, and val and test leave 70%") as caught:
        load(root, train=0.9)
    assert one_line(caught) and sizes(load(root, train=0.7)) == [70, 15, 15, 70]


@pytest.mark.parametrize("share, text", [(0.15, "15%"), (0.125, "12.5%"), (0.996, "99.6%"),
                                         (1 / 3, "33.3%")])
def test_shares_are_written_as_a_person_would(share, text):
    assert amount_text(share) == text


def test_a_split_is_reproducible_and_its_test_images_do_not_depend_on_the_seed(tmp_path, load):
    root = make_folder(tmp_path / "all", ("",), each=50)
    one, same, other = (load(root, seed, train=5, val=10, test=12) for seed in (1, 1, 2))
    assert one.names == same.names and torch.equal(one.train.images, same.train.images)
    assert one.names["test"] == other.names["test"]
    assert one.names["val"] != other.names["val"] and one.names["train"] != other.names["train"]


def test_every_image_keeps_its_files_name_and_class(tmp_path, load):
    root = make_folder(tmp_path / "all", ("",), classes=("ant", "bee", "wasp"), each=30)
    splits = load(root, train=4, val=3, test=5, classes="wasp, ant")
    assert splits.classes == ("ant", "wasp")
    for part in ("train", "val", "test"):
        images, labels = getattr(splits, part)
        assert [name.split("/")[0]
                for name in splits.names[part]] == [splits.classes[label] for label in labels]
        assert {len(splits.classes[label]) for label in labels} == set(images[:, 2, 0, 0].tolist())


def test_other_classes_are_left_out_of_every_part_and_what_has_no_label_stays(tmp_path, load):
    root = make_folder(tmp_path / "insects", ("train", "val", "test"),
                       classes=("ant", "bee", "wasp"))
    paint(root / "pretext" / "a.png", (0, 250, 0))
    splits = load(root, classes=["ant", "bee"])
    assert sizes(splits) == [20, 20, 20, 21] and splits.classes == ("ant", "bee")
    assert splits.notes == ("2 of 3 classes were chosen: ant, bee",)


def test_chosen_classes_of_a_named_dataset():
    splits = data.load("digits", split=Split.of(classes="3, 5, 8"))
    assert splits.classes == ("3", "5", "8") and set(splits.train.labels.tolist()) == {0, 1, 2}
    assert len(splits.unlabeled) == len(splits.train)


@pytest.mark.parametrize("choices,words", [
    (dict(classes="ant, bees"),
     "no class 'bees'; did you mean 'bee'? choose among Bumble, ant, bee"),
    (dict(classes="bumbel, ant"), "no class 'bumbel'; did you mean 'Bumble'?"),
    (dict(classes="zzz"), "no class 'zzz'; choose among Bumble, ant, bee"),
    (dict(classes="ant"), "one class chosen (ant), at least 2 are needed"),
    (dict(test=20),
     "test wants 20 images of every class, and class Bumble has 10 left, one of which is for train"
     ),
    (dict(val=5, test=5),
     "val wants 5 images of every class, and class Bumble has 5 left, one of which is"),
    (dict(train=9, val=2), "train wants 9 images of every class"),
])
def test_what_a_folder_cannot_give_is_one_line(tmp_path, load, choices, words):
    root = make_folder(tmp_path / "all", ("",), classes=("ant", "bee", "Bumble"))
    with pytest.raises(UserError) as caught:
        load(root, **choices)
    assert words in str(caught.value) and one_line(caught)


def test_a_part_that_the_folder_has_is_not_split_again(tmp_path, load):
    root = make_folder(tmp_path / "insects", ("train", "val"))
    with pytest.raises(
            UserError,
            match="it has a val/ folder, which is taken as it is: leave val at auto") as caught:
        load(root, val=3)
    assert one_line(caught) and len(load(root, test=3).test) == 6


def test_a_named_dataset_keeps_its_own_parts():
    with pytest.raises(UserError, match="digits has its own train, val and test images") as caught:
        data.load("digits", split=Split.of(val=3))
    assert one_line(caught)


def test_another_split_has_another_run_folder():
    plain = Settings.resolve(preset="smoke", dataset="digits")
    chosen = Settings.resolve(preset="smoke", dataset="digits", split=Split.of(classes="1, 2"))
    assert chosen.checkpoints != plain.checkpoints == Settings.resolve(
        preset="smoke", dataset="digits", split=Split.of()).checkpoints
    assert ("split", "classes 1, 2") in chosen.rows() and "split" not in dict(plain.rows())


@pytest.mark.parametrize("each", [3, 4])
def test_three_images_a_class_are_enough_for_all_parts(tmp_path, load, each):
    splits = load(make_folder(tmp_path / "few", ("",), each=each))
    assert all(
        set(getattr(splits, part).labels.tolist()) == {0, 1} for part in ("train", "val", "test"))
