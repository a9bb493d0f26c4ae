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
from helpers.training.callbacks import History
from helpers.training.logs import Logs

LIMIT = 500  # images of either kind that an evaluation takes
EVALUATIONS, WITH_PATIENCE = 8, 20  # of a whole training, evenly; with early stopping


class AccuracyCurve(Callback):
    """Evaluates a classifier as it trains, in eval mode. Test images have no business here.

    `rows` holds one dict per evaluation: step, train_accuracy, and with validation images
    val_accuracy (in [0, 1]) and val_loss (nats). The logs have train_loss as well, the mean since
    the row before.

    Args:
        val: None where there are no validation images.
        patience: so many evaluations without a lower loss on validation end the training, and the
            module gets the weights back that it had at the lowest; None: it goes to its end.
            Resumed after its end, a training stays ended.
        folder: where the rows are logged, in `metrics.csv` and TensorBoard's file; None: nowhere.
        every, log_every: steps between two evaluations, and between two rows of the logs; by
            default evaluations are spread evenly, and each is a row.
    """

    def __init__(self, train: Labeled, val: Labeled | None, patience: int | None = None,
                 folder: Path | None = None, every: int | None = None,
                 log_every: int | None = None) -> None:
        self.train, self.val = (part and Labeled(part.images[:LIMIT], part.labels[:LIMIT])
                                for part in (train, val))
        self.every, self.log_every = every, log_every
        self.patience, self.evaluations = patience, WITH_PATIENCE if patience else EVALUATIONS
        self.rows: list[dict[str, float]] = []
        self.lowest, self.waited = math.inf, 0
        self.weights: dict[str, Tensor] = {}
        self.folder, self._logs = folder, Logs()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._logs = Logs(self.folder)
        if self.folder is not None and trainer.global_step:  # an earlier part of the training
            every = self.log_every or trainer.max_steps + 1
            logged = range(every, trainer.global_step + 1, every)
            for step in sorted({*logged, *(row["step"] for row in self.rows)}):
                self._log(step, trainer)
        if self.patience and self.waited >= self.patience:
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        every = self.every or max(1, trainer.max_steps // self.evaluations)
        due = step % every == 0 or step == trainer.max_steps
        if due:
            self.evaluate(step, module)
        if self.folder is not None and (due or (self.log_every and step % self.log_every == 0)):
            self._log(step, trainer)
        if due and self.patience and self.waited >= self.patience:
            trainer.should_stop = True

    def evaluate(self, step: int, module: pl.LightningModule) -> None:
        """Add a row for the classifier as it is now."""
        seen = predict_logits(module, self.train.images)
        self.rows.append(dict(step=step, train_accuracy=accuracy(seen, self.train.labels)))
        if self.val is None:
            return
        unseen = predict_logits(module, self.val.images)
        loss = F.cross_entropy(unseen, self.val.labels).item()
        self.rows[-1] |= dict(val_accuracy=accuracy(unseen, self.val.labels), val_loss=loss)
        self.waited += 1
        if self.patience and loss < self.lowest:
            self.lowest, self.waited = loss, 0
            self.weights = copy.deepcopy(module.state_dict())

    def _log(self, step: int, trainer: pl.Trainer) -> None:
        """Write the row of a step, with the mean loss of the steps since the row before."""
        history = next(each for each in trainer.callbacks if isinstance(each, History))
        history.read()
        rows = {row["step"]: row for row in self.rows}
        before = max((other for other in rows if other < step), default=0)
        if self.log_every:
            before = max(before, (step - 1) // self.log_every * self.log_every)
        losses = history.losses[before:step]
        self._logs.write({"step": step, **rows.get(step, {}),
                          "train_loss": sum(losses) / len(losses)})

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
