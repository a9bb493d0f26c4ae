"""One image of every kind, and those that cannot be used."""

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
