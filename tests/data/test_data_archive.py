"""Zip files of images: the honest ones load, the others end in one line and leave nothing
behind."""

import os
import shutil
import zipfile

import pytest
from image_folders import SIZE, make_folder, one_line

from helpers.common.errors import UserError
from helpers.data import archive, images, listing
from helpers.data import loading as data


def zipped(tmp_path, top="insects", extra=()):
    root = make_folder(tmp_path / "made" / "insects", each=10)
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for image in sorted(root.rglob("*.png")):
            file.write(image, f"{top}/{image.relative_to(root)}".lstrip("/"))
        for name, content in extra:
            file.writestr(name, content)
    return path


def load(path, tmp_path):
    return data.load(path, image_size=SIZE, data_dir=tmp_path / "data")


@pytest.mark.parametrize("top", ["insects", "", "a/"])
def test_a_zip_loads_like_the_folder_in_it(tmp_path, top):
    path = zipped(tmp_path, top.rstrip("/"), [("__MACOSX/._x.png", b"x"), ("readme.txt", b"hello")])
    splits, folder = load(path, tmp_path), load(tmp_path / "made" / "insects", tmp_path)
    assert splits.classes == ("ant", "bee") and len(splits.train) == len(folder.train)
    assert splits.names["train"] == folder.names["train"]


def test_it_is_unpacked_once(tmp_path, monkeypatch):
    path = zipped(tmp_path)
    first = archive.unpacked(path, tmp_path / "data")
    monkeypatch.setattr(archive, "_unpack", lambda *_: pytest.fail("unpacked twice"))
    assert archive.unpacked(path, tmp_path / "data") == first


def refused(path, tmp_path, match):
    with pytest.raises(UserError, match=match) as caught:
        load(path, tmp_path)
    assert one_line(caught)
    left = [p for p in (tmp_path / "data").rglob("*") if p.is_file() and p.name != ".lock"]
    assert left == [] and not (tmp_path / "evil.png").exists()


@pytest.mark.parametrize(
    "name",
    ["../../../evil.png", "/evil.png", "insects/../../evil.png", "..\\evil.png", "C:/evil.png"])
def test_names_that_lead_outside_are_refused(tmp_path, name):
    refused(zipped(tmp_path, extra=[(name, b"x")]), tmp_path, "write outside")


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_truncated_zip_is_one_line(tmp_path, share):
    path = zipped(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:int(share * len(content))])
    refused(path, tmp_path, "truncated or damaged")


def test_a_damaged_image_in_it_is_one_line(tmp_path):
    path = zipped(tmp_path)
    content = bytearray(path.read_bytes())
    content[60:70] = b"\xff" * 10
    path.write_bytes(content)
    refused(path, tmp_path, "truncated or damaged")


def test_a_bomb_is_refused(tmp_path):
    refused(zipped(tmp_path, extra=[("insects/train/ant/big.png", b"\0" * (1 << 25))]), tmp_path,
            "are no images")


def test_a_zip_without_images_and_a_file_that_is_none(tmp_path):
    path = tmp_path / "text.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "a")
    refused(path, tmp_path, "no images in this zip")
    path.write_bytes(b"hello")
    refused(path, tmp_path, "truncated or damaged")


def test_heic_images_in_a_zip_are_named(tmp_path, monkeypatch):
    # as without pillow-heif
    monkeypatch.setattr(listing, "EXTENSIONS", images.EXTENSIONS - {".heic"})
    monkeypatch.setattr(listing, "UNREAD", frozenset({".heic"}))
    splits = load(zipped(tmp_path, extra=[("insects/train/ant/IMG_1.heic", b"x")]), tmp_path)
    assert any("HEIC images cannot be read here, 1 left out" in note for note in splits.notes)


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    path = tmp_path / "shared.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("ant/0.png", bytes(100_000))
        one = file.infolist()[0]
        for number in range(1, 2000):
            other = zipfile.ZipInfo(f"ant/{number}.png")
            other.header_offset, other.CRC = one.header_offset, one.CRC
            other.file_size = other.compress_size = one.file_size
            file.filelist.append(other)
    refused(path, tmp_path, "claims to hold 200,000,000 bytes in")


def test_what_a_killed_unpacking_left_is_removed(tmp_path):
    path = zipped(tmp_path)
    folder = archive.unpacked(path, tmp_path / "data")
    place = next((tmp_path / "data" / "cache").iterdir())
    shutil.rmtree(place / "images")
    (place / ".part-abc" / "images").mkdir(parents=True)
    (place / ".part-abc" / "images" / "half.png").write_bytes(b"half")
    assert archive.unpacked(path, tmp_path / "data") == folder
    assert sorted(one.name for one in place.iterdir()) == [".lock", "images"]


@pytest.mark.parametrize(("number", "cure"), [(28, "free some disk space"),
                                              (13, "choose another data folder")])
def test_only_a_full_disk_asks_for_space(number, cure, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(zipfile.ZipFile, "extract", fails)
    refused(zipped(tmp_path), tmp_path, f"cannot be unpacked .*: {cure}$")
