"""Photos to be labelled: every image under a folder, whatever its subfolders are called."""

import pytest
from image_folders import colors, make_folder, one_line, paint

from helpers.common.errors import UserError
from helpers.data.unlabelled import load_photos


def test_every_image_is_there_once_with_its_name_in_the_folder(tmp_path):
    folder = make_folder(tmp_path / "photos", parts=("train", "new"), each=3)
    paint(folder / "loose.png", (9, 9, 9))
    paint(folder / ".thumbnails" / "0.png", (8, 8, 8))
    (folder / "notes.txt").write_text("no image")
    images, names = load_photos(folder, 16, tmp_path / "data")
    assert images.shape == (13, 3, 16, 16) and len(colors(images)) == 13
    assert list(names) == sorted(path.relative_to(folder).as_posix()
                                 for path in folder.rglob("[!.]*.png")
                                 if ".thumbnails" not in path.parts)


def test_a_broken_image_is_named_and_left_out(tmp_path, capsys):
    folder = make_folder(tmp_path / "photos", each=2)
    (folder / "train" / "ant" / "broken.jpg").write_bytes(b"no image")
    images, names = load_photos(folder, 16, tmp_path / "data")
    assert len(images) == len(names) == 4 and "broken.jpg" in capsys.readouterr().err


def test_images_of_a_kind_that_cannot_be_read_are_counted(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("helpers.data.listing.UNREAD", {".heic"})
    folder = make_folder(tmp_path / "photos", each=2)
    (folder / "phone.heic").write_bytes(b"photo")
    images, _ = load_photos(folder, 16, tmp_path / "data")
    assert len(images) == 4
    assert "1 images that cannot be read here are left out, such as phone.heic" in \
        capsys.readouterr().err


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_no_folder_and_no_image_are_one_line(tmp_path, make):
    make(tmp_path / "photos")
    with pytest.raises(UserError, match="to be labelled") as caught:
        load_photos(tmp_path / "photos", 16, tmp_path / "data")
    assert one_line(caught)
