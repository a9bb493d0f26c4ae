"""Grayscale images of more than 8 bits as 8 bits: which number is black, which is white.

One image does not tell: of two float images the one whose brightest pixel is 1.0 would be scaled by
255 and one with a 1.02 not at all. So the images of a folder share their range.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

FULL = 65535
WHITES = {"float": (1, 255, FULL), "integer": (255, 1023, 4095, 16383, FULL)}  # 8 to 16 bits
SLACK = 1.05  # floats pass their white by as much where they were resampled
SHALLOW = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".heic", ".heif",
                     ".avif", ".tga"})  # endings of formats that have 8 bits
Range = tuple[float, float]  # the numbers that become 0 and 255
Ranges = dict[str, Range]  # of "float" and of "integer" images
USUAL: Ranges = {"integer": (0, FULL)}  # of an image by itself; floats are looked at


def from_record(kept: Mapping[str, Sequence[float]]) -> Ranges:
    """The ranges of a folder as a file has them, "integer" or "float" -> black and white."""
    return {kind: tuple(pair) for kind, pair in kept.items()}


def is_deep(image: Image.Image) -> bool:
    """Whether an image has more than 8 bits a pixel."""
    return image.mode.startswith(("I", "F"))


def kind_of(pixels: np.ndarray) -> str:
    """"float" or "integer"."""
    return "float" if pixels.dtype.kind == "f" else "integer"


def to_8_bit(pixels: np.ndarray, ranges: Ranges = USUAL) -> np.ndarray:
    """Deep grayscale (H x W) as uint8; without a range of its kind, by its own."""
    kind = kind_of(pixels)
    black, white = ranges.get(kind) or range_of(kind, *extremes(pixels))
    if ranges.get(kind) is USUAL["integer"] and pixels.max() > white:
        white = np.iinfo(np.int32).max
    scaled = np.empty(pixels.shape, np.uint8)
    for row, one in zip(scaled, pixels, strict=True):  # all at once takes 8 bytes a pixel
        clean = np.nan_to_num(one, nan=black) if kind == "float" else one
        row[:] = np.clip(np.rint((clean - black) * (255.0 / (white - black or 1))), 0, 255)
    return scaled


def range_of(kind: str, low: float, high: float) -> Range:
    """The range of images whose pixels lie from `low` to `high`.

    Black is 0 and white the least usual one that holds all; with numbers below 0 or beyond all
    usual ones it is what the images have.
    """
    slack = SLACK if kind == "float" else 1
    if low < min(0, (1 - slack) * high):
        return low, high
    return 0, next((top for top in WHITES[kind] if high <= top * slack), high)


def common_ranges(found: Iterable[tuple[str, float, float]]) -> Ranges:
    """The ranges that deep images share, from the kind and the `extremes` of each."""
    lows: dict[str, float] = {}
    highs: dict[str, float] = {}
    for kind, low, high in found:
        lows[kind], highs[kind] = min(low, lows.get(kind, low)), max(high, highs.get(kind, high))
    return {kind: range_of(kind, lows[kind], highs[kind]) for kind in sorted(lows)}


def in_words(ranges: Ranges) -> list[str]:
    """How the deep images of a folder were scaled, a note each kind."""
    words = {"float": "floating-point images", "integer": "images of more than 8 bits"}
    return [f"{words[kind]} share one range: {black:g} is black and {white:g} is white"
            for kind, (black, white) in ranges.items()]


def extremes(pixels: np.ndarray) -> tuple[float, float]:
    """The least and largest number; NaN and infinity do not count."""
    if pixels.dtype.kind == "f":
        pixels = pixels[np.isfinite(pixels)]
    return (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
