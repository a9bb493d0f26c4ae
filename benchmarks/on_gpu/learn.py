"""A training as long as the time that is left: evaluated and kept again and again on its way."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from benchmarks.on_gpu.record import Record
from benchmarks.on_gpu.sizes import Task, deepmind, dino
from benchmarks.on_gpu.speed import trained_rate
from benchmarks.photos.data import command
from helpers.data.splits import Labeled
from helpers.evaluation.collapse import effective_rank, feature_std
from helpers.evaluation.features import extract_features
from helpers.evaluation.probes import knn_accuracy
from helpers.models.encoder import Encoder
from helpers.training.loader import BatchLoader
from helpers.training.trainer import Hardware, fit

MADE_BY = {"byol": deepmind, "noise-byol": deepmind, "dino": dino}
TRAINS = 0.94  # share of a training's seconds in which it trains; the rest is evaluation
LAST = 8  # seconds before the end of all in which a training ends
EVALUATIONS = 4


class Keeper(Callback):
    """Every so many seconds: what the encoder is worth on validation, and its weights."""

    def __init__(self, record: Record, stage: str, task: Task, every: float) -> None:
        self.record, self.stage, self.task, self.every = record, stage, task, every
        self.curve: list[dict[str, float]] = []
        self._began = self._last = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        ends = trainer.global_step == trainer.max_steps
        if self.record.left < LAST:
            trainer.should_stop = ends = True
        if ends or time.monotonic() - self._last >= self.every:
            self.evaluate(trainer.global_step, module)
            self._last = time.monotonic()

    def evaluate(self, step: int, module: pl.LightningModule) -> None:
        """Add a point to the curve and keep the weights."""
        splits, settings = self.task.splits, self.task.settings
        row, features = judged(self.task, module.encoder, splits.val, "validation")
        row |= dict(step=step, seconds=round(time.monotonic() - self._began, 1),
                    feature_std=round(feature_std(features), 3),
                    rank=round(effective_rank(features), 1))
        self.curve.append(row)
        self.record.add(self.stage, curve=self.curve)
        epochs = round(step * module.recipe.batch_size / len(splits.unlabeled))
        self.record.keep(self.stage, module.encoder, method=self.stage, dataset=splits.name,
                         steps=step, epochs=epochs, seed=settings.seed, start="scratch",
                         preset=settings.preset, command=command(),
                         knn_validation=row["validation kNN, k = 20"])


def judged(task: Task, encoder: Encoder, part: Labeled, name: str) -> tuple[dict, Any]:
    """kNN accuracies of a part with the training images as neighbours, and its features."""
    train = task.splits.train
    bank, queries = (extract_features(encoder, each.images) for each in (train, part))
    scores = {f"{name} kNN, k = {k}": round(knn_accuracy(bank, train.labels, queries, part.labels,
                                                        k), 4) for k in (20, 200)}
    return scores, queries


def run(record: Record, stage: str, task: Task, seconds: float, hardware: Hardware,
        changes: dict[str, Any]) -> None:
    """A training whose schedule ends after so many seconds, by the pace of a short trial; the test
    images are read once, at its end.

    Args:
        changes: of the recipe, such as noise.
    """
    began = time.monotonic()

    def module_of(steps: int) -> pl.LightningModule:
        return MADE_BY[stage](task, steps, **changes)

    batch = module_of(1).recipe.batch_size
    rate = trained_rate(task, module_of, batch, hardware)
    steps = max(4, int(TRAINS * (seconds - (time.monotonic() - began)) * rate / batch))
    loader = BatchLoader(task.splits.unlabeled, None, batch_size=batch, steps=steps,
                         device=task.device)
    module = module_of(steps)
    record.add(stage, recipe=asdict(module.recipe), images=len(task.splits.unlabeled),
               steps=steps, epochs=round(steps / loader.steps_per_epoch, 1), trial_images_s=rate)
    keeper = Keeper(record, stage, task, seconds / EVALUATIONS)
    history = fit(module, loader, callbacks=[keeper], hardware=hardware)
    record.add(stage, trained=len(history.losses),
               losses=[round(loss, 4) for loss in history.losses[::max(1, steps // 40)]])
    record.add(stage, **judged(task, module.encoder, task.splits.test, "test")[0])
