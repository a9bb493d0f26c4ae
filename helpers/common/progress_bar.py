"""Progress bars: tqdm in a terminal, and one tidy line of text in a notebook."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from helpers.common.environment import in_notebook

TERMINAL_SECONDS, PIPE_SECONDS = 0.5, 10.0  # between two updates; a pipe keeps every one of them
TICK_SECONDS = 1.0  # after which the clock goes on where nothing has come
QUIET_SECONDS = 3.0  # work of unknown length that is done sooner shows nothing
NOTEBOOK_COLUMNS = 100
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {pace}{postfix}]"

if hasattr(os, "register_at_fork"):  # a lock that a thread holds at a fork would stay locked
    os.register_at_fork(after_in_child=lambda: tqdm.set_lock(threading.RLock()))


class Bar(tqdm):
    """A tqdm bar whose clock goes on between two items, and that says how long one takes where that
    is more than a second."""

    def __init__(self, *arguments: Any, ticks: bool = False, **options: Any) -> None:
        self._ended = threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)
        super().__init__(*arguments, **options)
        if ticks and not self.disable:
            self._clock.start()

    @property
    def format_dict(self) -> dict[str, Any]:
        """What a format can name, with the `pace`."""
        known = super().format_dict
        spent = known["elapsed"] / max(known["n"] - known["initial"], 1)
        rate = known["rate"] or (1 / spent if spent and known["n"] > known["initial"] else 0)
        return known | {"pace": _pace(rate, known["unit"].strip())}

    def _tick(self) -> None:
        while not self._ended.wait(TICK_SECONDS):
            now = time.time()
            if now - self.start_t >= self.delay and now - self.last_print_t >= TICK_SECONDS:
                self.refresh()

    def stop(self, *_: Any) -> None:
        """Let the clock stand still."""
        self._ended.set()
        if self._clock.is_alive() and self._clock is not threading.current_thread():
            self._clock.join(TICK_SECONDS)

    def close(self) -> None:
        """Show the end and free the line."""
        self.stop()
        super().close()


def _pace(rate: float, unit: str) -> str:
    """How fast it goes, in a few words."""
    if not rate:
        return f"? {unit}/s"
    if rate < 1:
        return f"{1 / rate:.{0 if rate < 0.1 else 1}f} s each"
    return f"{rate:.{0 if rate >= 100 else 1}f} {unit}/s"


class NotebookBar(Bar):
    """A bar that is one line of text in a cell's output, updated in place.

    It is no widget: an executed copy keeps its last state, and no version of ipywidgets matters.
    """

    handle = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options |= dict(file=io.StringIO(), ncols=NOTEBOOK_COLUMNS, ascii=False)
        super().__init__(*arguments, **options)
        shell = sys.modules["IPython"].get_ipython()
        self._events = shell.events if shell else None
        if self._events:  # of a cell that fails, too
            self._events.register("post_run_cell", self.stop)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the bar as it is now, where it was before."""
        from IPython.display import display

        line = {"text/plain": msg or str(self)}
        if self.handle is None:
            self.handle = display(line, raw=True, display_id=True)
        else:
            self.handle.update(line, raw=True)

    def stop(self, *_: Any) -> None:
        """Let the clock stand still."""
        super().stop()
        if getattr(self, "_events", None):
            self._events.unregister("post_run_cell", self.stop)
            self._events = None


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
    if total is None and items is not None:
        items = list(items)
    live = in_notebook() or sys.stderr.isatty()
    options = dict(desc=title, unit=f" {unit}", total=total, initial=initial, ticks=live,
                   mininterval=TERMINAL_SECONDS if live else PIPE_SECONDS, bar_format=BAR,
                   dynamic_ncols=True) | options
    return (NotebookBar if in_notebook() else Bar)(items, **options)


def working(title: str) -> tqdm:
    """A clock for work that tells nothing on its way, and that takes more than `QUIET_SECONDS`:
    `with working("t-SNE of 1,797 points"): ...`"""
    return progress(None, title, bar_format="{desc}: {elapsed}", delay=QUIET_SECONDS)
