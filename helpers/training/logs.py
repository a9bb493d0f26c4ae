"""What a training logs as it goes, for TensorBoard and as CSV, beside its checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from helpers.common.progress import Stopwatch
from helpers.training.distributed import is_first, mean_of_all
from helpers.training.loader import BatchLoader
from helpers.training.monitor import Monitor


class Logs(Callback):
    """A row at each look of the monitor: what it saw, and loss and images per second since the look
    before.

    Columns: step, epoch, loss (mean), learning_rate (of the next step), momentum (the target's,
    where there is one), images_per_second (looks included), knn, spread, rank, dimensions. The rows
    are part of the checkpoint, and a resumed run writes its logs anew from them: no step stands in
        them twice.

    Args:
        folder: where `metrics.csv` and TensorBoard's event file go; what an earlier run left there
            is removed.
        monitor: stands before this callback in the trainer's list.
    """

    def __init__(self, folder: Path, monitor: Monitor, loader: BatchLoader) -> None:
        self.folder, self.monitor = folder, monitor
        self.batch_size, self.steps_per_epoch = loader.batch_size, loader.steps_per_epoch
        self.rows: list[dict[str, float]] = []
        self.loggers: list[Logger] = []
        self.loss, self.steps, self.watch = torch.zeros(()), 0, Stopwatch()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.watch.start()
        if is_first():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.loggers = open_loggers(self.folder)
            for row in self.rows:
                self.write(row)
        self.catch_up(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_:
                           Any) -> None:
        self.loss = self.loss.to(outputs["loss"].device) + outputs["loss"].detach().float()
        self.steps += 1
        self.catch_up(trainer, module)

    def catch_up(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Add and write a row if the monitor has looked since the last one."""
        if len(self.rows) == len(self.monitor.rows):
            return
        row = dict(self.monitor.rows[-1], epoch=trainer.global_step / self.steps_per_epoch,
                   learning_rate=trainer.optimizers[0].param_groups[0]["lr"])
        if hasattr(module, "target_momentum"):
            row["momentum"] = module.target_momentum(trainer.global_step)
        if self.steps:
            row["loss"] = mean_of_all(self.loss / self.steps).item()
            row["images_per_second"] = self.steps * self.batch_size / self.watch.lap()
        self.loss, self.steps, self.watch = torch.zeros(()), 0, Stopwatch()
        self.rows.append(row)
        self.write(row)

    def write(self, row: dict[str, float]) -> None:
        """Put a row into every log, at once."""
        numbers = {name: value for name, value in row.items() if name != "step"}
        for logger in self.loggers:
            logger.log_metrics(numbers, step=int(row["step"]))
            logger.save()
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        for logger in self.loggers:
            logger.finalize("success")

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows, "loss": self.loss.item(), "steps": self.steps,
            "seconds": self.watch.lap()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.loss = list(state["rows"]), torch.tensor(state["loss"])
        self.steps, self.watch.seconds = state["steps"], state["seconds"]


def open_loggers(folder: Path) -> list[Logger]:
    """Lightning's loggers that write into `folder`: CSV, and TensorBoard where it is installed."""
    where = dict(save_dir=str(folder.parent), name="", version=folder.name)
    try:
        return [CSVLogger(**where), TensorBoardLogger(**where)]
    except ModuleNotFoundError:
        return [CSVLogger(**where)]
