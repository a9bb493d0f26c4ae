"""What a training has cost: CPU seconds and seconds by the wall, without its breaks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from helpers.monitors import Monitor

OVER = "turn over"  # what a training says whose turn has ended


class Clock(Callback):
    """Counts while the training trains; the counts survive an interruption.

    CPU seconds are those of this process and all its threads, which tell what was computed even where other processes
    want the same cores.

    Args:
        turn: after so many CPU seconds the training says `OVER` and waits for a line on standard input, while others
            have their turns. None never waits.
    """

    def __init__(self, turn: float | None = None) -> None:
        self.cpu, self.wall, self.turn = 0.0, 0.0, turn
        self._since: tuple[float, float] | None = None
        self._next = turn

    def lap(self) -> None:
        """Add what has passed since the last lap."""
        if self._since is None:
            return
        now = (time.process_time(), time.perf_counter())
        self.cpu, self.wall = self.cpu + now[0] - self._since[0], self.wall + now[1] - self._since[1]
        self._since = now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens in here is not counted."""
        self.lap()
        self._since = None
        try:
            yield
        finally:
            self._since = (time.process_time(), time.perf_counter())

    def on_train_start(self, *_: Any) -> None:
        self._since = (time.process_time(), time.perf_counter())
        self._next = None if self.turn is None else self.cpu + self.turn

    def on_train_batch_end(self, *_: Any) -> None:
        self.lap()
        if self._next is not None and self.cpu >= self._next:
            with self.paused():
                print(OVER, flush=True)
                wait_for_turn()
            self._next += self.turn

    def on_train_end(self, *_: Any) -> None:
        self.lap()

    def state_dict(self) -> dict[str, float]:
        self.lap()
        return {"cpu": self.cpu, "wall": self.wall}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.cpu, self.wall = state["cpu"], state["wall"]


def wait_for_turn() -> None:
    """Wait for a line on standard input; where whoever gives the turns is gone, the process ends."""
    if not sys.stdin.readline():
        raise SystemExit("nobody gives turns any more: start the same line again to go on")


class TimedMonitor(Monitor):
    """A `Monitor` whose looks are not counted as training, and whose rows hold both times (seconds)."""

    def __init__(self, *arguments: Any, clock: Clock, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.clock = clock

    def look(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        with self.clock.paused():
            super().look(trainer, module)
        self.rows[-1] |= dict(cpu_seconds=self.clock.cpu, seconds=self.clock.wall)
