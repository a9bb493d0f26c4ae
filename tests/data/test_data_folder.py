"""Folders of images: layouts, labels, broken files."""

import os

import numpy as np
import pytest
import torch
from image_folders import SIZE, colors, make_folder, one_line, paint
from PIL import Image

from helpers.common.errors import UserError
from helpers.data import folder, listing
from helpers.data import images as image_files
from helpers.data import loading as data


@pytest.fixture
def load(tmp_path):
    def load(root, image_size=SIZE, **options):
        return data.load(root, image_size=image_size, data_dir=tmp_path / "data", **options)

    return load


def test_every_part_that_a_folder_has_is_used(tmp_path, load):
    root = make_folder(tmp_path / "insects", ("train", "val", "test"))
    for n in range(4):
        paint(root / "pretext" / f"{n}.jpg", (0, 200, n))
    splits = load(root)
    assert (len(splits.train), len(splits.val), len(splits.test), len(splits.unlabeled)) == (20, 20,
                                                                                             20, 24)
    assert splits.name == "insects" and splits.classes == ("ant", "bee") and splits.notes == ()


def test_labels_follow_the_class_folders(tmp_path, load):
    root = tmp_path / "colors"
    for part in ("train", "val", "test"):
        for n in range(6):
            paint(root / part / "red" / f"{n}.png", (255, 0, n))
            paint(root / part / "blue" / f"{n}.png", (0, 255, n))
    splits = load(root)
    for images, labels in (splits.train, splits.val, splits.test):
        is_red = images[:, 0, 0, 0] == 255
        assert [splits.classes[label]
                for label in labels] == ["red" if red else "blue" for red in is_red]


def test_splits_of_a_folder_share_no_image(tmp_path, load):
    splits = load(make_folder(tmp_path / "insects", each=40))
    parts = [colors(part.images) for part in (splits.train, splits.val, splits.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 80
    assert colors(splits.unlabeled) == parts[0]


def test_a_flat_folder_of_classes_is_split_70_15_15(tmp_path, load):
    root = make_folder(tmp_path / "all", ("",), each=100)
    splits = load(root)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (140, 30, 30)
    assert torch.bincount(splits.test.labels).tolist() == [15, 15]
    assert sum(path.is_file() for path in root.rglob("*")) == 200


def test_a_missing_test_folder_never_makes_val_the_test(tmp_path, load):
    root = make_folder(tmp_path / "insects", ("train", "val"), each=20)
    splits = load(root)
    train = {tuple(Image.open(path).getpixel((0, 0))) for path in (root / "train").rglob("*.png")}
    assert colors(splits.test.images) < train
    assert (len(splits.train), len(splits.val), len(splits.test)) == (34, 40, 6)
    assert splits.notes == ("no test/ folder: 15% of the training images are kept apart for it, "
                            "the same for every seed",)


def test_a_missing_val_folder_comes_out_of_train(tmp_path, load):
    splits = load(make_folder(tmp_path / "insects", ("train", "test"), each=20))
    assert (len(splits.train), len(splits.val), len(splits.test)) == (34, 6, 40)
    assert splits.notes == ("no val/ folder: 15% of the training images are kept apart for it",)


def test_a_large_folder_gives_no_more_than_a_fixed_number(tmp_path, load, monkeypatch):
    monkeypatch.setattr("helpers.data.folder.MOST_HELD_OUT", 4)
    splits = load(make_folder(tmp_path / "all", ("",), each=20))
    assert (len(splits.train), len(splits.val), len(splits.test)) == (32, 4, 4)
    assert "no val/ folder: 10% of the training images are kept apart for it" in splits.notes


def test_the_seed_moves_validation_but_not_test_images_of_a_folder(tmp_path, load):
    root = make_folder(tmp_path / "insects", each=40)
    one, other = load(root, seed=1), load(root, seed=2)
    assert torch.equal(one.test.images, other.test.images)
    assert colors(one.val.images) != colors(other.val.images)
    assert colors(load(root, seed=1).val.images) == colors(one.val.images)


def test_the_first_images_of_a_folder_are_not_all_of_one_class(tmp_path, load):
    splits = load(make_folder(tmp_path / "insects", ("train", "val", "test"), each=40))
    assert set(splits.train.labels[:20].tolist()) == {0, 1}


@pytest.mark.parametrize("name", ["pretext", "unlabeled", "Unlabelled"])
def test_images_without_labels_are_found_however_deep(tmp_path, load, name):
    root = make_folder(tmp_path / "insects", ("train", "val", "test"))
    paint(root / name / "2021" / "may" / "a.jpg", (0, 250, 0))
    paint(root / name / "b.jpg", (0, 250, 0))
    assert len(load(root).unlabeled) == 22


@pytest.mark.parametrize("name", ["Val", "valid", "validation"])
def test_other_names_of_the_validation_folder_are_understood(tmp_path, load, name):
    assert len(load(make_folder(tmp_path / "insects", ("train", name, "test"))).val) == 20


def test_classes_are_sorted_by_name(tmp_path, load):
    root = make_folder(tmp_path / "insects", classes=("wasp", "ant", "Bee"))
    assert load(root).classes == ("Bee", "ant", "wasp")


def test_images_in_subfolders_belong_to_the_class(tmp_path, load):
    root = make_folder(tmp_path / "insects", ("train", "val", "test"))
    paint(root / "train" / "ant" / "more" / "a.jpg")
    assert torch.bincount(load(root).train.labels).tolist() == [11, 10]


def test_extensions_are_found_in_any_case(tmp_path, load):
    root = make_folder(tmp_path / "insects", ("train", "val", "test"))
    for name in ("a.JPG", "b.Jpeg", "c.TIF", "d.bmp", "e.GIF"):
        paint(root / "train" / "ant" / name)
    assert torch.bincount(load(root).train.labels).tolist() == [15, 10]


def test_hidden_files_and_other_files_are_ignored_and_counted(tmp_path, load):
    root = make_folder(tmp_path / "insects", ("train", "val", "test"))
    paint(root / "train" / "ant" / ".hidden.png")
    paint(root / "train" / ".ipynb_checkpoints" / "a.png")
    paint(root / "train" / "loose.png")
    (root / "train" / "ant" / "notes.txt").write_text("an ant")
    (root / "README.md").write_text("insects")
    splits = load(root)
    assert splits.notes == (
        "what a system or a program keeps for itself was left out: .ipynb_checkpoints (1 file)",
        "4 hidden files or files that are not images, or that lie outside a class "
        "folder, were ignored",)
    assert (len(splits.train), splits.classes) == (20, ("ant", "bee"))


@pytest.fixture
def no_heic(monkeypatch):
    """As where pillow-heif is not installed."""
    monkeypatch.setattr(listing, "EXTENSIONS", image_files.EXTENSIONS - {".heic", ".heif"})
    monkeypatch.setattr(listing, "UNREAD", frozenset({".heic", ".heif"}))


def test_images_of_a_kind_that_is_not_read_are_named(tmp_path, load, no_heic):
    root = make_folder(tmp_path / "insects", ("train", "val", "test"))
    for name in ("IMG_1.HEIC", "IMG_2.heic", ".IMG_3.heic"):
        (root / "train" / "ant" / name).write_bytes(b"photograph")
    assert load(root).notes[0] == (
        "HEIC images cannot be read here, 2 left out: install pillow-heif and start "
        "again, or convert them to JPEG")


def test_a_photograph_from_an_iphone_is_read_like_any_other(tmp_path, load):
    root = make_folder(tmp_path / "insects", ("train", "val", "test"))
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[:15] = (200, 30, 20)
    Image.fromarray(pixels).save(root / "train" / "ant" / "AAA.HEIC", quality=95)
    (root / "train" / "ant" / "AAB.heic").write_bytes(
        (root / "train" / "ant" / "AAA.HEIC").read_bytes()[:200])
    splits = load(root)
    assert len(splits.train) == 21 and any("AAB.heic" in note for note in splits.notes)
    image = splits.train.images[splits.names["train"].index("train/ant/AAA.HEIC")].numpy()
    assert abs(image[:, 2, SIZE // 2]
               - np.array([200.0, 30, 20])).max() < 12 and image[:, -3].max() < 12


def test_a_class_of_nothing_but_heic_says_what_to_do(tmp_path, load, no_heic):
    root = make_folder(tmp_path / "insects")
    (root / "train" / "fly").mkdir()
    (root / "train" / "fly" / "IMG_1.HEIC").write_bytes(b"photograph")
    with pytest.raises(
            UserError,
            match="fly: HEIC images cannot be read here, 1 and no others in it") as caught:
        load(root)
    assert one_line(caught)


def test_other_folders_beside_train_are_named(tmp_path, load):
    root = make_folder(tmp_path / "insects", ("train", "val", "test", "old"))
    assert load(root).notes == ("folders beside train/ were ignored: old (20 files)",)


def test_links_are_followed_but_not_in_circles(tmp_path, load):
    root = make_folder(tmp_path / "insects", ("train", "val", "test"))
    target = paint(tmp_path / "elsewhere" / "a.png")
    try:
        (root / "train" / "ant" / "link.png").symlink_to(target)
        (root / "train" / "ant" / "circle").symlink_to(root / "train" / "ant",
                                                       target_is_directory=True)
        (root / "train" / "ant" / "dead.png").symlink_to(tmp_path / "nowhere.png")
    except OSError:
        pytest.skip("this system makes no links")
    assert torch.bincount(load(root).train.labels).tolist() == [11, 10]


def empty_class(root):
    (root / "train" / "fly").mkdir()


def empty_pretext(root):
    (root / "pretext").mkdir()


def unknown_class(root):
    paint(root / "val" / "moth" / "a.png")


def two_vals(root):
    make_folder(root, ("val", "valid"))


@pytest.mark.parametrize(("spoil", "message"), [
    (empty_class, "train/fly: no images in it: add some"),
    (empty_pretext, "pretext: no images in it"),
    (unknown_class, "val: train has no class moth: add it to train or remove it here"),
    (two_vals, "val, valid mean the same: keep one"),
])
def test_a_folder_that_cannot_be_used_is_one_line(tmp_path, load, spoil, message):
    root = make_folder(tmp_path / "insects")
    spoil(root)
    with pytest.raises(UserError, match="folder .*insects.*") as caught:
        load(root)
    assert message in str(caught.value).replace(os.sep, "/") and one_line(caught)


def test_an_empty_folder_is_one_line(tmp_path, load):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError,
                       match=r"nothing: no class folders: put the images in train/<class>/"):
        load(tmp_path / "nothing")


def test_a_single_class_is_one_line(tmp_path, load):
    with pytest.raises(UserError, match=r"one class folder \(.*\), .*: .*pretrain"):
        load(make_folder(tmp_path / "insects", classes=("ant",)))


def test_a_test_folder_without_train_is_one_line(tmp_path, load):
    with pytest.raises(UserError, match="there is a test/ but no train/"):
        load(make_folder(tmp_path / "insects", ("test",)))


def broken_files(place):
    """Five files that cannot be read, one for each way to be broken."""
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("cut.jpg", "cut.png"):
        Image.fromarray(noise).save(place / name)
        whole = (place / name).read_bytes()
        (place / name).write_bytes(whole[:len(whole) // 2])
    (place / "empty.jpg").write_bytes(b"")
    (place / "text.jpg").write_text("I am a letter")
    (place / "noise.webp").write_bytes(bytes(range(256)))
    return ["cut.jpg", "cut.png", "empty.jpg", "noise.webp", "text.jpg"]


def test_broken_images_are_named_skipped_and_counted(tmp_path, load, capsys):
    root = make_folder(tmp_path / "insects")
    names = broken_files(root / "train" / "ant")
    splits = load(root)
    note = next(note for note in splits.notes if "could not be read" in note)
    assert note.startswith("5 images could not be read, skipped: ")
    assert all(f"train/ant/{name}" in note for name in names)
    assert "empty.jpg (the file is empty)" in note and "text.jpg (not an image, but a text)" in note
    assert len(splits.train) + len(splits.val) + len(splits.test) == 20
    assert capsys.readouterr().err.count(note) == 1


def test_the_note_of_broken_images_survives_in_the_cache(tmp_path, load, capsys):
    root = make_folder(tmp_path / "insects")
    broken_files(root / "train" / "ant")
    first = load(root)
    capsys.readouterr()
    assert load(root).notes == first.notes
    assert "could not be read" not in capsys.readouterr().err


def test_many_broken_images_are_counted_but_only_some_are_named():
    note = folder.broken_note({f"{n}.jpg": "not an image" for n in range(9)})
    assert note.startswith("9 images") and note.endswith("and 4 more") and note.count("jpg") == 5


def test_a_class_whose_images_are_all_broken_is_one_line(tmp_path, load):
    root = make_folder(tmp_path / "insects")
    (root / "train" / "fly").mkdir()
    broken_files(root / "train" / "fly")
    with pytest.raises(UserError,
                       match="no image of class fly of train can be read: 5 images") as caught:
        load(root)
    assert one_line(caught)
    assert list((tmp_path / "data" / "cache").iterdir()) == []
