"""Folders as people have them: names of splits, what systems leave behind, other spellings."""

import json
import re
import shutil
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, reject, settings
from hypothesis import strategies as st
from image_folders import make_folder, paint
from PIL import Image

from helpers.common.errors import UserError
from helpers.common.split import Split
from helpers.data.audit import folder_report
from helpers.data.folder_names import split_names
from helpers.data.loading import load, name_or_path

SIDE = 8
COUNTS = (r"(\d+) images? could not be read", r"\(([\d,]+) files?\)", r"^(\d+) hidden files",
          r"cannot be read here, (\d+) left out", r"^(\d+) that could not be looked at")


@pytest.fixture
def read(tmp_path):
    return lambda root, **options: load(root, image_size=SIDE, data_dir=tmp_path / "data",
                                        **options)


def loaded(splits):
    """How many files came out as images; those of train are among the unlabelled."""
    return len(splits.unlabeled) + len(splits.val) + len(splits.test)


def named(notes):
    """How many files the notes say are left out."""
    return sum(int(count.replace(",", "")) for note in notes for pattern in COUNTS
               for count in re.findall(pattern, note))


@pytest.mark.parametrize("parts", [
    ("training_set", "test_set"), ("train_images", "test_images"), ("Training", "Testing"),
    ("seg_train/seg_train", "seg_test/seg_test"), ("TRAIN", "TEST"), ("train2017", "test2017"),
    ("Train Set", "Test Set"), ("trainset", "testset"), ("TrainData", "TestData"),
    ("train/images", "test/images"), ("flowers_train", "flowers_test"), ("train", "holdout"),
    ("trn", "tst"), ("trainval", "test"), ("cats_train/cats_train", "cats_test/cats_test"),
    ("train_labeled", "test_labeled")])
def test_splits_are_known_under_the_names_that_people_use(tmp_path, read, parts):
    splits = read(make_folder(tmp_path / "insects", parts))
    assert splits.classes == ("ant", "bee")
    assert len(splits.test) == 20
    assert len(splits.unlabeled) + len(splits.val) == 20


@pytest.mark.parametrize("name", ["unlabeled", "train_unlabeled", "unlabelled_train"])
def test_images_without_labels_lie_beside_the_labelled(tmp_path, read, name):
    root = make_folder(tmp_path / "pics", parts=("train_labeled", "test"))
    for n in range(5):
        paint(root / name / f"{n}.png", (n, 7, 255))
    splits = read(root)
    assert splits.classes == ("ant", "bee") and len(splits.unlabeled) == len(splits.train) + 5


@pytest.mark.parametrize("name", ["dev", "eval", "Evaluation", "VALIDATION", "validation_set",
                                  "val_images", "valid"])
def test_validation_has_more_names_than_val(tmp_path, read, name):
    assert len(read(make_folder(tmp_path / "insects", ("train", name))).val) == 20


@pytest.mark.parametrize("name", ["training wheels", "test bench", "latest", "trainer", "contest",
                                  "steam train", "test_tube", "restaurant", "value", "devil"])
def test_a_class_is_no_split_for_a_word_in_its_name(tmp_path, read, name):
    assert split_names([name, "ant"]) == {name: "", "ant": ""}
    assert name in read(make_folder(tmp_path / "things", ("",), (name, "ant"))).classes


@pytest.mark.parametrize("names", [("bus", "car", "train"), ("exam", "quiz", "test"),
                                   ("ride", "test", "train", "walk")])
def test_a_class_called_train_or_test_is_a_class_and_said_to_be(tmp_path, read, names):
    splits = read(make_folder(tmp_path / "things", ("",), names))
    assert splits.classes == names
    assert any("taken as classes" in note for note in splits.notes)


def test_classes_called_train_inside_of_train_are_classes(tmp_path, read):
    splits = read(make_folder(tmp_path / "things", ("train", "test"), ("bus", "train")))
    assert splits.classes == ("bus", "train")


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_folders_around_everything_are_seen_through(tmp_path, read, depth):
    make_folder(tmp_path.joinpath(*["photos"] * depth), ("train", "val"))
    splits = read(tmp_path / "photos")
    assert splits.classes == ("ant", "bee")
    assert depth == 1 or any(note.startswith("everything lies in photos/")
                             for note in splits.notes)


@pytest.mark.parametrize("leftover", ["@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found",
                                      ".thumbnails", ".Trash-1000", "System Volume Information",
                                      "FOUND.000", ".ipynb_checkpoints", "__MACOSX", "LOST.DIR"])
@pytest.mark.parametrize("place", ["", "train", "train/ant", "train/ant/2021"])
def test_what_a_system_leaves_behind_is_no_image_and_no_class(tmp_path, read, leftover, place):
    root = make_folder(tmp_path / "insects", ("train", "val", "test"))
    paint(root / "train" / "ant" / "2021" / "a.png")
    paint(root / place / leftover / "deep" / "thumb.jpg")
    splits = read(root)
    assert (splits.classes, loaded(splits)) == (("ant", "bee"), 61)
    assert any(leftover in note and "(1 file)" in note for note in splits.notes)


@pytest.mark.parametrize("name", ["$", "$$", "#1", "@home", "found", "None", "ant, small"])
def test_odd_names_of_classes_are_no_leftovers(tmp_path, read, name):
    assert name in read(make_folder(tmp_path / "insects", ("",), (name, "bee"))).classes


def test_two_spellings_of_a_letter_are_one_name(tmp_path, read):
    one, two = (unicodedata.normalize(form, "Caf\u00e9") for form in ("NFC", "NFD"))
    root = make_folder(tmp_path / "parts", ("train",), (two, "bar"))
    make_folder(root, ("val",), (one, "bar"))
    assert read(root).classes == (one, "bar")
    make_folder(tmp_path / "both", ("",), (one, two, "bar"))
    both = read(tmp_path / "both")
    assert (both.classes, loaded(both)) == ((one, "bar"), 30)
    assert read(root, split=Split.of(classes=f"{two}, bar")).classes == (one, "bar")


@pytest.mark.parametrize("text", ["tench, Tinca tinca, goldfish", "goldfish,tench,Tinca tinca",
                                  " tench ,  Tinca tinca , goldfish"])
def test_a_class_with_a_comma_can_be_chosen(tmp_path, read, text):
    names = ("goldfish", "shark", "tench, Tinca tinca")
    splits = read(make_folder(tmp_path / "fish", ("",), names), split=Split.of(classes=text))
    assert splits.classes == ("goldfish", "tench, Tinca tinca")


@pytest.mark.parametrize("text", ["CIFAR-10", "cifar 10", "CIFAR10", "stl-10", "Fashion_MNIST",
                                  "FashionMNIST", " digits ", '"digits"'])
def test_a_dataset_is_known_however_it_is_written(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    assert name_or_path(text) in {"cifar10", "stl10", "fashion-mnist", "digits"}


@pytest.mark.parametrize("text", ['"{}"', "'{}'", "  {} ", "\u201c{}\u201d", "{}\n"])
def test_quotes_and_blanks_around_a_path_do_not_matter(tmp_path, text):
    (tmp_path / "my images").mkdir()
    assert name_or_path(text.format(tmp_path / "my images")) == str(tmp_path / "my images")


def latin_folder(root):
    """A class and files whose names are Latin-1, as an old disk has them."""
    image = paint(root / "bar" / "0.png").read_bytes()
    for name in (b"caf\xe9", b"bar"):
        place = bytes(root) + b"/" + name
        Path(place.decode("utf-8", "surrogateescape")).mkdir(exist_ok=True)
        for n in range(10):
            with open(place + b"/f\xfc%d.png" % n, "wb") as file:
                file.write(image)
    return root


def test_names_that_are_no_utf8_can_be_printed_and_written(tmp_path, read):
    try:
        root = latin_folder(tmp_path / "old")
    except OSError:
        pytest.skip("this disk takes no such names")
    splits = read(root)
    json.dumps([splits.classes, splits.names], ensure_ascii=False).encode()
    str(splits).encode()
    assert splits.classes == ("bar", "caf\ufffd")
    report = folder_report(root, names=splits.names)
    assert len(report.files) == loaded(splits) == 21
    str(report).encode()


def test_a_copy_in_another_size_or_format_leaks(tmp_path):
    root, random = tmp_path / "scenes", np.random.RandomState(0)
    for name in ("ant", "bee"):
        for n in range(20):
            pixels = np.kron(random.randint(0, 256, (8, 8, 3)), np.ones((12, 12, 1)))
            image = Image.fromarray(pixels.astype(np.uint8))
            (root / "train" / name).mkdir(parents=True, exist_ok=True)
            image.save(root / "train" / name / f"{n}.png")
            if n == 3:
                (root / "test" / name).mkdir(parents=True, exist_ok=True)
                image.resize((40, 40)).save(root / "test" / name / "small.jpg")
    assert folder_report(root).leaks == (("test/ant/small.jpg", "train/ant/3.png"),
                                         ("test/bee/small.jpg", "train/bee/3.png"))


# of files beside those of the splits; the first and the last of these, and one class
PLACES = ["", "{first}", "{first}/{name}", "{first}/{name}/2021", "{last}/{name}", "unlabeled",
          "{first}/{name}/@eaDir/a.jpg", "#recycle", "{first}/.thumbs", "lost+found/x", "found.000",
          "$RECYCLE.BIN/S-1", "System Volume Information", "__MACOSX/{first}/{name}",
          "{last}/{name}/__MACOSX", "{last}/{name}/more/more", ".Trash-1000/files"]
SPLITS = [("train",), ("train", "val", "test"), ("Training", "Testing"), ("train2017", "val2017"),
          ("seg_train/seg_train", "seg_test"), ("TrainImages", "dev", "TestImages"),
          ("training_set", "test_set"), ("",)]
CLASSES = [("ant", "bee"), ("tench, Tinca tinca", "goldfish"), ("$5-$10", "$"),
           ("Cafe\u0301", "\u56fe"), ("train", "bus"), ("None", "NA")]
FILES = ["a.png", "b.JPG", "c.jfif", "d.pgm", ".e.png", "f.txt", "g.cr2", "Thumbs.db", "._h.jpg",
         "empty.png", "text.jpg", "cut.png", "i.tga", "j", "k.jpe", "l.jp2", "m.heic", "n$1.bmp",
         "page.png", "short.jpg", "exif.jpg", "deep.png", "real.tiff", "pointer.jpg", "a, b.webp",
         "\u56fe.png", "o.json", "desktop.ini", ".DS_Store", "p.gif"]
KINDS = {".jpg": "JPEG", ".jfif": "JPEG", ".jpe": "JPEG", ".pgm": "PPM", ".tga": "TGA",
         ".jp2": "JPEG2000", ".bmp": "BMP", ".tiff": "TIFF", ".webp": "WEBP", ".gif": "GIF"}
TEXTS = {"text": "some text", "page": "<html></html>", "empty": "",
         "pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"}
NO_IMAGES = (".txt", ".cr2", ".db", ".json", ".ini", ".heic", "")


def write(path):
    """A file that its name says: an image, a broken one, or something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.lower()
    if path.stem in TEXTS or kind in NO_IMAGES:
        path.write_text(TEXTS.get(path.stem, "some text"))
        return
    deep = {"deep": ("I;16", 40_000), "real": ("F", 0.5)}
    mode, shade = deep.get(path.stem, ("L", 99))
    exif = {"exif": b"Exif\0\0garbage!"} if path.stem == "exif" else {}
    Image.new(mode, (12, 12), shade).save(path, KINDS.get(kind, "PNG"), **exif)
    left = {"cut": 40, "short": -2}.get(path.stem)
    if left:
        path.write_bytes(path.read_bytes()[:left])


@settings(max_examples=40, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(splits=st.sampled_from(SPLITS), classes=st.sampled_from(CLASSES),
       around=st.sampled_from(["", "photos", "photos/photos"]),
       extra=st.sets(st.tuples(st.sampled_from(PLACES), st.sampled_from(FILES)), max_size=12))
@example(splits=("train",), classes=CLASSES[0], around="", extra={(p, "a.png") for p in PLACES})
@example(splits=SPLITS[6], classes=CLASSES[1], around="x", extra={(p, "k.jpe") for p in PLACES})
@example(splits=SPLITS[1], classes=CLASSES[2], around="a/b",
         extra={("{first}/{name}", file) for file in FILES})
def test_nothing_is_lost_without_a_word(splits, classes, around, extra):
    """Files on disk = images loaded + files that the notes name or count."""
    top = Path(tempfile.mkdtemp())
    try:
        root = make_folder(top / "in" / around, splits, classes, each=4)
        for place, name in extra:
            write(root / place.format(first=splits[0], last=splits[-1], name=classes[0]) / name)
        try:
            found = load(top / "in", image_size=SIDE, data_dir=top / "data")
        except UserError as refused:
            assert "\n" not in str(refused)
            reject()  # hypothesis says so where most folders are refused
        on_disk = sum(path.is_file() for path in (top / "in").rglob("*"))
        assert loaded(found) + named(found.notes) == on_disk, found.notes
    finally:
        shutil.rmtree(top)
