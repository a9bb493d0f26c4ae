"""One image file of any kind to one square RGB array."""

from __future__ import annotations

import contextlib
import importlib
import threading
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

with contextlib.suppress(ImportError):  # iPhones' format, for which Pillow needs a plugin
    importlib.import_module("pillow_heif").register_heif_opener()

NEWER = frozenset({".avif", ".heic", ".heif"})  # not every Pillow reads them
UNREAD = NEWER - Image.registered_extensions().keys()
EXTENSIONS = (NEWER - UNREAD) | {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff",
                                 ".ppm"}
# No other decoder is asked, whatever a file's first bytes say: some start a program.
FORMATS = tuple(sorted({Image.registered_extensions()[suffix] for suffix in EXTENSIONS}))
MOST_PIXELS = 89_478_485  # Pillow's own limit, a quarter of a gigabyte of RGB
# bytes a pixel while an image is decoded and made RGB, by Pillow's mode
WORKING_BYTES = {"F": 16, "I": 12, "RGBA": 16, "LA": 16, "PA": 16}
USUAL_BYTES = 8
MOST_BYTES = USUAL_BYTES * MOST_PIXELS
LARGE_BYTES = 1 << 26  # images that take more are decoded one at a time, however many threads
LARGE_ONES = threading.Lock()
WHITE_16_BIT = 65535


class Unreadable(Exception):
    """An image that cannot be used; the message is the reason, in a few words."""


def open_image(path: Path) -> Image.Image:
    """Open an image of one of the `FORMATS`; an OSError where it is something else."""
    return Image.open(path, formats=FORMATS)


def read_image(path: Path, size: int) -> np.ndarray:
    """The image as uint8, 3 x size x size, upright and RGB.

    The shorter side is scaled to `size`, and the centre is cropped. Transparency is laid over
    white, 16 bit are scaled to 8 by their full range, and of an animation the first frame is taken.

    Raises:
        Unreadable: the file is empty, damaged, too large or no image.
    """
    try:
        with open_image(path) as image:
            needed = _reduce(image, size)
            with LARGE_ONES if needed > LARGE_BYTES else contextlib.nullcontext():
                upright = to_rgb(ImageOps.exif_transpose(image))
                square = ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)
            return np.asarray(square).transpose(2, 0, 1)  # [size, size, 3] -> [3, size, size]
    except Unreadable:
        raise
    except Exception as problem:  # Pillow raises a dozen different kinds for damaged files
        raise Unreadable(reason(path, problem)) from problem


def _reduce(image: Image.Image, size: int) -> int:
    """Let a JPEG decode no more detail than is needed; the bytes that decoding will take."""
    width, height = image.size
    image.draft(None, (2 * size, 2 * size))
    # all of a progressive JPEG is in memory at once
    kept = (width, height) if "progressive" in image.info else image.size
    pixels = kept[0] * kept[1]
    needed = pixels * WORKING_BYTES.get(image.mode, USUAL_BYTES)
    if pixels > MOST_PIXELS or needed > MOST_BYTES:
        raise Unreadable(f"{width} x {height} pixels are too many")
    return needed


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
    scaled = np.empty(pixels.shape, np.uint8)
    for row, one in zip(scaled, pixels, strict=True):  # all at once takes 8 bytes a pixel
        row[:] = np.clip(np.rint(one * (255.0 / white)), 0, 255)
    return scaled


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
