"""Labelling by hand: the table on disk, rounds of images, and the page that they are shown on."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from helpers.common.errors import UserError
from helpers.data.labels import read_labels
from helpers.evaluation import label_grid
from helpers.evaluation.labelling import LabelTable, Rounds, cross_validated, keys_of
from helpers.evaluation.selection import NO_CLASS, NOT_ASKED

FILES = [f"a/{number}.jpg" for number in range(40)]
CLASSES = ("cat", "dog")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.csv"


@pytest.fixture
def rounds(path):
    """Two classes far apart; even rows are cats."""
    features = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    features[::2, 0] += 9
    features[1::2, 1] += 9
    return Rounds(LabelTable(path, FILES, CLASSES), features, size=6)


def test_each_answer_is_in_the_table_at_once(path):
    table = LabelTable(path, FILES, CLASSES)
    table.answer(3, "dog")
    assert path.read_text() == "file,class\na/3.jpg,dog\n"
    table.answer(1, "-")
    assert path.read_text() == "file,class\na/3.jpg,dog\na/1.jpg,-\n"
    assert table.labels[[3, 1, 0]].tolist() == [1, NO_CLASS, NOT_ASKED]


def test_a_table_that_is_opened_again_goes_on(path):
    first = LabelTable(path, FILES, CLASSES)
    for row, label in ((5, "dog"), (2, "cat"), (7, "-")):
        first.answer(row, label)
    again = LabelTable(path, FILES, CLASSES)
    assert torch.equal(again.labels, first.labels)
    assert [again.undo(), again.undo(), again.undo(), again.undo()] == [7, 2, 5, None]
    assert path.read_text() == "file,class\n"


def test_a_skipped_image_is_no_row_and_not_asked_about_today(path):
    table = LabelTable(path, FILES, CLASSES)
    table.skip(4)
    assert not path.exists() and table.labels[4] == NO_CLASS
    assert table.undo() == 4 and table.labels[4] == NOT_ASKED


def test_hostile_names_come_back_as_they_are(path):
    classes = ('cat, "big"', "hund\nkatze", "=1+1", " ä ", "a;b")
    files = ["x,y.jpg", 'q"uote.jpg', "new\nline.jpg", "ü/é.jpg", "\udcff.jpg"]
    table = LabelTable(path, files, classes)
    for row, label in enumerate(classes):
        table.answer(row, label)
    assert LabelTable(path, files, classes).labels.tolist() == list(range(5))


def test_a_training_reads_the_table_and_learns_nothing_from_images_of_no_class(path):
    table = LabelTable(path, ["a,b.jpg", 'c"d.jpg', "e.jpg"], ("cat, big", "dog"))
    for row, label in enumerate(("cat, big", "dog", "-")):
        table.answer(row, label)
    assert read_labels(path) == {"a,b.jpg": "cat, big", 'c"d.jpg': "dog"}


def test_a_killed_kernel_loses_nothing(path):
    code = ("import os, signal, sys; from pathlib import Path\n"
            "from helpers.evaluation.labelling import LabelTable\n"
            "table = LabelTable(Path(sys.argv[1]), [str(i) for i in range(9)], ('a', 'b'))\n"
            "for row in range(5): table.answer(row, 'ab'[row % 2])\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n")
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    table = LabelTable(path, [str(i) for i in range(9)], ("a", "b"))
    assert table.labels.tolist() == [0, 1, 0, 1, 0, -1, -1, -1, -1]
    assert os.listdir(path.parent) == ["labels.csv"]


@pytest.mark.parametrize("text,said", [
    ("name,label\na/1.jpg,cat\n", "first line must name the columns file and class"),
    ("file,class\na/1.jpg,cow\n", "line 2: there is no class 'cow'"),
    ("file,class\nb/1.jpg,cat\n", "line 2: there is no image b/1.jpg"),
    ("file,class\na/1.jpg,cat\na/1.jpg,dog\n", "line 3: a second label for a/1.jpg"),
    ("file,class\na/1.jpg\n", "line 2: it has 1 fields for 2 columns"),
    ("file,class,note\na/1.jpg,cat,mine\n", "other columns would be lost"),
])
def test_a_table_that_cannot_be_right_is_one_line_and_stays_as_it_is(path, text, said):
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        LabelTable(path, FILES, CLASSES)
    assert path.read_text() == text


@pytest.mark.parametrize("classes", [(), ("cat",), ("cat", "cat"), ("cat", "-"), ("cat", "")])
def test_classes_that_cannot_be_told_apart_are_refused(path, classes):
    with pytest.raises(UserError, match="classes must be two or more different names"):
        LabelTable(path, FILES, classes)


def test_a_table_that_a_spreadsheet_has_saved_is_read(path):
    path.write_bytes("\ufefffile,class\r\na/1.jpg,dog\r\n\r\n".encode())
    assert LabelTable(path, FILES, CLASSES).labels[1] == 1


def test_keys_are_single_characters_and_leave_skip_and_undo_alone():
    assert keys_of("0123") == {"0": "0", "1": "1", "2": "2", "3": "3"}
    assert keys_of(("cat", "s", "2")) == {"1": "cat", "3": "s", "2": "2"}
    many = keys_of([f"class {number}" for number in range(60)])
    assert len(many) == 34 and not {"s", "u", "-"} & set(many)


def test_accuracy_is_that_of_labels_predicted_without_themselves(rounds):
    labels = torch.arange(40) % 2
    found = cross_validated(rounds.features, labels)
    assert (found["accuracy"], found["images"]) == (1, 40)
    assert 0.9 < found["low"] < found["high"] <= 1
    shuffled = torch.tensor(np.random.RandomState(0).permutation(labels))
    assert cross_validated(rounds.features, shuffled)["accuracy"] < 0.75


def test_accuracy_is_not_known_before_two_classes_have_two_labels(rounds):
    labels = torch.full((40,), NOT_ASKED)
    labels[:3] = torch.tensor([0, 1, 0])
    assert cross_validated(rounds.features, labels) is None
    labels[3] = 1
    assert cross_validated(rounds.features, labels)["images"] == 4


def test_a_round_asks_judges_and_chooses_the_next(rounds):
    first = list(rounds.batch)
    for row in first:
        assert rounds.current == row
        rounds.answer(CLASSES[row % 2])
    assert len(rounds.history) == 1 and rounds.history[0]["labels"] == 6
    assert rounds.history[0]["accuracy"] == 1 and not set(first) & set(rounds.batch)


def test_keys_do_what_buttons_do(rounds):
    row, following = rounds.batch[:2]
    rounds.press("2")
    rounds.press("?")
    assert rounds.table.named == {row: "dog"} and rounds.current == following
    rounds.press("u")
    assert rounds.table.named == {} and rounds.current == row
    rounds.press("s")
    rounds.press("-")
    assert rounds.table.named == {following: "-"} and rounds.at == 2


def test_undo_reaches_back_into_the_round_before(rounds):
    last = rounds.batch[-1]
    rounds.rehearse(torch.arange(40) % 2, 1)
    rounds.undo()
    assert rounds.current == last and last not in rounds.table.named


def test_a_rehearsal_ends_when_every_image_was_asked_about(rounds):
    rounds.rehearse(torch.arange(40) % 2, 20)
    assert rounds.current is None and len(rounds.table.named) == 40
    rounds.answer("cat")
    assert rounds.history[-1]["labels"] == 40


@pytest.fixture
def grid(rounds):
    return label_grid.LabelGrid(rounds, lambda row: bytes([row]))


def test_a_click_labels_the_framed_image_and_the_frame_goes_on(grid, path):
    row, following = grid.rounds.batch[:2]
    grid.buttons["dog [2]"].click()
    assert path.read_text() == f"file,class\na/{row}.jpg,dog\n"
    tiles = grid.images.children
    assert "dog" in tiles[0].children[1].value and tiles[1].layout.border == label_grid.NOW
    assert tiles[1].children[0].value == bytes([following])
    grid.buttons["undo [u]"].click()
    assert path.read_text() == "file,class\n" and tiles[0].layout.border == label_grid.NOW


def test_typed_keys_count_once_each_and_a_deleted_one_not_at_all(grid):
    grid.typing.value = "1"
    grid.typing.value = "12s"
    grid.typing.value = "1"
    assert list(grid.rounds.table.named.values()) == ["cat", "dog"] and grid.rounds.at == 3


def test_the_next_round_is_drawn_with_the_accuracy_so_far(grid):
    first = list(grid.rounds.batch)
    for row in first:
        grid.buttons[("cat [1]", "dog [2]")[row % 2]].click()
    assert [tile.children[0].value for tile in grid.images.children] == [
        bytes([row]) for row in grid.rounds.batch]
    assert "accuracy 100.0%" in grid.head.value and "labels in labels.csv: 6 " in grid.head.value


def test_names_of_classes_cannot_run_anything(path):
    table = LabelTable(path, FILES, ("<script>alert(1)</script>", "b"))
    grid = label_grid.LabelGrid(Rounds(table, torch.randn(40, 4)), lambda row: b"")
    grid.typing.value = "1"
    assert "<script" not in grid.images.children[0].children[1].value


@pytest.mark.parametrize("channels", [1, 3])
def test_a_thumbnail_is_a_png_of_its_side(channels):
    from io import BytesIO

    from PIL import Image

    image = torch.arange(channels * 64, dtype=torch.uint8).reshape(channels, 8, 8)
    with Image.open(BytesIO(label_grid.thumbnail(image, 32))) as opened:
        assert (opened.format, opened.size) == ("PNG", (32, 32))
        pixels = np.asarray(opened).reshape(32, 32, channels)
    assert pixels[0, 0].tolist() == image[:, 0, 0].tolist()


def test_a_table_that_is_full_is_shown_and_asks_for_nothing(path):
    table = LabelTable(path, FILES[:2], CLASSES)
    table.answer(0, "cat")
    table.answer(1, "dog")
    grid = label_grid.LabelGrid(Rounds(table, torch.randn(2, 4)), lambda row: b"")
    assert "every image was asked about" in grid.head.value


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_a_round_of_no_images_is_one_line(path, size):
    with pytest.raises(UserError, match="images in a round must be a whole number above zero"):
        Rounds(LabelTable(path, FILES, CLASSES), torch.randn(40, 4), size=size)
