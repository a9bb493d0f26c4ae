"""One look for all figures: sizes, colours, titles, labels at the ends of lines."""

from __future__ import annotations

import functools
import textwrap
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

WIDTH, HEIGHT = 9.0, 4.0  # inches; fits a Colab output cell without scrolling
GRAY, FAINT = "#595959", "#dddddd"
RIGHT, WRONG = "#00734f", "#b3261e"

# Okabe & Ito's colours first, the rest from Paul Tol's sets; both were made for colour-blind
# readers.
METHOD_COLORS = {
    "supervised": "#D55E00",
    "supervised + noise": "#E69F00",
    "BYOL": "#0072B2",
    "noise-BYOL": "#009E73",
    "fine-tuned BYOL": "#56B4E9",
    "from scratch": "#CC79A7",
    "from pretrained weights": "#661100",
    "last block and head only": "#999933",
    "random encoder": "#949494",
    "raw pixels": "#333333",
    "PCA 256": "#A0703F",
    "ResNet18 + MLP head": "#332288",
    "ResNet18 + linear head": "#44AA99",
    "ViT": "#882255",
    "DINO": "#117733",
    "fine-tuned DINO": "#7FBF7B",
    "ImageNet": "#785EF0",
    "fine-tuned ImageNet": "#A890E8",
    "lightly's BYOL": "#AA3377",
}
OTHER_COLORS = ("#AA4499", "#6699CC", "#CC6677", "#004488", "#997700", "#225555")
# Petroff 2021 (arXiv:2107.02270): ten colours found by search, to be told apart by colour-blind
# readers too.
CLASS_COLORS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300",
                "#b9ac70", "#717581", "#92dadd")
DASHES = ("-", "--", ":", "-.")
STYLE = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "figure.titlesize": 12,
    "figure.dpi": 100,
    "figure.titleweight": "bold",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRAY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the common style, and close the figure so that a notebook shows it once, as the
    cell's value."""

    @functools.wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Figure:
        with plt.rc_context(STYLE):
            figure = draw(*args, **kwargs)
        plt.close(figure)
        return figure

    return wrapper


def canvas(rows: int = 1, columns: int = 1, width: float = WIDTH, height: float = HEIGHT,
           **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure whose parts make room for each other, and its axes as a rows x columns array."""
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", squeeze=False,
                        **options)


def headline(figure: Figure, title: str, note: str = "") -> None:
    """The title above, wrapped to the figure's width, and a small note (what n is) below."""
    width = int(figure.get_figwidth() * 10.5)  # characters of 12 point bold
    figure.suptitle("\n".join(textwrap.wrap(title, width)), x=0.01, ha="left")
    if note:
        figure.supxlabel(note, x=0.99, ha="right", fontsize=8.5, color=GRAY)


def method_color(name: str) -> str:
    """The colour of a method, the same in every figure.

    A longer name takes the colour of the method it begins with ("BYOL, kNN" that of "BYOL"); a name
    that is not known at all gets a colour that depends on the name alone.
    """
    known = [
        key for key in METHOD_COLORS
        if name == key or name.startswith((f"{key} ", f"{key},", f"{key}:"))
    ]
    if known:
        return METHOD_COLORS[max(known, key=len)]
    return OTHER_COLORS[zlib.crc32(name.encode()) % len(OTHER_COLORS)]


def line_styles(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Colour and dashes of each line; lines that share a colour differ in dashes.

    A name that ends in ", train" is dashed, so that what counts (validation, test) is the solid
    line.
    """
    styles: dict[str, dict[str, str]] = {}
    used: dict[str, int] = {}
    for name in names:
        color = method_color(name)
        if name.endswith(", train"):
            styles[name] = {"color": color, "linestyle": DASHES[1]}
            continue
        styles[name] = {"color": color, "linestyle": DASHES[used.get(color, 0) % len(DASHES)]}
        used[color] = used.get(color, 0) + 1
    return styles


def class_colors(count: int) -> list[Any]:
    """One colour per class: ten that colour-blind readers can tell apart, evenly spaced hues
    beyond that."""
    if count <= len(CLASS_COLORS):
        return list(CLASS_COLORS[:count])
    return [plt.get_cmap("turbo")(0.05 + 0.9 * i / (count - 1)) for i in range(count)]


def darker(color: str) -> tuple[float, ...]:
    """A line's colour, dark enough to be read as text on white."""
    return tuple(0.75 * part for part in to_rgb(color))


def array(values: Any) -> np.ndarray:
    """Lists, arrays and tensors (on any device) as numpy arrays."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def known(value: float | None) -> float:
    """A standard deviation, 0 where there is none (None or NaN)."""
    return 0.0 if value is None or np.isnan(value) else float(value)


def class_ticks(ax: Axes, classes: Sequence[str]) -> None:
    """Class names along the x axis, slanted where they would touch."""
    slant = max(map(len, classes), default=0) > 3 or len(classes) > 20
    ax.set_xticks(range(len(classes)), classes, rotation=40 if slant else 0,
                  ha="right" if slant else "center", rotation_mode="anchor" if slant else "default")


def plain_log(axis: Axis, steps: Sequence[int] = (1, 2, 5)) -> None:
    """A logarithmic axis with ticks as a reader writes them: 0.01, 0.02, 0.05, 0.1.

    Args:
        steps: what each power of ten is multiplied by; (1,) for many decades.
    """
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def label_ends(ax: Axes, ends: Sequence[tuple[float, float, str, str]], gap: float = 0.065) -> None:
    """Name lines at their right ends, in place of a legend; call it when the limits and scales are
    final.

    Args:
        ends: (x, y, text, colour) of each line's last point, in data coordinates.
        gap: least distance of two labels, as a share of the axes' height.
    """
    (low, high), transform = ax.get_ylim(), ax.transData + ax.transAxes.inverted()
    inside = [(x, min(max(y, low), high), text, color) for x, y, text, color in ends]
    order = sorted(inside, key=lambda end: end[1])
    heights = spread_out([transform.transform(end[:2])[1] for end in order], gap)
    for (x, y, text, color), height in zip(order, heights, strict=True):
        ax.annotate(
            text, (x, y), (1.025, height), textcoords=ax.transAxes, color=darker(color),
            va="center", fontsize=9.5, annotation_clip=False,
            arrowprops=dict(arrowstyle="-", color=color, lw=0.7, alpha=0.6, shrinkA=1, shrinkB=2,
                            relpos=(0, 0.5)))


def spread_out(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending `heights` in [0, 1], moved as little as a least distance of `gap` allows."""
    groups: list[tuple[float, int]] = []  # sum of the heights and number of labels that touch
    for height in heights:
        groups.append((height, 1))
        while len(groups) > 1 and _bottom(*groups[-1],
                                          gap) < _bottom(*groups[-2], gap) + groups[-2][1] * gap:
            (total, count), (below, others) = groups.pop(), groups.pop()
            groups.append((total + below, count + others))
    return [_bottom(*group, gap) + i * gap for group in groups for i in range(group[1])]


def _bottom(total: float, count: int, gap: float) -> float:
    """Where the lowest of `count` labels goes when they are centred on their lines, inside [0,
    1]."""
    half = (count - 1) * gap / 2
    return min(max(total / count, half), max(1 - half, half)) - half
