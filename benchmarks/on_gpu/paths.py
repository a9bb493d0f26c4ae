"""Does each way of training run here, in each precision, and does the GPU wait for the host?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from benchmarks.on_gpu.record import Record
from benchmarks.on_gpu.sizes import Task, deepmind
from helpers.common.compute import precision
from helpers.evaluation.features import extract_features
from helpers.methods.build import build_method
from helpers.methods.classifier import Classifier, linear_head
from helpers.methods.presets import recipe_for
from helpers.methods.recipes import ClassifierRecipe
from helpers.training.loader import BatchLoader
from helpers.training.runs import fresh_encoder
from helpers.training.trainer import Hardware, fit
from helpers.transforms.views import view_for

STAGE = "paths"
FEW = 256  # images whose features are compared
WAITED = "called a synchronizing CUDA operation"  # torch's words


class Waits(Callback):
    """Counts how often the host waits for a GPU in the second half of a training's steps."""

    def __init__(self, steps: int) -> None:
        self.first, self.last, self.found = steps // 2, steps - 1, 0
        self._catcher = warnings.catch_warnings(record=True)
        self._caught: list[Any] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.first:
            self._caught = self._catcher.__enter__()
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
        if trainer.global_step == self.last:
            self.end()

    def on_exception(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.first <= trainer.global_step < self.last:
            self.end()

    def end(self) -> None:
        """Count no more."""
        torch.cuda.set_sync_debug_mode("default")
        self.found = sum(WAITED in str(each.message) for each in self._caught)
        self._catcher.__exit__(None, None, None)


def run(record: Record, task: Task) -> None:
    """Every method in every precision, and what must not depend on the device."""
    words = ["bf16-mixed", "16-mixed", "32-true"] if task.device == "cuda" else ["32-true"]
    if task.device == "cuda" and precision("cuda") != words[0]:
        words = words[1:]  # an older GPU only emulates it
    for word in words:
        for name, module in methods(task).items():
            record.attempt(STAGE, f"{name}, {word}", trained, task, module, word)
    record.attempt(STAGE, "features, difference from the CPU's", feature_error, task)
    record.attempt(STAGE, "batches from the host are those on the device", same_batches, task)


def methods(task: Task) -> dict[str, Callable[[], pl.LightningModule]]:
    """A module of each kind."""
    sizes, splits, settings = task.sizes, task.splits, task.settings
    size = dict(steps=sizes.steps, batch_size=sizes.batch)

    def ours(method: str, **changes: Any) -> pl.LightningModule:
        recipe = recipe_for(method, settings).replace(**size | changes)
        return build_method(recipe, fresh_encoder(splits, settings), settings)

    def classifier() -> pl.LightningModule:
        encoder = fresh_encoder(splits, settings)
        head = linear_head(encoder.num_features, len(splits.classes))
        return Classifier(encoder, head, view_for(settings.dataset, settings.image_size),
                          ClassifierRecipe(**size))

    return {"BYOL": lambda: ours("byol"), "noise-BYOL": lambda: ours("noise-byol"),
            "DINO": lambda: ours("dino", output_dim=sizes.outputs),
            "BYOL with LARS": lambda: deepmind(task, sizes.steps), "classifier": classifier}


def trained(task: Task, make: Callable[[], pl.LightningModule], word: str) -> str:
    """First and last loss, seconds, and how often the GPU was waited for."""
    module = make()
    labelled = isinstance(module, Classifier)
    images = task.splits.train.images if labelled else task.splits.unlabeled
    labels = task.splits.train.labels if labelled else None
    loader = BatchLoader(images, labels, batch_size=task.sizes.batch, steps=task.sizes.steps,
                         device=task.device)
    watchers = [Waits(task.sizes.steps)] if task.device == "cuda" else []
    history = fit(module, loader, callbacks=watchers, hardware=Hardware(half=word))
    waited = f", {watchers[0].found} waits" if watchers else ""
    return (f"loss {history.losses[0]:.3f} to {history.losses[-1]:.3f}, "
            f"{history.seconds:.1f} s{waited}")


def feature_error(task: Task) -> float:
    """Relative distance of features that the device and a CPU compute."""
    encoder, images = fresh_encoder(task.splits, task.settings), task.splits.test.images[:FEW]
    here = extract_features(encoder.to(task.device), images)
    there = extract_features(encoder.cpu(), images)
    return round(((here - there).norm() / there.norm()).item(), 6)


def same_batches(task: Task) -> bool:
    """Whether images that stay on the host come in the same batches."""
    def batches(on_host: bool) -> torch.Tensor:
        loader = BatchLoader(task.splits.unlabeled, None, batch_size=task.sizes.batch, steps=4,
                             device=task.device, on_host=on_host)
        return torch.stack([images.cpu() for images, _ in loader])

    return torch.equal(batches(True), batches(False))
