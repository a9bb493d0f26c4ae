"""Draw the folder `images/demo`: images that may be shown, with a few faults to be found.

    python -m scripts.demo_images              draw it anew, the same images every time
    python -m scripts.demo_images FOLDER       the same into another folder

Four classes of 15 drawn scenes, and five faults on top: `FAULTS` says which file has which.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import RandomState
from PIL import Image, ImageDraw, ImageFilter

from helpers.common.environment import ROOT
from helpers.common.files import write_atomically

DEMO = ROOT / "images" / "demo"
SIDE, FINE = 128, 3  # pixels of an image, and how many times larger it is drawn
EACH = 15  # images a class
QUALITY = 82  # of the JPEG files
FAULTS = {
    "boat/boat_16.jpg": "the same file as boat_03.jpg",
    "house/house_16.jpg": "house_02.jpg as a thumbnail of 32 pixels",
    "tree/tree_16.jpg": "a ball: the label is wrong",
    "ball/ball_16.jpg": "cut off in the middle: the file is broken",
    "house/house_17.jpg": "a page of a book: it belongs to no class",
}
Draw = Callable[[ImageDraw.ImageDraw, RandomState, int], None]


def grain(random: RandomState, side: int, coarsest: int = 4) -> np.ndarray:
    """Cloudy noise in [-1, 1], side x side: octaves of random grids, each half as strong."""
    total, cells, weight = np.zeros((side, side)), coarsest, 1.0
    while cells < side:
        grid = Image.fromarray(random.uniform(-1, 1, (cells, cells)).astype(np.float32))
        total += weight * np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))
        cells, weight = 2 * cells, 0.5 * weight
    return total / np.abs(total).max()


def shade(random: RandomState, low: tuple[int, ...], high: tuple[int, ...]) -> tuple[int, ...]:
    """A colour between two colours, each channel by itself."""
    return tuple(int(random.randint(min(a, b), max(a, b) + 1))
                 for a, b in zip(low, high, strict=True))


def ground(random: RandomState, sky: tuple[int, ...], soil: tuple[int, ...],
           horizon: float) -> Image.Image:
    """A scene without anything in it: a sky that pales towards the horizon, and soil below."""
    side = SIDE * FINE
    down = np.linspace(0, 1, side)[:, None, None]
    above = np.array(sky) * (1 - down) + 235 * down
    below = np.array(soil) * (0.75 + 0.25 * down)
    pixels = np.where(down < horizon, above, below) * np.ones((1, side, 1))
    pixels += 18 * grain(random, side)[:, :, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def ball(draw: ImageDraw.ImageDraw, random: RandomState, side: int) -> None:
    """A ball in the light, with its shadow on the ground."""
    radius, x = random.uniform(0.16, 0.27) * side, random.uniform(0.35, 0.65) * side
    y = random.uniform(0.55, 0.7) * side
    color = np.array(shade(random, (150, 20, 20), (255, 140, 120))[::random.choice([-1, 1])])
    draw.ellipse((x - radius, y + 0.75 * radius, x + 1.6 * radius, y + 1.15 * radius), (60, 62, 48))
    for ring in np.linspace(1, 0, 60):  # from the dark rim to the light
        r, shift = ring * radius, 0.35 * (1 - ring) * radius
        tint = tuple((color * (1 - 0.65 * ring**2) + 70 * (1 - ring) ** 3).clip(0, 255).astype(int))
        draw.ellipse((x - shift - r, y - shift - r, x - shift + r, y - shift + r), tint)


def boat(draw: ImageDraw.ImageDraw, random: RandomState, side: int) -> None:
    """A sailing boat on the water."""
    x, y = random.uniform(0.38, 0.62) * side, random.uniform(0.62, 0.74) * side
    size, lean = random.uniform(0.24, 0.36) * side, random.uniform(-0.06, 0.06) * side
    sail = shade(random, (215, 205, 190), (255, 250, 245))
    hull = shade(random, (70, 30, 20), (150, 80, 60))
    draw.polygon([(x - size, y), (x + size, y), (x + 0.7 * size, y + 0.35 * size),
                  (x - 0.7 * size, y + 0.35 * size)], hull)
    top = (x + lean, y - 1.6 * size)
    draw.line([(x, y), top], (80, 60, 50), max(2, side // 90))
    draw.polygon([top, (x + 0.06 * size, y - 0.1 * size), (x + 0.85 * size, y - 0.1 * size)], sail)
    draw.polygon([top, (x - 0.06 * size, y - 0.1 * size), (x - 0.6 * size, y - 0.1 * size)],
                 tuple(int(0.88 * part) for part in sail))
    for row in np.arange(y + 0.45 * size, side, 0.05 * side):
        left = random.uniform(0, 0.8) * side
        draw.line([(left, row), (left + 0.15 * side, row)], (200, 215, 225), max(1, side // 160))


def house(draw: ImageDraw.ImageDraw, random: RandomState, side: int) -> None:
    """A house with a roof, a door and two windows."""
    x, foot = random.uniform(0.4, 0.6) * side, random.uniform(0.78, 0.88) * side
    wide, high = (random.uniform(*ends) * side for ends in ((0.2, 0.3), (0.26, 0.36)))
    wall, roof = shade(random, (190, 170, 140), (250, 240, 225)), shade(random, (110, 40, 30),
                                                                       (170, 80, 60))
    draw.rectangle((x - wide, foot - high, x + wide, foot), wall)
    draw.polygon([(x - 1.18 * wide, foot - high), (x + 1.18 * wide, foot - high),
                  (x, foot - high - random.uniform(0.5, 0.9) * wide)], roof)
    draw.rectangle((x - 0.17 * wide, foot - 0.55 * high, x + 0.17 * wide, foot), (90, 60, 45))
    for middle in (x - 0.58 * wide, x + 0.58 * wide):
        draw.rectangle((middle - 0.2 * wide, foot - 0.75 * high, middle + 0.2 * wide,
                        foot - 0.4 * high), (95, 125, 150), (245, 245, 240), max(1, side // 120))


def tree(draw: ImageDraw.ImageDraw, random: RandomState, side: int) -> None:
    """A tree with a crown of many leaves."""
    x, foot = random.uniform(0.4, 0.6) * side, random.uniform(0.8, 0.9) * side
    crown, high = random.uniform(0.18, 0.27) * side, random.uniform(0.42, 0.55) * side
    wide = random.uniform(0.025, 0.045) * side
    draw.polygon([(x - wide, foot), (x + wide, foot), (x + 0.5 * wide, foot - high),
                  (x - 0.5 * wide, foot - high)], (92, 66, 46))
    for _ in range(420):
        angle, far = random.uniform(0, 2 * np.pi), crown * np.sqrt(random.uniform())
        left, top = x + far * np.cos(angle), foot - high + 0.85 * far * np.sin(angle)
        leaf = random.uniform(0.012, 0.03) * side
        light = 0.6 + 0.4 * (foot - high - top + crown) / (2 * crown)
        green = np.array(shade(random, (50, 100, 30), (110, 170, 70)))
        draw.ellipse((left - leaf, top - leaf, left + leaf, top + leaf),
                     tuple((light * green).astype(int)))


def page(draw: ImageDraw.ImageDraw, random: RandomState, side: int) -> None:
    """A page with lines of letters."""
    draw.rectangle((0.05 * side, 0, 0.95 * side, side), (244, 240, 228))
    for row in np.arange(0.08, 0.95, 0.06):
        left = 0.12
        while left < 0.85:
            word = random.uniform(0.03, 0.11)
            draw.rectangle((left * side, row * side, (left + word) * side, (row + 0.022) * side),
                           (70, 68, 66))
            left += word + 0.02


SCENES: dict[str, tuple[Draw, tuple[int, ...], tuple[int, ...], float]] = {
    "ball": (ball, (150, 175, 205), (118, 134, 82), 0.45),
    "boat": (boat, (120, 165, 215), (58, 98, 132), 0.55),
    "house": (house, (135, 170, 215), (110, 130, 80), 0.65),
    "tree": (tree, (140, 180, 225), (120, 140, 76), 0.7),
}


def scene(name: str, number: int) -> Image.Image:
    """Image `number` of a class, SIDE x SIDE, RGB: the same on every machine."""
    random = RandomState(1000 * list(SCENES).index(name) + number)
    thing, sky, soil, horizon = SCENES[name]
    tints = [tuple(np.array(color) + random.randint(-25, 26, 3)) for color in (sky, soil)]
    return finished(thing, ground(random, *tints, horizon + random.uniform(-0.05, 0.05)), random)


def finished(thing: Draw, image: Image.Image, random: RandomState) -> Image.Image:
    """Draw into a scene, shrink it, and add what a camera adds: light, blur and noise."""
    thing(ImageDraw.Draw(image), random, image.width)
    image = image.filter(ImageFilter.GaussianBlur(FINE * random.uniform(0.2, 0.7)))
    image = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    pixels = np.asarray(image) * random.uniform(0.8, 1.1) + random.normal(0, 4, (SIDE, SIDE, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image) -> bytes:
    """The image as a JPEG file."""
    file = io.BytesIO()
    image.save(file, "jpeg", quality=QUALITY)
    return file.getvalue()


def files() -> dict[str, bytes]:
    """Every file of the folder by its path: `EACH` images a class, then those of `FAULTS`."""
    made = {f"{name}/{name}_{number:02d}.jpg": jpeg(scene(name, number))
            for name in SCENES for number in range(1, EACH + 1)}
    random = RandomState(0)
    odd = finished(page, ground(random, (150, 120, 90), (150, 120, 90), 1.0), random)
    whole = jpeg(scene("ball", EACH + 1))
    return made | {
        "boat/boat_16.jpg": made["boat/boat_03.jpg"],
        "house/house_16.jpg": jpeg(scene("house", 2).resize((32, 32), Image.Resampling.BOX)),
        "tree/tree_16.jpg": jpeg(scene("ball", EACH + 2)),
        "ball/ball_16.jpg": whole[:len(whole) // 2],
        "house/house_17.jpg": jpeg(odd),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo_images",
                                     description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DEMO)
    folder = parser.parse_args(arguments).folder
    made = files()
    for name, content in made.items():
        write_atomically(folder / name, content)
    print(f"{folder}: {len(made)} files, {sum(map(len, made.values())):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
