"""What a folder holds is counted, and every image keeps its file's name through the split."""

import shutil

from image_folders import SIZE, make_folder, paint
from PIL import Image

from helpers.data import loading as data
from helpers.data.audit import folder_report


def test_counts_sizes_modes_copies_and_broken_files(tmp_path):
    root = make_folder(tmp_path / "insects", ("train", "val"), each=4)
    paint(root / "train" / "ant" / "gray.png", 90, (30, 10), "L")
    paint(root / "pretext" / "p.png", (1, 2, 3), (50, 40))
    (root / "train" / "bee" / "empty.jpg").write_bytes(b"")
    (root / "train" / "bee" / "cut.png").write_bytes(
        (root / "train" / "bee" / "0.png").read_bytes()[:40])
    shutil.copy(root / "train" / "ant" / "0.png", root / "val" / "ant" / "same.png")
    shutil.copy(root / "train" / "ant" / "1.png", root / "train" / "bee" / "again.png")
    shutil.copy(root / "train" / "ant" / "2.png", root / "pretext" / "also.png")
    report = folder_report(root)
    files = report.files
    assert files.value_counts(["split", "class"]).to_dict() == {
        ("train", "ant"): 5, ("train", "bee"): 7, ("val", "ant"): 5, ("val", "bee"): 4,
        ("pretext", "(no label)"): 2}
    assert files.value_counts(["width", "height"]).to_dict() == {
        (20, 20): 19, (30, 10): 1, (50, 40): 1}
    assert files["mode"].value_counts().to_dict() == {"RGB": 20, "L": 1}
    broken = files[files["problem"] != ""].set_index("name")["problem"]
    assert set(broken.index) == {"train/bee/empty.jpg", "train/bee/cut.png"}
    assert broken["train/bee/empty.jpg"] == "the file is empty"
    assert report.leaks == (("train/ant/0.png", "val/ant/same.png"),)
    assert report.conflicts == (("train/ant/1.png", "train/bee/again.png"),)
    assert "across train or unlabelled, val and test: 1: train/ant/0.png = val/ant/same.png" in str(
        report)
    assert ("pretext/also.png", "train/ant/2.png") in report.duplicates
    assert len(report.duplicates) == 3
    assert report.rows() == [
        {"class": "(no label)", "pretext": 2, "train": 0, "val": 0},
        {"class": "ant", "pretext": 0, "train": 5, "val": 5},
        {"class": "bee", "pretext": 0, "train": 7, "val": 4}]
    text = str(report)
    assert "23 images" in text and "sizes from 30 x 10 to 50 x 40" in text and "broken: 2: " in text


def test_nothing_on_disk_is_changed(tmp_path):
    root = make_folder(tmp_path / "insects", ("train",), each=2)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    folder_report(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_every_image_keeps_the_name_of_its_file(tmp_path):
    root = make_folder(tmp_path / "insects", ("train",), each=20)
    for seed in (0, 1, 0):  # the second time from the cache
        splits = data.load(root, image_size=SIZE, seed=seed, data_dir=tmp_path / "data")
        assert splits.names["unlabeled"] == splits.names["train"]
        for part in ("train", "val", "test"):
            labelled = getattr(splits, part)
            assert len(splits.names[part]) == len(labelled)
            for image, label, name in zip(*labelled, splits.names[part], strict=True):
                assert tuple(image[:, 0, 0].tolist()) == Image.open(root / name).getpixel((0, 0))
                assert name.split("/")[1] == splits.classes[label]


def test_leaks_follow_the_split_that_was_drawn(tmp_path):
    root = make_folder(tmp_path / "flat", ("",), each=20)
    splits = data.load(root, image_size=SIZE, data_dir=tmp_path / "data")
    train, test = splits.names["train"], splits.names["test"]
    assert folder_report(root, names=splits.names).leaks == ()
    for number, name in enumerate(test[:3]):
        shutil.copy(root / name, root / train[number])
    assert folder_report(root).leaks == ()  # the folder itself has one part
    assert folder_report(root, names=splits.names).leaks == tuple(sorted(
        tuple(sorted(pair)) for pair in zip(test[:3], train, strict=False)))


def test_a_copy_of_a_test_image_without_a_label_leaks_too(tmp_path):
    root = make_folder(tmp_path / "insects", ("train", "val", "test"), each=4)
    (root / "pretext").mkdir()
    for part in ("test", "train"):
        shutil.copy(root / part / "ant" / "0.png", root / "pretext" / f"{part}.png")
    splits = data.load(root, image_size=SIZE, data_dir=tmp_path / "data")
    for report in (folder_report(root), folder_report(root, names=splits.names)):
        assert report.leaks == (("pretext/test.png", "test/ant/0.png"),)


def test_broken_copies_belong_to_no_part(tmp_path):
    root = make_folder(tmp_path / "insects", ("train", "test"), each=4)
    for part in ("train", "test"):
        (root / part / "ant" / "text.png").write_text("no image")
    splits = data.load(root, image_size=SIZE, data_dir=tmp_path / "data")
    assert folder_report(root, names=splits.names).leaks == ()
