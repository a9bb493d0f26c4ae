"""The rows of a `Monitor` as CSV and for TensorBoard, by Lightning's own loggers."""

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

FLUSH_SECONDS = 5  # TensorBoard's file is that far behind, at most


def open_loggers(folder: Path) -> list[Logger]:
    """Loggers that write into `folder`, emptied first: CSV, and TensorBoard where installed."""
    shutil.rmtree(folder, ignore_errors=True)
    where = dict(save_dir=str(folder.parent), name="", version=folder.name)
    loggers: list[Logger] = [CSVLogger(**where, flush_logs_every_n_steps=1)]
    with contextlib.suppress(ModuleNotFoundError):
        loggers.append(TensorBoardLogger(**where, flush_secs=FLUSH_SECONDS))
    return loggers


def log(loggers: Iterable[Logger], row: dict[str, float]) -> None:
    """Put a row, which says its step, into every log."""
    numbers = {name: value for name, value in row.items() if name != "step"}
    for logger in loggers:
        logger.log_metrics(numbers, step=int(row["step"]))
