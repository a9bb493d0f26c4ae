"""Image files as people have them: other endings, broken edges, many bits, disks that fail."""

import errno
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
from image_folders import make_folder, paint
from PIL import Image
from test_real_folders import SIDE, loaded, read  # noqa: F401

from helpers.data import archive, images
from helpers.data.depth import range_of

NOISE = np.random.RandomState(0).randint(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("ending", [".jfif", ".jpe", ".pgm", ".pnm", ".jp2", ".tga", ".dib",
                                    ".JFIF"])
def test_all_endings_that_pillow_reads_are_images(tmp_path, read, ending):  # noqa: F811
    root = make_folder(tmp_path / "insects")
    kind = {".jfif": "JPEG", ".pnm": "PPM"}.get(ending.lower())
    mode = "L" if ending == ".pgm" else "RGB"
    Image.new(mode, (20, 20)).save(root / "train" / "ant" / f"a{ending}", kind)
    assert loaded(read(root)) == 21


def chunk(kind, data, checksum=None):
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_with(path, extra):
    """A PNG with another chunk behind its header."""
    Image.fromarray(NOISE).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:33] + extra + data[33:])


@pytest.mark.parametrize("extra", [
    chunk(b"tEXt", b"Comment\0hello", checksum=1), chunk(b"gAMA", b"\0\0\0\1", checksum=2),
    chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * (1 << 21))), chunk(b"iCCP", b"x\0\0nonsense"),
    chunk(b"tIME", b"\0")])
def test_a_broken_text_beside_whole_pixels_does_not_matter(tmp_path, extra):
    png_with(tmp_path / "a.png", extra)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png", 64),
                                  NOISE.transpose(2, 0, 1))


@pytest.mark.parametrize("kind", ["png", "webp", "jpg", "tif"])
def test_an_image_whose_exif_is_none_is_read_as_it_is(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(NOISE).save(path, **({} if kind == "tif" else {"exif": b"Exif\0\0garbage!"}))
    assert images.read_image(path, 64).shape == (3, 64, 64)


def test_a_jpeg_without_its_end_is_whole_and_one_without_rows_is_not(tmp_path):
    for progressive in (False, True):
        path = tmp_path / "a.jpg"
        Image.fromarray(NOISE).save(path, quality=95, progressive=progressive)
        whole, data = images.read_image(path, 64), path.read_bytes()
        path.write_bytes(data[:-2])
        np.testing.assert_array_equal(images.read_image(path, 64), whole)
        for left in (0.3, 0.6, 0.95):
            path.write_bytes(data[:int(left * len(data))])
            with pytest.raises(images.Unreadable, match="truncated|image"):
                images.read_image(path, 64)


def test_a_jpeg_of_200_megapixels_is_read(tmp_path):
    image = Image.new("L", (16320, 12240), 77)
    image.save(tmp_path / "a.jpg", quality=20)
    assert abs(images.read_image(tmp_path / "a.jpg", 32).astype(int) - 77).max() <= 1


@pytest.mark.parametrize(("bands", "bits"), [(13, 16), (5, 8), (3, 32), (2, 16)])
def test_a_tiff_of_other_bands_says_so(tmp_path, bands, bits):
    tags = [(256, 4, 4), (257, 4, 4), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8),
            (277, 3, bands), (278, 4, 4), (279, 4, 16 * bands * bits // 8)]
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + table
                                     + bytes(4 + 16 * bands * bits))
    with pytest.raises(images.Unreadable, match=f"a TIFF of {bands} bands of {bits} bits"):
        images.read_image(tmp_path / "a.tif", SIDE)


@pytest.mark.parametrize(("content", "what"), [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    (b"<!DOCTYPE html><html></html>", "not an image, but a web page"),
    (b'{"error": "not found"}', "a text in JSON"), (b"PK\3\4" + bytes(60), "a zip archive"),
    (b"\0\0\0\x18ftypmif1" + bytes(60), "HEIC image|image"), (b"%PDF-1.4 xxxx", "a PDF"),
    (bytes(range(256)), "not an image$")])
def test_what_is_no_image_is_called_by_its_name(tmp_path, content, what):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(images.Unreadable, match=what):
        images.read_image(tmp_path / "a.jpg", SIDE)


def deep_folder(root, tops, kind, low=0.0):
    """A class each brightest number, of images from `low` to it."""
    random = np.random.RandomState(0)
    for name, top in tops.items():
        (root / name).mkdir(parents=True)
        for n in range(10):
            pixels = low + random.rand(20, 20) * (top - low)
            pixels[0, :2] = low, top
            Image.fromarray(pixels.astype(kind)).save(root / name / f"{n}.tif")
    return root


@pytest.mark.parametrize(("tops", "kind", "low", "said"), [
    ({"a": 1.0, "b": 1.02}, np.float32, 0.0, "0 is black and 1 is white"),
    ({"a": 0.2, "b": 1.0}, np.float32, 0.0, "0 is black and 1 is white"),
    ({"a": 3900, "b": 4095}, np.uint16, 0, "0 is black and 4095 is white"),
    ({"a": 200, "b": 65535}, np.uint16, 0, "0 is black and 65535 is white"),
    ({"a": 0.5, "b": 1.0}, np.float32, -1.0, "-1 is black and 1 is white")])
def test_deep_images_of_a_folder_share_their_range(tmp_path, read, tops, kind,  # noqa: F811
                                                   low, said):
    splits = read(deep_folder(tmp_path / "deep", tops, kind, low))
    assert any(said in note for note in splits.notes)
    means = [splits.unlabeled[splits.train.labels == n].float().mean() for n in (0, 1)]
    white = range_of("float" if kind is np.float32 else "integer", low, max(tops.values()))[1]
    for mean, top in zip(means, tops.values(), strict=True):
        assert mean == pytest.approx(255 * ((low + top) / 2 - low) / (white - low), abs=1, rel=0.1)


def failing(monkeypatch, where, problem=errno.EIO):
    """A disk that does not give one file."""
    real_open, real_stat = open, os.stat

    def refuse(path):
        if where in str(path):
            raise OSError(problem, os.strerror(problem), str(path))

    def opened(path, *more, **options):
        refuse(path)
        return real_open(path, *more, **options)

    monkeypatch.setattr("builtins.open", opened)
    return real_stat, refuse


def test_a_failure_of_one_moment_is_not_kept(tmp_path, read, monkeypatch):  # noqa: F811
    root = make_folder(tmp_path / "drive")
    with monkeypatch.context() as moment:
        failing(moment, "ant/3")
        first = read(root)
    assert loaded(first) == 19
    assert any("ant/3.png (Input/output error)" in note for note in first.notes)
    assert loaded(read(root)) == 20


def test_an_image_that_cannot_be_asked_about_is_named(tmp_path, read, monkeypatch):  # noqa: F811
    root = make_folder(tmp_path / "drive")
    with monkeypatch.context() as moment:
        real, refuse = failing(moment, "bee/3", errno.ENOTCONN)
        moment.setattr(os, "stat", lambda path, *more, **options: refuse(path) or real(
            path, *more, **options))
        splits = read(root)
    assert loaded(splits) == 19
    assert any("1 that could not be looked at, left out: train/bee/3.png" in note
               for note in splits.notes)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, read, monkeypatch):  # noqa: F811
    root, real = make_folder(tmp_path / "drive"), os.scandir
    paint(root / "train" / "bee" / "2021" / "a.png")

    def listed(path):
        if str(path).endswith("2021"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", listed)
    assert "train/bee/2021 (Permission denied)" in " ".join(read(root).notes)


def zipped(path, root, prefix="", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for image in sorted(root.rglob("*.png")):
            file.write(image, prefix + image.relative_to(root).as_posix())
    return path


@pytest.mark.parametrize("top", ["Photos 12:05:2021/", "Photos: all/", "a/b/", ""])
def test_a_zip_from_a_mac_may_have_colons(tmp_path, read, top):  # noqa: F811
    root = make_folder(tmp_path / "in", ("train", "val"))
    assert read(zipped(tmp_path / "p.zip", root, top)).classes == ("ant", "bee")


def test_a_compression_that_python_lacks_is_named(tmp_path, read):  # noqa: F811
    path = zipped(tmp_path / "p.zip", make_folder(tmp_path / "in"))
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        at = data.find(mark)
        while at >= 0:
            struct.pack_into("<H", data, at + place, 9)
            at = data.find(mark, at + 4)
    path.write_bytes(data)
    with pytest.raises(archive.UserError, match="packed by deflate64.*unpack it yourself"):
        read(path)


def test_a_name_that_is_too_long_is_named(tmp_path, read):  # noqa: F811
    path = zipped(tmp_path / "p.zip", make_folder(tmp_path / "in"))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(f"train/ant/{'x' * 300}.png", b"x")
    with pytest.raises(archive.UserError, match="xxx... is too long a name for this disk"):
        read(path)


class Unmarked(zipfile.ZipInfo):
    """A member whose name is in some code page, and the zip does not say which."""

    def _encodeFilenameFlags(self):  # noqa: N802
        return self.raw, self.flag_bits & ~archive.UTF8_NAME


@pytest.mark.parametrize(("code", "names"), [("utf-8", ("K\u00e4fer", "B\u00e4r")),
                                             ("cp932", ("\u732b", "\u72ac"))])
def test_unmarked_names_of_a_zip_are_utf8_or_doubted(tmp_path, read, capsys,  # noqa: F811
                                                     code, names):
    image = paint(tmp_path / "a.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as file:
        for name in [f"{one}/{n}.png" for one in names for n in range(10)]:
            info = Unmarked(name)
            info.raw = name.encode(code)
            file.writestr(info, image)
    classes = read(tmp_path / "p.zip").classes
    doubted = "code page" in capsys.readouterr().err
    assert (set(classes) == set(names)) is not doubted
    assert doubted == (code != "utf-8")
