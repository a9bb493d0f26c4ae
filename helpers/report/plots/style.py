"""One look for all figures: sizes, colours, titles, labels at the ends of lines."""

from __future__ import annotations

import functools
import itertools
import re
import textwrap
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from helpers.report.plots.letters import families, say_what_no_font_has

WIDTH, HEIGHT = 9.0, 4.0  # inches; fits a Colab output cell without scrolling
GRAY, FAINT = "#595959", "#dddddd"
RIGHT, WRONG = "#00734f", "#b3261e"
GAP = 0.065  # least distance of two labels, as a share of the axes' height
BAND = 0.18  # opacity of a band of one standard deviation

# Okabe & Ito's colours first, then Paul Tol's; both were made for colour-blind readers.
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
    "random": "#9A9A9A",
    "typical": "#E66100",
    "coverage": "#1A7F5A",
    "margin": "#1F5FBF",
    "raw pixels": "#333333",
    "PCA 256": "#A0703F",
    "label spreading": "#E8B400",
    "ResNet18 + MLP head": "#332288",
    "ResNet18 + linear head": "#44AA99",
    "ViT": "#882255",
    "DINO": "#117733",
    "fine-tuned DINO": "#7FBF7B",
    "ImageNet": "#785EF0",
    "fine-tuned ImageNet": "#A890E8",
    "lightly's BYOL": "#AA3377",
    "no predictor": "#B3261E",
}
OTHER_COLORS = ("#AA4499", "#6699CC", "#CC6677", "#004488", "#997700", "#225555")
# Petroff 2021 (arXiv:2107.02270): ten colours that colour-blind readers can tell apart as well
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
    "text.parse_math": False,  # a class may be called $$
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the common style and close the figure, which a notebook shows as a cell's value."""

    @functools.wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Figure:
        with plt.rc_context(STYLE | {"font.family": families()}):
            figure = draw(*args, **kwargs)
        say_what_no_font_has(figure)
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
    begins = [key for key in METHOD_COLORS if re.match(rf"{re.escape(key)}([ ,:]|$)", name)]
    if begins:
        return METHOD_COLORS[max(begins, key=len)]
    return OTHER_COLORS[zlib.crc32(name.encode()) % len(OTHER_COLORS)]


def line_styles(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Colour and dashes of each line; lines that share a colour differ in dashes.

    A name that ends in ", train" is dashed, so that what counts (validation, test) is the solid
    line.
    """
    styles: dict[str, dict[str, str]] = {}
    dashes: dict[str, Iterator[str]] = defaultdict(lambda: itertools.cycle(DASHES))
    for name in names:
        color = method_color(name)
        dash = DASHES[1] if name.endswith(", train") else next(dashes[color])
        styles[name] = {"color": color, "linestyle": dash}
    return styles


def class_colors(count: int) -> list[Any]:
    """One colour per class: ten to be told apart by everybody, evenly spaced hues beyond that."""
    if count <= len(CLASS_COLORS):
        return list(CLASS_COLORS[:count])
    return [plt.get_cmap("turbo")(0.05 + 0.9 * i / (count - 1)) for i in range(count)]


def darker(color: str) -> tuple[float, ...]:
    """A line's colour, dark enough to be read as text on white."""
    return tuple(0.75 * part for part in to_rgb(color))


def array(values: Any) -> np.ndarray:
    """Lists, arrays and tensors (on any device) as numpy arrays."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def deviation(row: Mapping[str, Any]) -> float:
    """The standard deviation of a row of results, 0 where there is none (missing, None or NaN)."""
    std = row.get("std")
    return 0.0 if std is None or np.isnan(std) else float(std)


def plain_log(axis: Axis, steps: Sequence[int] = (1, 2, 5)) -> None:
    """A logarithmic axis with ticks such as 0.01, 0.02, 0.05, 0.1: `steps` of each power of ten."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def bar_rows(ax: Axes, names: Sequence[str], values: Sequence[float], texts: Sequence[str],
             ends: Sequence[float]) -> None:
    """Horizontal bars, the first on top, each with a text that begins where `ends` says."""
    ax.barh(range(len(names)), values, height=0.68, color=[method_color(name) for name in names])
    for place, (end, text) in enumerate(zip(ends, texts, strict=True)):
        ax.annotate(text, (end, place), (5, 0), textcoords="offset points", va="center",
                    fontsize=9.5)
    row_names(ax, names)


def row_names(ax: Axes, names: Sequence[str]) -> None:
    """A row for each name along the y axis, the first on top."""
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)


def band_line(ax: Axes, x: Any, mean: Any, std: Any, name: str, style: Mapping[str, Any],
              most: float = np.inf, **options: Any) -> tuple[float, float, str, str]:
    """A line in a band of one standard deviation up to `most`; returns what `label_ends` takes."""
    x, mean, std = (np.asarray(values, dtype=float) for values in (x, mean, std))
    ax.fill_between(x, mean - std, np.minimum(mean + std, most), color=style["color"],
                    alpha=BAND, lw=0)
    ax.plot(x, mean, **style, **options)
    return x[-1], mean[-1], name, style["color"]


def reference_line(ax: Axes, value: float, label: str) -> None:
    """A dashed horizontal line, named above its left end."""
    ax.axhline(value, color="black", lw=1, ls=(0, (4, 3)))
    ax.annotate(label, (0, value), (4, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", fontsize=9, color=GRAY)


def label_ends(ax: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Name lines at their right ends, in place of a legend; call it when the limits are final.

    Args:
        ends: (x, y, text, colour) of each line's last point, in data coordinates.
    """
    (low, high), transform = ax.get_ylim(), ax.transData + ax.transAxes.inverted()
    inside = [(x, min(max(y, low), high), text, color) for x, y, text, color in ends]
    order = sorted(inside, key=lambda end: end[1])
    heights = spread_out([transform.transform(end[:2])[1] for end in order], GAP)
    arrow = dict(arrowstyle="-", lw=0.7, alpha=0.6, shrinkA=1, shrinkB=2, relpos=(0, 0.5))
    for (x, y, text, color), height in zip(order, heights, strict=True):
        ax.annotate(text, (x, y), (1.025, height), textcoords=ax.transAxes, color=darker(color),
                    va="center", fontsize=9.5, annotation_clip=False,
                    arrowprops=dict(color=color, **arrow))


def spread_out(heights: Sequence[float], gap: float) -> np.ndarray:
    """Ascending `heights` in [0, 1], moved as little as a least distance of `gap` allows.

    Without the gaps they only have to ascend: isotonic regression.
    """
    from sklearn.isotonic import isotonic_regression  # a second, which no first figure should wait

    steps = gap * np.arange(len(heights))
    room = max(0.0, 1 - gap * (len(heights) - 1))
    return isotonic_regression(np.asarray(heights) - steps, y_min=0, y_max=room) + steps
