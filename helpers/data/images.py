"""One image file of any kind to one square RGB array."""

from __future__ import annotations

import contextlib
import importlib
import io
import threading
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from helpers.common.kinds import HEAD, kind_of
from helpers.data import depth
from helpers.data.mending import JPEG, mended

with contextlib.suppress(ImportError):  # iPhones' format, for which Pillow needs a plugin
    importlib.import_module("pillow_heif").register_heif_opener()

NEWER = frozenset({".avif", ".heic", ".heif"})  # not every Pillow reads them
NEVER = frozenset({".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".psd",
                   ".svg", ".dcm", ".fits", ".exr"})  # images of which Pillow has no decoder
UNREAD = (NEWER - Image.registered_extensions().keys()) | NEVER
EXTENSIONS = (NEWER - UNREAD) | {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".tga"}
# No other decoder is asked, whatever a file's first bytes say: some start a program.
FORMATS = tuple(sorted({Image.registered_extensions()[suffix] for suffix in EXTENSIONS} - {"TGA"}))
BY_NAME = {".tga": ("TGA",)}  # whose first bytes could be anything's
MOST_PIXELS = 89_478_485  # Pillow's own limit, a quarter of a gigabyte of RGB
# bytes a pixel while an image is decoded and made RGB, by Pillow's mode
WORKING_BYTES = {"F": 16, "I": 12, "RGBA": 16, "LA": 16, "PA": 16}
USUAL_BYTES = 8
MOST_BYTES = USUAL_BYTES * MOST_PIXELS
LARGE_BYTES = 1 << 26  # images that take more are decoded one at a time, however many threads
LARGE_ONES = threading.Lock()
BANDS, BITS = 277, 258  # tags of a TIFF


class Unreadable(Exception):
    """An image that cannot be used; the message is the reason, in a few words."""


def open_image(file: Path | BinaryIO) -> Image.Image:
    """Open an image of one of the `FORMATS`; an OSError where it is something else.

    JPEGs of any size: of them no more is decoded than is asked for.
    """
    if not isinstance(file, Path):
        return Image.open(file, formats=FORMATS)
    with open(file, "rb") as opened:
        head = opened.read(len(JPEG))
    if head == JPEG:
        return JpegImageFile(file)
    return Image.open(file, formats=BY_NAME.get(file.suffix.lower(), FORMATS))


def read_image(path: Path, size: int, ranges: depth.Ranges = depth.USUAL) -> np.ndarray:
    """The image as uint8, 3 x size x size, upright and RGB.

    The shorter side is scaled to `size`, and the centre is cropped. Transparency is laid over
    white, and of an animation the first frame is taken. What is broken beside whole pixels (EXIF,
    texts, a missing end) does not matter.

    Args:
        ranges: of images of more than 8 bits; by default 16 bit are scaled by their full range.

    Raises:
        Unreadable: the file is empty, damaged, too large or no image.
    """
    try:
        return _square(path, size, ranges)
    except Unreadable:
        raise
    except Exception as problem:  # Pillow raises a dozen different kinds for damaged files
        system = getattr(problem, "errno", None)  # its disk, not the file
        square = None if system else _mended(path, size, ranges)
        if square is None:
            raise Unreadable(reason(path, problem)) from problem
        return square


def _square(file: Path | BinaryIO, size: int, ranges: depth.Ranges) -> np.ndarray:
    with open_image(file) as image:
        needed = _reduce(image, size)
        with LARGE_ONES if needed > LARGE_BYTES else contextlib.nullcontext():
            image.load()
            upright = to_rgb(_upright(image), ranges)
            square = ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(square).transpose(2, 0, 1)  # [size, size, 3] -> [3, size, size]


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says, and as it is where that cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF raises anything at all
        return image


def _mended(path: Path, size: int, ranges: depth.Ranges) -> np.ndarray | None:
    """The pixels on which all mended versions of a file agree, if there are any."""
    try:
        squares = [_square(io.BytesIO(version), size, ranges)
                   for version in mended(path.read_bytes())]
    except Exception:  # the file's own error says more
        return None
    agreed = squares and all(np.array_equal(one, squares[0]) for one in squares)
    return squares[0] if agreed else None


def extremes(path: Path) -> tuple[str, float, float] | None:
    """Kind, least and largest number of an image of more than 8 bits; None for any other."""
    try:
        with open_image(path) as image:
            if not depth.is_deep(image):
                return None
            needed = _reduce(image, max(image.size))
            with LARGE_ONES if needed > LARGE_BYTES else contextlib.nullcontext():
                pixels = np.asarray(image)
        return depth.kind_of(pixels), *depth.extremes(pixels)
    except Exception:  # it is named where it is decoded
        return None


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


def to_rgb(image: Image.Image, ranges: depth.Ranges = depth.USUAL) -> Image.Image:
    """An image of any mode as RGB, with transparency laid over white."""
    if depth.is_deep(image):
        image = Image.fromarray(depth.to_8_bit(np.asarray(image), ranges))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def reason(path: Path, problem: Exception) -> str:
    """Why a file could not be read, in a few words."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        return "the file is gone"
    except OSError as unread:
        return unread.strerror or str(unread)
    if not head:
        return "the file is empty"
    if isinstance(problem, Image.DecompressionBombError):
        return "too many pixels"
    if isinstance(problem, UnidentifiedImageError | SyntaxError):
        what = _bands(path) or kind_of(head)
        if not what or "image" in what or "TIFF" in what:
            return what or "not an image"
        return f"not an image, but {what}"
    return " ".join(str(problem).split())[:80] or type(problem).__name__


def _bands(path: Path) -> str:
    """What a TIFF that Pillow does not know holds."""
    try:
        with open(path, "rb") as file:
            tags = ImageFileDirectory_v2(file.read(8))  # a SyntaxError where it is no TIFF
            file.seek(tags.next)
            tags.load(file)
        bits = max(tags.get(BITS, (1,)))
        return (f"a TIFF of {tags.get(BANDS, 1)} bands of {bits} bits: one band of up to 32 bits, "
                "or 3 or 4 of 8, can be read")
    except Exception:
        return ""
