"""Progress with an estimate of the time left, in a terminal and in a notebook alike.

In a terminal this is a tqdm bar. In a notebook it is one line of text that is updated in
place, so that an executed notebook keeps a single tidy line and no widget state.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

from helpers.common.environment import in_notebook

T = TypeVar("T")
REFRESH_SECONDS = 0.5


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Stopwatch:
    """Counts `seconds`, with pauses; a resumed training starts from the seconds of its first
    part."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.start()

    def start(self) -> None:
        """Count from now on."""
        self._since = time.perf_counter()

    def lap(self) -> float:
        """Count the time since the last look; returns all seconds so far."""
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now
        return self.seconds


class Progress:
    """A progress bar: `with Progress(total, "title", unit="images") as bar: bar.update(n)`.

    Args:
        total: how many units there are in all.
        title: what is going on, in a few words.
        unit: the plural name of what is counted; shown as units per second.
        start: units that were done before (a resumed run); left out of the rate.
    """

    def __init__(self, total: int, title: str, unit: str = "steps", start: int = 0) -> None:
        self.total, self.title, self.unit = total, title, unit
        self.done = self.start = start
        self.info: dict[str, Any] = {}
        self.began = time.perf_counter()
        self.shown = 0.0
        self.handle = self.bar = None
        if in_notebook():
            self._open_line()
        else:
            self.bar = tqdm(total=total, desc=title, unit=f" {unit}", initial=start,
                            mininterval=REFRESH_SECONDS, file=sys.stderr, dynamic_ncols=True)

    def update(self, count: int = 1, **info: Any) -> None:
        """Count `count` more units and show `info` (name=value) behind the bar."""
        self.done += count
        self.info.update(info)
        if self.bar is not None:
            if info:
                self.bar.set_postfix(self.info, refresh=False)
            self.bar.update(count)
        elif time.perf_counter() - self.shown > REFRESH_SECONDS:
            self._show()

    def close(self) -> None:
        """Show the final state."""
        if self.bar is not None:
            self.bar.close()
        else:
            self._show()

    def line(self) -> str:
        """The state as one line of text."""
        spent = time.perf_counter() - self.began
        rate = (self.done - self.start) / max(spent, 1e-9)
        full = round(20 * min(1.0, self.done / max(self.total, 1)))
        bar = "█" * full + "░" * (20 - full)
        left = f", {clock((self.total - self.done) / rate)} left" if 0 < self.done < self.total else ""
        info = "".join(f", {name} {value}" for name, value in self.info.items())
        return (f"{self.title} {bar} {self.done:,}/{self.total:,} {self.unit}, "
                f"{rate:,.0f} {self.unit}/s, {clock(spent)}{left}{info}")

    def _open_line(self) -> None:
        from IPython.display import display

        self.handle = display({"text/plain": self.line()}, raw=True, display_id=True)

    def _show(self) -> None:
        self.shown = time.perf_counter()
        self.handle.update({"text/plain": self.line()}, raw=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def progress(items: Iterable[T], title: str, unit: str = "items") -> Iterator[T]:
    """Iterate over `items` (anything with a length) under a progress bar."""
    items = items if hasattr(items, "__len__") else list(items)
    with Progress(len(items), title, unit) as bar:
        for item in items:
            yield item
            bar.update()
