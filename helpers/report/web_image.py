"""A figure as a PNG, and as an image that stands inside an HTML page.

Only the standard library is imported here: the first cell of a notebook runs before the packages
are there.
"""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUICK = {"compress_level": 3}  # a fifth quicker than the usual 6, for a fifth more bytes
SHARP = 2  # pixels of a figure for each of the page: sharp on fine screens, too


def image(figure: Figure, quick: bool = False) -> str:
    """A figure as an HTML image that shrinks with the window; `alt` is what is written in it.

    Args:
        quick: leave its empty edges, which takes two thirds of the time.
    """
    data = png_with_edges(figure) if quick else png(figure)
    width = int.from_bytes(data[16:20], "big") // SHARP  # of a PNG these bytes are the width
    return (f'<img src="data:image/png;base64,{base64.b64encode(data).decode()}" '
            f'alt="{html.escape(writing(figure))}" '
            f'style="width:{width}px; max-width:100%; height:auto">')


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100 * SHARP, bbox_inches="tight", pil_kwargs=QUICK)
    return file.getvalue()


def png_with_edges(figure: Figure) -> bytes:
    """As `png`, but drawn once: to know where to cut its edges, matplotlib draws a figure twice."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    file, usual = io.BytesIO(), figure.get_dpi()
    figure.set_dpi(100 * SHARP)
    FigureCanvasAgg(figure).print_png(file, pil_kwargs=QUICK)
    figure.set_dpi(usual)
    return file.getvalue()


def writing(figure: Figure) -> str:
    """What a figure says in words: its title, then a line with the texts of each of its axes."""
    lines = [figure.get_suptitle()]
    for ax in figure.axes:
        texts = [ax.get_title(), *(text.get_text() for text in ax.texts)]
        lines.append(", ".join(filter(None, texts)))
    return "\n".join(filter(None, lines))
