"""Figures that show images by their features: nearest neighbours, and maps made of images."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from helpers.common.markup import escaped
from helpers.report.plots.images import as_array, cut, show
from helpers.report.plots.style import (
    FAINT,
    RIGHT,
    WIDTH,
    WRONG,
    array,
    canvas,
    class_colors,
    headline,
    styled,
)

SHOWN = 300  # thumbnails in a map; more would lie on top of each other
FLAT = 0.68  # height of that map over its width
SIDE = 640  # side of the map to point at, in CSS pixels
THUMBNAIL = 32  # pixels of an image in it, at most: a page of many should stay light
MOST_NAMES, PER_ROW = 12, 6  # class names below it, at most, and in a row
HOVER = """
.few-map .v{display:none}
.few-map .p:is(:hover,:focus) .v{display:block;pointer-events:none}
.few-map .p{outline:none}
.few-map .p circle{fill:none;pointer-events:all;stroke-width:2px}
.few-map .p:is(:hover,:focus) circle{stroke:#000}
.few-map image{image-rendering:pixelated;outline:1px solid #595959}
.few-map text{font:12px sans-serif;paint-order:stroke;stroke:#fff;stroke-width:3px}
"""


@styled
def neighbours_grid(queries: Any, labels: Any, found: Any, found_labels: Any,
                    classes: Sequence[str], title: str) -> Figure:
    """A row a query: the image, then its nearest ones under their (cut) class names.

    Their frames are green where the class is the query's.

    Args:
        queries, labels: M x C x H x W, uint8 or float in [-1, 1], and M class numbers.
        found, found_labels: M x k x C x H x W and M x k.
    """
    columns = len(found[0]) + 1
    side, names = WIDTH / columns, [cut(name) for name in classes]
    size = 9 if max(map(len, names)) <= 8 else 7
    figure, axes = canvas(len(queries), columns, WIDTH, 0.7 + len(queries) * (0.85 * side + 0.22))
    rows = zip(axes, *map(array, (queries, labels, found, found_labels)), strict=True)
    for line, query, label, near, own in rows:
        show(line[0], query)
        line[0].set_title(names[label], fontsize=size, weight="bold")
        for ax, image, other in zip(line[1:], near, own, strict=True):
            show(ax, image)
            color = RIGHT if other == label else WRONG
            ax.set_title(names[other], fontsize=size, color=color)
            ax.spines[:].set(visible=True, color=color, linewidth=1.6)
    headline(figure, title, "first column: the query · nearest first, by cosine similarity · "
             "green: the query's class, red: another")
    return figure


@styled
def image_map(points: Any, images: Any, marked: Any = None, title: str = "",
              note: str = "") -> Figure:
    """A map whose points are the images themselves.

    Args:
        points, images: N x 2 and N x C x H x W (or what gives an image for its number); an even
            choice of `SHOWN` images is drawn, marked ones on top.
        marked: N booleans; these get a red frame and lie on top.
        note: what the frame means.
    """
    points = array(points)
    marked = np.zeros(len(points), dtype=bool) if marked is None else array(marked).astype(bool)
    others = np.flatnonzero(~marked)
    others = others[np.linspace(0, len(others) - 1, min(len(others), SHOWN)).astype(int)]
    figure, axes = canvas(height=6.4)
    ax = axes[0, 0]
    ax.set_box_aspect(FLAT)
    low, high = points.min(0), points.max(0)
    half = 0.013 * (high - low) / (1, FLAT)  # square on paper
    for index in [*others, *np.flatnonzero(marked)]:
        _thumbnail(ax, images[index], points[index], half, marked[index])
    ax.set(xticks=[], yticks=[], xlim=(low[0] - 3 * half[0], high[0] + 3 * half[0]),
           ylim=(low[1] - 3 * half[1], high[1] + 3 * half[1]), aspect="auto")
    ax.grid(False)
    ax.spines[:].set(visible=True, color=FAINT)
    headline(figure, title, f"{len(others) + marked.sum():,} of n = {len(points):,} images"
             + (f" · {note}" if note else "") + " · the axes have no unit")
    return figure


def _thumbnail(ax: Axes, image: Any, place: np.ndarray, half: np.ndarray, framed: bool) -> None:
    half = half * 1.5 if framed else half
    (left, bottom), (right, top) = place - half, place + half
    ax.imshow(as_array(image), cmap="gray", vmin=0, vmax=1, extent=(left, right, bottom, top),
              zorder=2 + framed)
    if framed:
        ax.plot([left, right, right, left, left], [bottom, bottom, top, top, bottom], color=WRONG,
                lw=1.3, zorder=4)


def map_page(points: Any, images: Any, labels: Any, classes: Sequence[str],
             captions: Sequence[str] | None = None) -> str:
    """A map as HTML in which an image appears at the point that is hovered over or tapped.

    It needs no script, so it works in every notebook, in Colab and on a saved page.

    Args:
        points, images, labels: N x 2, N x C x H x W and N class numbers (-1 for none).
        captions: a line for each image; its number and class by default.
    """
    points, labels = array(points).astype(float), array(labels)
    low, span = points.min(0), np.ptp(points, axis=0) + 1e-9
    places = 20 + (SIDE - 40) * (points - low) / span
    colors = [*class_colors(len(classes)), FAINT]
    dots, shown = [], []  # every image lies above every dot
    for number, ((x, y), image, label) in enumerate(zip(places, array(images), labels,
                                                        strict=True)):
        name = classes[label] if label >= 0 else "no label"
        caption = captions[number] if captions is not None else f"image {number}, {name}"
        place = f'cx="{x:.0f}" cy="{y:.0f}"'
        dots.append(f'<circle {place} r="4.5" fill="{to_hex(colors[label])}"/>')
        shown.append(f'<g class="p" tabindex="-1"><circle {place} r="5"/>'
                     f'{_beside(x, y, image, caption)}</g>')
    legend, height = _legend([*classes, *["no label"] * bool((labels < 0).any())], colors)
    return (f'<svg class="few-map" viewBox="0 0 {SIDE} {SIDE + height}" role="img" '
            f'style="max-width:{SIDE}px;background:#fff" aria-label="map of {len(points)} images">'
            f'<style>{HOVER}</style>{legend}{"".join(dots + shown)}</svg>')


def _legend(names: Sequence[str], colors: Sequence[Any]) -> tuple[str, int]:
    """A dot and a name for each class below the map, and how high that is; many are left out."""
    if len(names) > MOST_NAMES:
        return "", 0
    entries = []
    for number, (name, color) in enumerate(zip(names, colors, strict=False)):
        row, column = divmod(number, PER_ROW)
        x, y = 24 + column * (SIDE - 40) // PER_ROW, SIDE + 10 + 18 * row
        entries.append(f'<circle cx="{x}" cy="{y}" r="4.5" fill="{to_hex(color)}"/>'
                       f'<text x="{x + 9}" y="{y + 4}">{escaped(cut(name))}</text>')
    return f'<g class="legend">{"".join(entries)}</g>', 18 * -(-len(names) // PER_ROW) + 6


def _beside(x: float, y: float, image: np.ndarray, caption: str) -> str:
    """An image under its caption beside a point, on the side where there is more room."""
    right, top = x < SIDE / 2, min(max(y - 60, 14), SIDE - 100)
    left, edge, anchor = (x + 8, x + 8, "start") if right else (x - 104, x - 8, "end")
    file, small = io.BytesIO(), Image.fromarray((255 * as_array(image)).round().astype(np.uint8))
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    small.save(file, "webp", quality=70)
    data = base64.b64encode(file.getvalue()).decode()
    return (f'<g class="v"><image x="{left:.0f}" y="{top:.0f}" width="96" height="96" '
            f'href="data:image/webp;base64,{data}"/><text x="{edge:.0f}" y="{top - 3:.0f}" '
            f'text-anchor="{anchor}">{escaped(caption)}</text></g>')
