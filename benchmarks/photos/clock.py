"""What a training has cost, without its breaks: CPU seconds, and seconds by the wall."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from helpers.training.monitor import Monitor


def unit(device: str) -> str:
    """What the minutes of a budget are on a device."""
    return "minutes of one CPU core" if device == "cpu" else "minutes of one GPU"


def now(device: str) -> tuple[float, float]:
    """CPU seconds of this process and seconds by the wall, when the device has done all that it
    was given."""
    if device != "cpu":
        getattr(torch, device).synchronize()
    return time.process_time(), time.perf_counter()


def spent(device: str, cpu: float, wall: float) -> float:
    """The seconds that count: a CPU's seconds of work, which other processes do not change; a
    GPU's by the wall."""
    return cpu if device == "cpu" else wall


class Clock(Callback):
    """Counts while the training trains; the counts survive an interruption.

    CPU seconds are those of this process and all its threads, which tell what was computed even
    where other processes want the same cores.

    Args:
        device: where the training runs.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.cpu, self.wall, self.device = 0.0, 0.0, device
        self._since: tuple[float, float] | None = None

    @property
    def spent(self) -> float:
        """What the training has had of its budget, seconds."""
        return spent(self.device, self.cpu, self.wall)

    def lap(self, wait: bool = True) -> None:
        """Add what has passed since the last lap; without `wait`, a GPU may still be busy with
        some of it."""
        if self._since is None:
            return
        cpu, wall = now(self.device if wait else "cpu")
        self.cpu += cpu - self._since[0]
        self.wall += wall - self._since[1]
        self._since = cpu, wall

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens in here is not counted."""
        self.lap()
        self._since = None
        try:
            yield
        finally:
            self._since = now(self.device)

    def on_train_start(self, *_: Any) -> None:
        self._since = now(self.device)

    def on_train_batch_end(self, *_: Any) -> None:
        self.lap(wait=False)

    def on_train_end(self, *_: Any) -> None:
        self.lap()

    def state_dict(self) -> dict[str, float]:
        self.lap()
        return {"cpu": self.cpu, "wall": self.wall}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.cpu, self.wall = state["cpu"], state["wall"]


class TimedMonitor(Monitor):
    """A `Monitor` whose evaluations are not counted as training, and whose rows hold both times
    (seconds)."""

    def __init__(self, *arguments: Any, clock: Clock, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.clock = clock

    def evaluate(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        with self.clock.paused():
            super().evaluate(trainer, module)
        self.rows[-1] |= dict(cpu_seconds=self.clock.cpu, seconds=self.clock.wall,
                              minutes=self.clock.spent / 60)
