"""A sheet to draw diagrams on: boxes, arrows, words and small images, placed in inches from the
lower left corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from helpers.report.plots.style import GRAY, WRONG, darker

SIZE, SMALL = 10.5, 9.0  # points
# of a noisy image: its side, as that of the digits, and how many grays it has
PIXELS, LEVELS = 16, 9


@dataclass(frozen=True)
class Box:
    """A rectangle by its centre, width and height, and the points where arrows meet it."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> tuple[float, float]:
        """The middle of the left edge."""
        return self.x - self.width / 2, self.y

    @property
    def right(self) -> tuple[float, float]:
        """The middle of the right edge."""
        return self.x + self.width / 2, self.y

    @property
    def top(self) -> tuple[float, float]:
        """The middle of the upper edge."""
        return self.x, self.y + self.height / 2

    @property
    def bottom(self) -> tuple[float, float]:
        """The middle of the lower edge."""
        return self.x, self.y - self.height / 2


class Sheet:
    """A white sheet of `width` x `height` inches to put boxes, arrows, words and images on."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.figure = Figure(figsize=(width, height))
        self.ax: Axes = self.figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
        self.ax.axis("off")
        self.words(0.2, height - 0.28, title, ha="left", size=12.5, weight="bold")

    def words(self, x: float, y: float, text: str, color: Any = "black", size: float = SMALL,
              **options: Any) -> None:
        """Text, centred on the point unless `options` say otherwise."""
        self.ax.text(x, y, text, color=color, size=size,
                     **{"ha": "center", "va": "center", **options})

    def note(self, text: str) -> None:
        """A sentence in the lower right corner."""
        self.words(self.figure.get_figwidth() - 0.2, 0.2, text, GRAY, ha="right")

    def box(self, x: float, y: float, text: str, color: str, width: float = 1.05,
            height: float = 0.5, dashed: bool = False, size: float = SIZE) -> Box:
        """A rounded box with text; dashed where nothing is trained."""
        corner = (x - width / 2, y - height / 2)
        self.ax.add_patch(
            FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.07", lw=1.6,
                           facecolor=_pale(color), edgecolor=color,
                           linestyle="--" if dashed else "-"))
        self.words(x, y, text, darker(color), size, linespacing=1.25)
        return Box(x, y, width, height)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], color: str = GRAY,
              dashed: bool = False, corner: bool = False) -> None:
        """An arrow whose tip touches `end`; with a `corner` it leaves sideways and arrives
        upright."""
        if dashed:  # the line is, the tip is not
            self.ax.plot(*zip(start, end, strict=True), color=color, lw=1.5, linestyle=(0, (4, 2)))
            start = (end[0], end[1] + (0.1 if start[1] > end[1] else -0.1))
        look = dict(arrowstyle="-|>,head_width=0.22,head_length=0.45", color=color, lw=1.5,
                    shrinkA=0, shrinkB=1, mutation_scale=16,
                    connectionstyle="angle,angleA=0,angleB=90,rad=8" if corner else "arc3")
        self.ax.annotate("", end, start, arrowprops=look)

    def line(self, boxes: list[Box], color: str) -> None:
        """Arrows from each box to the next one on its right."""
        for box, following in zip(boxes, boxes[1:], strict=False):
            self.arrow(box.right, following.left, color)

    def stop(self, x: float, y: float) -> None:
        """The sign that no gradient flows back here: two strokes across an arrow."""
        for shift in (-0.035, 0.035):
            self.ax.plot([x + shift - 0.04, x + shift + 0.04], [y - 0.11, y + 0.11], color=WRONG,
                         lw=2)

    def image(self, x: float, y: float, side: float = 0.62, *, turn: float = 0.0, zoom: float = 1.0,
              shift: tuple[float,
                           float] = (0.0, 0.0), noise: float = 0.0, edge: str = "black") -> Box:
        """An image of a five, perhaps turned (degrees), enlarged, shifted (shares of the side) or
        noisy.

        `noise` is the sigma of Gaussian noise on its pixels, in normalised units as everywhere in
        the suite.
        """
        frame = Rectangle((x - side / 2, y - side / 2), side, side, facecolor="black",
                          edgecolor=edge, lw=1.6)
        self.ax.add_patch(frame)
        digit = TextPath((0, 0), "5", size=1.0)
        middle = digit.get_extents().get_points().mean(0)
        place = (Affine2D().translate(*-middle).scale(0.95 * side * zoom).rotate_deg(turn)
                 .translate(x + shift[0] * side, y + shift[1] * side))
        if noise:
            self._pixels(place.transform_path(digit), frame, noise)
        else:
            patch = PathPatch(place.transform_path(digit), facecolor="white", lw=0)
            self.ax.add_patch(patch)
            patch.set_clip_path(frame)
        return Box(x, y, side, side)

    def _pixels(self, shape: Outline, frame: Rectangle, sigma: float) -> None:
        """White `shape` on black as pixels with noise, clipped to [-1, 1]; a path for each of
        `LEVELS` grays."""
        (left, low), side = frame.get_xy(), frame.get_width() / PIXELS
        centres = (np.arange(PIXELS) + 0.5) * side
        spots = np.stack(np.meshgrid(left + centres, low + centres), axis=-1).reshape(-1, 2)
        clean = np.where(shape.contains_points(spots), 1.0, -1.0)
        # its stream is frozen: the same on every machine
        noise = np.random.RandomState(0).standard_normal(len(spots))
        level = np.clip(np.round((clean + sigma * noise + 1) / 2 * (LEVELS - 1)), 0, LEVELS - 1)
        for shade in np.unique(level[level > 0]):  # the frame is black already
            corners = [
                Outline.unit_rectangle().transformed(
                    Affine2D().scale(side).translate(*(spot - side / 2)))
                for spot in spots[level == shade]
            ]
            gray = str(shade / (LEVELS - 1))
            self.ax.add_patch(
                PathPatch(Outline.make_compound_path(*corners), facecolor=gray, edgecolor=gray,
                          lw=0.2))


def _pale(color: str) -> tuple[float, ...]:
    """The colour of a box's inside: a tenth of its edge's."""
    return tuple(1 - 0.1 * (1 - part) for part in to_rgb(color))
