"""How a classifier does on training and validation images as it trains; early stopping."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.nn import functional as F

from helpers.data.splits import Labeled
from helpers.evaluation.features import predict_logits
from helpers.evaluation.probes import accuracy
from helpers.training.logs import Logs

LIMIT = 500  # images of either kind that an evaluation takes
EVALUATIONS, WITH_PATIENCE = 8, 20  # of a whole training, evenly; with early stopping


class AccuracyCurve(Callback):
    """Evaluates a classifier as it trains, in eval mode. Test images have no business here.

    `rows` holds one dict per evaluation: step, train_accuracy, val_accuracy (in [0, 1]), val_loss
    (nats).

    Args:
        patience: so many evaluations without a lower loss on validation end the training, and the
            module gets the weights back that it had at the lowest; None: it goes to its end.
            Resumed after its end, a training stays ended.
        folder: where the rows are logged, in `metrics.csv` and TensorBoard's file; None: nowhere.
    """

    def __init__(self, train: Labeled, val: Labeled, patience: int | None = None,
                 folder: Path | None = None) -> None:
        self.train, self.val = (Labeled(part.images[:LIMIT], part.labels[:LIMIT])
                                for part in (train, val))
        self.patience, self.evaluations = patience, WITH_PATIENCE if patience else EVALUATIONS
        self.rows: list[dict[str, float]] = []
        self.lowest, self.waited = math.inf, 0
        self.weights: dict[str, Tensor] = {}
        self.folder, self._logs = folder, Logs()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._logs = Logs(self.folder)
        for row in self.rows:  # of an earlier part of the training
            self._logs.write(row)
        if self.patience and self.waited >= self.patience:
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        step, every = trainer.global_step, max(1, trainer.max_steps // self.evaluations)
        if step % every == 0 or step == trainer.max_steps:
            self.evaluate(step, module)
            if self.patience and self.waited >= self.patience:
                trainer.should_stop = True

    def evaluate(self, step: int, module: pl.LightningModule) -> None:
        """Add a row for the classifier as it is now."""
        seen, unseen = (predict_logits(module, part.images) for part in (self.train, self.val))
        loss = F.cross_entropy(unseen, self.val.labels).item()
        self.rows.append(dict(step=step, train_accuracy=accuracy(seen, self.train.labels),
                              val_accuracy=accuracy(unseen, self.val.labels), val_loss=loss))
        self._logs.write(self.rows[-1])
        self.waited += 1
        if self.patience and loss < self.lowest:
            self.lowest, self.waited = loss, 0
            self.weights = copy.deepcopy(module.state_dict())

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._logs.close()
        if self.weights:
            module.load_state_dict(self.weights)
            self.weights = {}

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "waited": self.waited, "lowest": self.lowest,
                "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.weights = list(state["rows"]), dict(state["weights"])
        self.waited, self.lowest = state["waited"], state["lowest"]
