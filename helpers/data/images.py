"""One image file of any kind to one square RGB array."""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

with contextlib.suppress(ImportError):  # iPhones' format, for which Pillow needs a plugin
    importlib.import_module("pillow_heif").register_heif_opener()

NEWER = frozenset({".avif", ".heic", ".heif"})  # not every Pillow reads them
UNREAD = NEWER - Image.registered_extensions().keys()
EXTENSIONS = (NEWER - UNREAD) | {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff",
                                 ".ppm"}
MOST_PIXELS = 89_478_485  # Pillow's own limit, a quarter of a gigabyte of RGB
WHITE_16_BIT = 65535


class Unreadable(Exception):
    """An image that cannot be used; the message is the reason, in a few words."""


def read_image(path: Path, size: int) -> np.ndarray:
    """The image as uint8, 3 x size x size, upright and RGB.

    The shorter side is scaled to `size`, and the centre is cropped. Transparency is laid over
    white, 16 bit are scaled to 8 by their full range, and of an animation the first frame is taken.

    Raises:
        Unreadable: the file is empty, damaged, too large or no image.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Unreadable(f"{image.width} x {image.height} pixels are too many")
            image.draft(None, (2 * size, 2 * size))  # JPEGs: decode no more detail than is needed
            upright = to_rgb(ImageOps.exif_transpose(image))
            square = ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)
            return np.asarray(square).transpose(2, 0, 1)  # [size, size, 3] -> [3, size, size]
    except Unreadable:
        raise
    except Exception as problem:  # Pillow raises a dozen different kinds for damaged files
        raise Unreadable(reason(path, problem)) from problem


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB, with transparency laid over white."""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(to_8_bit(np.asarray(image)))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """Grayscale of more than 8 bits (H x W) as uint8: integers by their full range, so 65535 is
    white.

    Floating-point images carry no range: the smallest of 1, 255 and 65535 that holds every
    pixel is taken for white.
    """
    white: float = WHITE_16_BIT
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels)
        white = next((top for top in (1, 255) if pixels.max() <= top), WHITE_16_BIT)
    elif pixels.max() > WHITE_16_BIT:
        white = np.iinfo(np.int32).max
    return np.clip(np.rint(pixels * (255.0 / white)), 0, 255).astype(np.uint8)


def reason(path: Path, problem: Exception) -> str:
    """Why a file could not be read, in a few words."""
    if not path.exists():
        return "the file is gone"
    if path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(problem, UnidentifiedImageError):
        return "not an image"
    if isinstance(problem, Image.DecompressionBombError):
        return "too many pixels"
    return " ".join(str(problem).split())[:80] or type(problem).__name__
