"""Progress bars: tqdm in a terminal, and one tidy line of text in a notebook."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from helpers.common.environment import in_notebook

TERMINAL_SECONDS, PIPE_SECONDS = 0.5, 10.0  # between two updates; a pipe keeps every one of them
NOTEBOOK_COLUMNS = 100


class NotebookBar(tqdm):
    """A tqdm bar that is one line of text in a cell's output, updated in place.

    It is no widget: an executed copy keeps its last state, and no version of ipywidgets matters.
    """

    handle = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options |= dict(file=io.StringIO(), ncols=NOTEBOOK_COLUMNS, ascii=False)
        super().__init__(*arguments, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the bar as it is now, where it was before."""
        from IPython.display import display

        line = {"text/plain": msg or str(self)}
        if self.handle is None:
            self.handle = display(line, raw=True, display_id=True)
        else:
            self.handle.update(line, raw=True)


def progress(items: Iterable | None, title: str, unit: str = "items", *, total: int | None = None,
             initial: int = 0, **options: Any) -> tqdm:
    """A bar with the units per second and the time left, to iterate over or to `update`.

    Args:
        items: what to iterate over, None where `update(n)` is called instead:
            `with progress(None, "training", "images", total=500) as bar: bar.update(64)`.
        title: what is going on, in a few words.
        unit: the plural name of what is counted.
        total: how many units there are in all; by default the length of `items`.
        initial: units that were done before (a resumed run); left out of the rate.
        options: further ones of `tqdm.tqdm`.
    """
    if total is None:
        items = list(items)
    every = TERMINAL_SECONDS if in_notebook() or sys.stderr.isatty() else PIPE_SECONDS
    options = dict(desc=title, unit=f" {unit}", total=total, initial=initial, mininterval=every,
                   dynamic_ncols=True) | options
    return (NotebookBar if in_notebook() else tqdm)(items, **options)


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
