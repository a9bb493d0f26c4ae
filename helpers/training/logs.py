"""The rows of a `Monitor` as CSV and for TensorBoard, by Lightning's own loggers."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

FLUSH_SECONDS = 5  # TensorBoard's file is that far behind, at most
logging.getLogger("tensorboard").setLevel(logging.ERROR)


class Logs:
    """Loggers that write into `folder`, emptied first: CSV, and TensorBoard where installed.

    Where they cannot write (any more), one line says so and the training goes on without them.

    Args:
        folder: None logs nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder, self.loggers = folder, []
        if folder is not None:
            self._try(self._open)

    def write(self, row: dict[str, float]) -> None:
        """Put a row, which says its step, into every log."""
        numbers = {name: value for name, value in row.items() if name != "step"}
        self._each(lambda logger: logger.log_metrics(numbers, step=int(row["step"])))

    def close(self) -> None:
        """Write what is left."""
        self._each(lambda logger: logger.finalize("success"))

    def _open(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        where = dict(save_dir=str(self.folder.parent), name="", version=self.folder.name)
        self.loggers.append(CSVLogger(**where, flush_logs_every_n_steps=1))
        with contextlib.suppress(ModuleNotFoundError):
            self.loggers.append(TensorBoardLogger(**where, flush_secs=FLUSH_SECONDS))

    def _each(self, call: Callable[[Logger], object]) -> None:
        self._try(lambda: [call(logger) for logger in self.loggers])

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as problem:  # loggers let through whatever their writers raise
            self.loggers = []
            why = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
            print(f"the logs in {self.folder} cannot be written ({' '.join(why.split())[:120]}): "
                  "the training goes on without them")
