"""A sheet of predictions: for each class the surest and the least sure images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from helpers.report.plots.images import bare, cut, name_row, show
from helpers.report.plots.style import WIDTH, canvas, headline, styled

MOST_ROWS = 40  # classes; a longer sheet is too large to open

Shown = tuple[float, Any]  # a probability, and the image (C x H x W, uint8 or float in [-1, 1])


@styled
def prediction_sheet(rows: Mapping[str, tuple[Sequence[Shown], Sequence[Shown]]],
                     columns: int = 4) -> Figure:
    """A row a class: on the left the images it is surest of, on the right the least sure ones.

    Args:
        rows: for each class the surest and the least sure images, best first.
        columns: images on either side.
    """
    names = list(rows)[:MOST_ROWS]
    side = 0.8 * WIDTH / (2 * columns + 1)
    figure, axes = canvas(len(names), 2 * columns, WIDTH, len(names) * (side + 0.25) + 0.6)
    for line, name in zip(axes, names, strict=True):
        for ax in line:
            bare(ax)
        surest, doubtful = rows[name]
        for ax, (probability, image) in [*zip(line, surest, strict=False),
                                         *zip(line[columns:], doubtful, strict=False)]:
            show(ax, image)
            ax.set_title(f"{probability:.0%}", fontsize=9)
        name_row(line[0], cut(name))
    left_out = len(rows) - len(names)
    more = f", the first {len(names)} of {len(rows)} classes" if left_out else ""
    headline(figure, f"Predictions: surest (left), least sure (right){more}")
    return figure
