"""One look for all figures: the same colour for the same method everywhere, safe for colour-blind eyes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito's palette, with two greys for the baselines that learn nothing.
COLORS = {
    "BYOL": "#0072B2", "noise-BYOL": "#009E73", "fine-tuned BYOL": "#0072B2", "supervised": "#D55E00",
    "from scratch": "#D55E00", "supervised + noise": "#E69F00", "random encoder": "#999999",
    "raw pixels": "#555555", "PCA 256": "#CC79A7", "ResNet18 + MLP head": "#D55E00",
    "ResNet18 + linear head": "#0072B2", "ViT": "#56B4E9",
}
SPARE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
GOOD, BAD = "#009E73", "#D55E00"
RC = {"figure.dpi": 100, "axes.titlesize": 12, "axes.titleweight": "bold", "axes.titlelocation": "left",
      "axes.titlepad": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#888888",
      "grid.color": "#e6e6e6", "legend.frameon": False, "font.size": 10.5}


def color(name: str, place: int = 0) -> str:
    """The method's colour; a name that is none of ours gets one by its place in the figure."""
    known = [method for method in COLORS if name.startswith(method)]
    return COLORS[max(known, key=len)] if known else SPARE[place % len(SPARE)]


def figure(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draws in the suite's style and closes the figure, so that a notebook shows it once, as a cell's value."""
    @wraps(function)
    def draw(*args: Any, **options: Any) -> Figure:
        with sns.axes_style("whitegrid"), plt.rc_context(RC):
            fig = function(*args, **options)
        plt.close(fig)
        return fig
    return draw


def spread_labels(positions: list[float], gap: float) -> list[float]:
    """Heights as near as possible to `positions` that are at least `gap` apart, in the same order."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed = list(positions)
    for before, after in zip(order, order[1:], strict=False):
        placed[after] = max(placed[after], placed[before] + gap)
    shift = sum(placed[i] - positions[i] for i in order) / max(1, len(order))
    return [height - shift for height in placed]


def label_ends(ax: Axes, ends: list[tuple[str, float, float, str]], size: float = 9.5) -> None:
    """Write each line's name at its right end: (name, x, y, colour), moved apart where they would touch."""
    low, high = ax.get_ylim()
    heights = spread_labels([y for _, _, y, _ in ends], 0.065 * (high - low))
    for (name, x, y, ink), height in zip(ends, heights, strict=True):
        ax.annotate(name, (x, y), xytext=(1.015, (height - low) / (high - low)), textcoords="axes fraction",
                    color=ink, va="center", fontsize=size, fontweight="bold",
                    arrowprops=dict(arrowstyle="-", color=ink, lw=0.6, alpha=0.6, shrinkA=1, shrinkB=2))
