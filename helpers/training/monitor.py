"""Watching a training without labels: is it learning, and has it collapsed?

The loss cannot tell. It falls just as well when the network gives every image the same answer.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from helpers.data.splits import Labeled, Splits
from helpers.evaluation.collapse import (
    batch_norm_settled,
    collapsed,
    effective_rank,
    feature_std,
)
from helpers.evaluation.features import outputs
from helpers.evaluation.probes import knn_accuracy
from helpers.training.callbacks import History
from helpers.training.distributed import is_first
from helpers.training.errors import not_finite_error
from helpers.training.logs import Logs

LIMIT = 4096  # images of either kind that an evaluation takes
SHARE = 0.03  # of the work that evaluations may be
# and what they may be in short trainings, which are evaluated a dozen times all the same
LARGEST_SHARE = 0.15
FEWEST = 64  # images of either kind that an evaluation takes even then
ENOUGH = 32  # images from which a low rank says something: that of n images is at most n - 1
# images for rank and deviation, if there are so many; more cost time and tell no more
RANKED = 1024
OLD_NAMES = {"spread": "feature_std"}  # of columns, in checkpoints of earlier releases
CAUSES = """
- gradients that reach the target: the stop-gradient was left out
- heads without batch normalisation, or batches too small for it"""


def eval_interval(splits: Splits, batch_size: int, steps: int) -> int:
    """Steps between two evaluations: an epoch, or as many as keep evaluations cheap, but at most
    a twelfth of the training.

    Counted are forward passes: one for each image of an evaluation, and about eight for one of a
    step, two views through the online network and back (three) and through the target (one).
    """
    images = min(LIMIT, len(splits.train)) + min(LIMIT, len(splits.val))
    cheap = images / (8 * batch_size * SHARE)
    return max(1, min(steps // 12, math.ceil(max(cheap, len(splits.unlabeled) / batch_size))))


def images_for_evaluation(batch_size: int, steps: int) -> int:
    """How many images of either kind an evaluation may take, to stay a small part of a short
    training; see `eval_interval` for what is counted."""
    evaluations = min(steps, 12) + 1
    images = int(LARGEST_SHARE * 8 * batch_size * steps / evaluations / 2)
    return min(LIMIT, max(FEWEST, images))


def observed(module: pl.LightningModule) -> list[nn.Module]:
    """The encoder and, where the method has one, the projector on it."""
    projector = getattr(module, "projector", None)
    return [module.encoder] if projector is None else [module.encoder, projector]


def what_collapsed(row: dict[str, float]) -> str:
    """The numbers that tell of a collapse: the features' or, if those are healthy, the
    projections'."""
    features = {name: row[name] for name in ("feature_std", "rank")}
    if "projection_std" in row and not collapsed(features):
        return (f"projection std {row['projection_std']:.3f}, effective rank "
                f"{row['projection_rank']:.1f}, while the features still have a std of "
                f"{row['feature_std']:.3f}")
    return (f"feature std {row['feature_std']:.3f}, effective rank {row['rank']:.1f} of "
            f"{row['dimensions']}")


class Monitor(Callback):
    """Evaluates the encoder at the start, every `every` steps and at the end; tells of a collapse.

    `rows`, which a checkpoint keeps, holds one dict per evaluation. Of the training: step, epoch,
    loss (mean since the row before), learning_rate (of the next step), momentum (the target's) and
    images_per_second (evaluation included). Of the encoder: knn (accuracy on validation, in
    [0, 1]), feature_std, rank (effective) and dimensions. Of a module's `projector`, which the loss
    sees: projection_std, projection_rank. And DINO's `collapse_metrics`.

    A collapse is reported once, and not from fewer than `ENOUGH` images, nor before the running
    statistics of batch normalisation, which an evaluation uses, have settled.

    Args:
        train, val: labelled images, at most `limit` of each. No label reaches the training. Without
            `train` there is no kNN, and `val` needs no labels.
        every: steps between two evaluations. The last one before the end is left out if it would
            be closer to it than half of that.
        stop: whether a collapse ends the training, which is ended at once when it is resumed so.
        folder: where the rows are logged, in `metrics.csv` and TensorBoard's file. A resumed run
            writes its logs anew, so that no step stands in them twice.
    """

    def __init__(self, train: Labeled, val: Labeled, every: int, stop: bool = False,
                 limit: int = LIMIT, folder: Path | None = None) -> None:
        self.train, self.val, self.limit = train, val, limit
        self.every, self.stop, self.folder = max(1, every), stop, folder
        self.rows: list[dict[str, float]] = []
        self.collapsed_at: int | None = None  # the step
        self._logs = Logs()
        self._since = (0, 0.0)  # step and time from which images per second are counted

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._since = trainer.global_step, time.perf_counter()
        if self.folder is not None and is_first():
            self._logs = Logs(self.folder)
        for row in self.rows:
            self._logs.write(row)
        if not self.rows:
            self.evaluate(trainer, module)
        elif self.stop and self.collapsed_at is not None:
            self.report(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        step, left = trainer.global_step, trainer.max_steps - trainer.global_step
        if left == 0 or (step % self.every == 0 and left >= self.every / 2):
            self.evaluate(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._logs.close()

    def evaluate(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Add and log a row; a UserError where the loss or a feature became NaN or infinite."""
        # the losses come before the features: they know the step at which it went wrong
        row = self.training_row(trainer, module)
        row |= trainer.strategy.broadcast(self.measure(module) if is_first() else None)
        if math.isnan(row["rank"]) or math.isnan(row.get("projection_rank", 0.0)):
            raise not_finite_error("a feature became NaN or infinite", row["step"])
        self.count_images(row, trainer.train_dataloader.batch_size)
        self.rows.append(row)
        self._logs.write(row)
        enough = min(self.limit, len(self.train) + len(self.val)) >= ENOUGH
        first = row["step"] > 0 and self.collapsed_at is None
        settled = all(map(batch_norm_settled, observed(module)))
        if first and enough and collapsed(row) and settled:
            self.collapsed_at = row["step"]
            self.report(trainer)

    def training_row(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, float]:
        """Where the training is: step, epoch, rates, and the mean loss since the row before."""
        step = trainer.global_step
        history = next(each for each in trainer.callbacks if isinstance(each, History))
        row = dict(step=step, epoch=step / trainer.train_dataloader.steps_per_epoch,
                   learning_rate=trainer.optimizers[0].param_groups[0]["lr"])
        if hasattr(module, "target_momentum"):
            row["momentum"] = module.target_momentum(step)
        history.read()
        losses = history.losses[self.rows[-1]["step"] if self.rows else 0:]
        if losses:
            row["loss"] = sum(losses) / len(losses)
        return row

    def measure(self, module: pl.LightningModule) -> dict[str, float]:
        """The encoder as it is now: knn, feature_std, rank, dimensions and collapse metrics."""
        with torch.compiler.set_stance("force_eager"):  # compiling for it would not pay
            queries = outputs(module.encoder, self.val.images[:self.limit])
            bank = queries[:0]
            if len(self.train):
                bank = outputs(module.encoder, self.train.images[:self.limit])
            some = torch.cat([queries, bank[:max(0, min(RANKED, self.limit) - len(queries))]])
            projections = [outputs(projector, some.to(next(projector.parameters()).dtype))
                           for projector in observed(module)[1:]]
        metrics = getattr(module, "collapse_metrics", {})
        row = dict(
            dimensions=some.shape[1], feature_std=feature_std(some), rank=effective_rank(some),
            knn=self.knn(bank, queries),
            **{name: value.item() for name, value in metrics.items()})
        for each in projections:
            row |= dict(projection_std=feature_std(each), projection_rank=effective_rank(each))
        return row

    def knn(self, bank: Tensor, queries: Tensor) -> float:
        """Accuracy on validation; NaN where no image has a label."""
        if not len(bank):
            return math.nan
        return knn_accuracy(bank, self.train.labels[:self.limit], queries,
                            self.val.labels[:self.limit])

    def count_images(self, row: dict[str, float], batch_size: int) -> None:
        """Add images_per_second to a row, where there were steps since the one before."""
        (step, began), now = self._since, time.perf_counter()
        if row["step"] > step:
            row["images_per_second"] = (row["step"] - step) * batch_size / (now - began)
        self._since = row["step"], now

    def report(self, trainer: pl.Trainer) -> None:
        """Say where the collapse was, and end the training if it is to be ended."""
        row = next(row for row in self.rows if row["step"] == self.collapsed_at)
        if is_first():
            print(f"collapse at step {row['step']}: {what_collapsed(row)}; usual causes: {CAUSES}")
            if self.stop:
                print("The training ends here.")
        trainer.should_stop = trainer.should_stop or self.stop

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "collapsed_at": self.collapsed_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = [{OLD_NAMES.get(name, name): value for name, value in row.items()}
                     for row in state["rows"]]
        self.collapsed_at = state.get("collapsed_at")

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule,
                           checkpoint: dict[str, Any]) -> None:
        states = checkpoint["callbacks"]
        if "Logs" in states:  # where earlier releases kept the rows with loss and rates
            states[self.state_key]["rows"] = states["Logs"]["rows"]
