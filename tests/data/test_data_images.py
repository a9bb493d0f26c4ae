"""One image of every kind, and those that cannot be used."""

import re
import struct
import subprocess
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from image_folders import SIZE, paint
from PIL import Image

from helpers.data import images as images


def pixel(path, x=0.5, y=0.5):
    """The color at a place given as a share of width and height."""
    pixels = images.read_image(path, SIZE)
    assert pixels.shape == (3, SIZE, SIZE) and pixels.dtype == np.uint8
    return tuple(pixels[:, int(y * SIZE), int(x * SIZE)].tolist())


@pytest.mark.parametrize(("name", "mode", "color", "expected"), [
    ("a.png", "RGB", (200, 30, 90), (200, 30, 90)),
    ("a.png", "L", 77, (77, 77, 77)),
    ("a.png", "1", 1, (255, 255, 255)),
    ("a.bmp", "RGB", (1, 2, 3), (1, 2, 3)),
    ("a.ppm", "RGB", (1, 2, 3), (1, 2, 3)),
    ("a.PNG", "RGB", (9, 8, 7), (9, 8, 7)),
    ("a.tiff", "CMYK", (0, 255, 255, 0), (255, 0, 0)),
    ("a.png", "RGBA", (200, 0, 0, 255), (200, 0, 0)),
    ("a.png", "RGBA", (200, 0, 0, 0), (255, 255, 255)),
    ("a.png", "RGBA", (0, 0, 0, 51), (204, 204, 204)),
    ("a.png", "LA", (0, 0), (255, 255, 255)),
    ("a.png", "I;16", 65535, (255, 255, 255)),
    ("a.png", "I;16", 257 * 100, (100, 100, 100)),
    ("a.tif", "I;16", 257 * 3, (3, 3, 3)),
    ("a.tif", "I", 257 * 40, (40, 40, 40)),
    ("a.tif", "F", 0.2, (51, 51, 51)),
    ("a.tif", "F", 51.0, (51, 51, 51)),
])
def test_an_image_of_any_mode_becomes_rgb(tmp_path, name, mode, color, expected):
    assert pixel(paint(tmp_path / name, color, mode=mode)) == expected


def test_an_rgba_webp_is_laid_over_white(tmp_path):
    assert pixel(paint(tmp_path / "a.webp", (0, 0, 0, 0), mode="RGBA",
                       lossless=True)) == (255, 255, 255)


def test_a_cmyk_jpeg_keeps_its_color(tmp_path):
    red = pixel(paint(tmp_path / "a.jpg", (0, 255, 255, 0), mode="CMYK", quality=95))
    assert red[0] > 240 and max(red[1:]) < 15


def palette_image(path, **options):
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.save(path, **options)
    return path


def test_a_palette_image_shows_the_colors_of_its_palette(tmp_path):
    assert pixel(palette_image(tmp_path / "a.gif")) == (10, 200, 30)


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_a_transparent_palette_color_becomes_white(tmp_path, name):
    assert pixel(palette_image(tmp_path / name, transparency=1)) == (255, 255, 255)


def test_a_transparent_gray_level_becomes_white(tmp_path):
    assert pixel(paint(tmp_path / "a.png", 40, mode="L", transparency=40)) == (255, 255, 255)


def test_an_animation_shows_its_first_frame(tmp_path):
    first, second = Image.new("RGB", (20, 20), (255, 0, 0)), Image.new("RGB", (20, 20), (0, 0, 255))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert pixel(tmp_path / "a.gif") == (255, 0, 0)


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (2, (1, 0)), (3, (1, 1)),
                                                     (4, (0, 1)), (6, (1, 0)), (8, (0, 1))])
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_exif_rotation_puts_the_marked_corner_in_its_place(tmp_path, kind, orientation, corner):
    image = Image.new("RGB", (64, 64))
    image.paste((255, 255, 255), (0, 0, 32, 32))  # the mark: the stored upper left quarter
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{kind}", exif=exif)
    bright = {(x, y) for x in (0, 1) for y in (0, 1)
              if pixel(tmp_path / f"a.{kind}", 0.25 + 0.5 * x, 0.25 + 0.5 * y)[0] > 128}
    assert bright == {corner}


def test_a_wide_image_is_cropped_at_its_centre(tmp_path):
    image = Image.new("RGB", (90, 30), (255, 0, 0))
    image.paste((0, 255, 0), (30, 0, 60, 30))
    image.save(tmp_path / "a.png")
    pixels = images.read_image(tmp_path / "a.png", 30)
    assert (pixels[1] == 255).all() and (pixels[[0, 2]] == 0).all()


def test_shrinking_is_antialiased(tmp_path):
    checks = np.indices((128, 128)).sum(0) % 2 * 255
    Image.fromarray(checks.astype(np.uint8)).save(tmp_path / "a.png")
    inner = images.read_image(tmp_path / "a.png", 16)[:, 1:-1, 1:-1].astype(int)
    assert abs(inner - 127.5).max() < 3


def test_a_large_jpeg_is_read_like_a_png_of_the_same_image(tmp_path):
    ramp = np.linspace(0, 255, 600).astype(np.uint8)[None].repeat(600, 0)
    for name in ("a.jpg", "a.png"):
        Image.fromarray(ramp).save(tmp_path / name)
    ours, exact = (images.read_image(tmp_path / name, SIZE).astype(int)
                   for name in ("a.jpg", "a.png"))
    assert abs(ours - exact).max() <= 3


def test_a_decompression_bomb_is_skipped_with_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MOST_PIXELS", 399)
    with pytest.raises(images.Unreadable, match="20 x 20 pixels are too many"):
        images.read_image(paint(tmp_path / "a.png"), SIZE)


def test_a_bomb_that_pillow_refuses_is_skipped_too(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(images.Unreadable, match="too many pixels"):
        images.read_image(paint(tmp_path / "a.png"), SIZE)


def test_a_program_under_the_name_of_an_image_is_not_started(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *call, **_: started.append(call))
    (tmp_path / "a.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n"
                                    "%%EndComments\n{ } loop\n%%EOF\n")
    with pytest.raises(images.Unreadable, match="not an image"):
        images.read_image(tmp_path / "a.jpg", SIZE)
    assert not started


@pytest.mark.parametrize("kind", ["PCX", "TGA", "ICO", "PSD", "SGI", "EPS", "PDF"])
def test_a_format_that_is_not_read_here_is_refused_under_any_name(kind, tmp_path):
    path = tmp_path / "a.png"
    if kind == "PSD":
        sizes = struct.pack(">HIIHH", 3, 8, 8, 8, 3)
        path.write_bytes(b"8BPS\x00\x01" + bytes(6) + sizes + bytes(200))
    else:
        Image.new("RGB", (32, 32)).save(path, kind)
    with pytest.raises(images.Unreadable, match="not an image"):
        images.read_image(path, SIZE)


@pytest.mark.parametrize("folder", ["helpers", "scripts", "notebooks", "benchmarks"])
def test_every_image_is_opened_with_a_list_of_formats(folder):
    root = Path(images.__file__).parents[2] / folder
    for path in [*root.rglob("*.py"), *root.rglob("*.ipynb")]:
        for line in path.read_text("utf-8").splitlines():
            assert not re.search(r"Image\.open\((?!.*formats=)|imread\(", line), f"{path}: {line}"


def header(path, side, depth, color):
    """The beginning of a PNG, which says its size."""
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))

    head = struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b""))
    return path


@pytest.mark.parametrize(("depth", "color"), [(8, 6), (16, 6), (8, 4)])
def test_the_limit_counts_bytes_and_not_only_pixels(depth, color, tmp_path):
    """Transparency takes several copies."""
    with pytest.raises(images.Unreadable, match="7000 x 7000 pixels are too many"):
        images.read_image(header(tmp_path / "a.png", 7000, depth, color), SIZE)


def test_large_images_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LARGE_BYTES", 100)
    inside, seen, fit = [], [], images.ImageOps.fit

    def watched(*call, **options):
        inside.append(1)
        seen.append(len(inside))
        result = fit(*call, **options)
        inside.pop()
        return result

    monkeypatch.setattr(images.ImageOps, "fit", watched)
    paths = [paint(tmp_path / f"{number}.png", size=(400, 400)) for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: images.read_image(path, SIZE), paths))
    assert seen == [1] * 16


def test_the_full_detail_of_a_progressive_jpeg_counts(tmp_path, monkeypatch):
    """It is kept whole in memory while it is decoded, however small the result."""
    monkeypatch.setattr(images, "MOST_PIXELS", 300 * 300)
    for progressive in (False, True):
        Image.new("RGB", (600, 600)).save(tmp_path / f"{progressive}.jpg", progressive=progressive)
    assert images.read_image(tmp_path / "False.jpg", SIZE).shape == (3, SIZE, SIZE)
    with pytest.raises(images.Unreadable, match="600 x 600 pixels are too many"):
        images.read_image(tmp_path / "True.jpg", SIZE)
