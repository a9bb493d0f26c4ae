"""How a classifier does on training and validation images as it trains; early stopping."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.nn import functional as F

from helpers.data.splits import Labeled
from helpers.evaluation.features import predict_logits
from helpers.evaluation.probes import accuracy


class AccuracyCurve(Callback):
    """Accuracy and loss on training and validation images as a classifier trains, in eval mode.

    `rows` holds one dict per evaluation: step, train_accuracy, val_accuracy (in [0, 1]), val_loss
    (nats). Test images have no business here.

    Args:
        train, val: labelled images; at most `limit` of each are used.
        evaluations: how many, evenly over the training.
    """

    def __init__(self, train: Labeled, val: Labeled, evaluations: int = 8,
                 limit: int = 500) -> None:
        self.train, self.val, self.evaluations, self.limit = train, val, evaluations, limit
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        step, every = trainer.global_step, max(1, trainer.max_steps // self.evaluations)
        if step % every == 0 or step == trainer.max_steps:
            self.evaluate(step, module)

    def evaluate(self, step: int, module: pl.LightningModule) -> None:
        """Add a row for the classifier as it is now."""
        train, val = (Labeled(part.images[:self.limit], part.labels[:self.limit])
                      for part in (self.train, self.val))
        seen, unseen = (predict_logits(module, part.images) for part in (train, val))
        self.rows.append(
            dict(step=step, train_accuracy=accuracy(seen, train.labels),
                 val_accuracy=accuracy(unseen, val.labels),
                 val_loss=F.cross_entropy(unseen, val.labels).item()))

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = list(state["rows"])


class EarlyStop(AccuracyCurve):
    """Ends a training when the validation loss has not fallen for a while.

    The module gets the weights back that it had at the lowest loss.

    Args:
        patience: so many evaluations without a lower loss end the training.
        evaluations: how many there are if nothing ends it, evenly over the training.
    """

    def __init__(self, train: Labeled, val: Labeled, patience: int = 5, evaluations: int = 20,
                 limit: int = 500) -> None:
        super().__init__(train, val, evaluations, limit)
        self.patience, self.waited, self.lowest = patience, 0, math.inf
        self.weights: dict[str, Tensor] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        super().on_train_batch_end(trainer, module)
        trainer.should_stop = trainer.should_stop or self.waited >= self.patience

    def evaluate(self, step: int, module: pl.LightningModule) -> None:
        super().evaluate(step, module)
        self.waited += 1
        if self.rows[-1]["val_loss"] < self.lowest:
            self.lowest, self.waited = self.rows[-1]["val_loss"], 0
            self.weights = copy.deepcopy(module.state_dict())

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.weights:
            module.load_state_dict(self.weights)
            self.weights = {}
