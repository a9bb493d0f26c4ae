"""TODO: docstring."""

from __future__ import annotations

import math
import random
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.nn import functional as F

from helpers.common.progress import Progress, Stopwatch
from helpers.data.splits import Labeled
from helpers.evaluation.features import predict_logits
from helpers.evaluation.probes import accuracy
from helpers.training.distributed import from_all, mean_of_all, rank_and_world
from helpers.training.errors import no_number


class AccuracyCurve(Callback):
    """Accuracy and loss on training and validation images as a classifier trains, in eval mode.

    `rows` holds one dict per look: step, train_accuracy, val_accuracy, val_loss. Test images have
    no business here.

    Args:
        train, val: labelled images; at most `limit` of each are used.
        looks: how many times, evenly over the training.
    """

    def __init__(self, train: Labeled, val: Labeled, looks: int = 8, limit: int = 500) -> None:
        self.train, self.val, self.looks, self.limit = train, val, looks, limit
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        step, every = trainer.global_step, max(1, trainer.max_steps // self.looks)
        if step % every == 0 or step == trainer.max_steps:
            seen, unseen = (predict_logits(module, part.images[:self.limit])
                            for part in (self.train, self.val))
            labels = self.val.labels[:self.limit]
            self.rows.append(
                dict(step=step, train_accuracy=accuracy(seen, self.train.labels[:self.limit]),
                     val_accuracy=accuracy(unseen, labels),
                     val_loss=F.cross_entropy(unseen, labels).item()))

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = list(state["rows"])


class EarlyStop(AccuracyCurve):
    """Ends a training when the validation loss has not fallen for a while, and gives the best
    weights back.

    Args:
        patience: so many looks without a lower loss end the training.
        looks: how many times to look if nothing ends it, evenly over the training.
    """

    def __init__(self, train: Labeled, val: Labeled, patience: int = 5, looks: int = 20,
                 limit: int = 500) -> None:
        super().__init__(train, val, looks, limit)
        self.patience = patience
        self.best: dict[str, Any] = {"val_loss": math.inf}
        self.weights: dict[str, Tensor] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *rest:
                           Any) -> None:
        known = len(self.rows)
        super().on_train_batch_end(trainer, module, *rest)
        if len(self.rows) == known:
            return
        if self.rows[-1]["val_loss"] < self.best["val_loss"]:
            self.best = self.rows[-1]
            self.weights = {
                name: value.detach().clone()
                for name, value in module.state_dict().items()
            }
        waited = len(self.rows) - 1 - self.rows.index(self.best) if self.weights else len(self.rows)
        trainer.should_stop = trainer.should_stop or waited >= self.patience

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.weights:
            module.load_state_dict(self.weights)
            self.weights = {}


class History(Callback):
    """The loss of every step (of the whole batch), in `losses`, and the time taken; both survive a
    resume."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self._watch = Stopwatch()
        self._pending: list[Tensor] = []

    @property
    def seconds(self) -> float:
        """How long the training took, without the pauses between its parts."""
        return self._watch.seconds

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._watch.start()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_:
                           Any) -> None:
        self._pending.append(outputs["loss"].detach())
        if len(self._pending) >= 50:  # reading a GPU number waits for the GPU, so do it seldom
            self.read()

    def read(self) -> None:
        """Take the pending losses off the device; a loss that is not a number ends the run."""
        if self._pending:
            self.losses += mean_of_all(torch.stack(self._pending).float()).tolist()
            self._pending = []
        if self.losses and not math.isfinite(self.losses[-1]):
            step = next(i for i, loss in enumerate(self.losses) if not math.isfinite(loss))
            raise no_number(f"the loss became {self.losses[step]}", step + 1)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.read()
        self._watch.lap()

    def state_dict(self) -> dict[str, Any]:
        self.read()
        return {"losses": self.losses, "seconds": self._watch.lap()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.losses, self._watch.seconds = list(state["losses"]), state["seconds"]


class RandomStates(Callback):
    """Saves and restores every random generator, so that a resumed run draws what it would have
    drawn.

    Of several processes each has its own generators, seeded apart: were they alike, all would draw
    the same views. A process that was not there when the states were saved starts from a seed of
    its own.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._saved: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        numpy = np.random.get_state()
        own = {
            "torch": torch.get_rng_state(), "python": random.getstate(),
            "numpy": [numpy[1].tolist(), *numpy[2:]],
            "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        }
        return {"ranks": from_all(own)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._saved = state.get("ranks", [])

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        rank = rank_and_world()[0]
        if rank < len(self._saved):
            self._restore(self._saved[rank])
        elif rank:
            pl.seed_everything(self.seed + 1_000_003 * rank, verbose=False)
        self._saved = []

    def _restore(self, saved: dict[str, Any]) -> None:
        version, numbers, rest = saved["python"]
        torch.set_rng_state(saved["torch"])
        random.setstate((version, tuple(numbers), rest))
        keys, *tail = saved["numpy"]
        np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), *tail))
        if saved["cuda"] is not None:
            torch.cuda.set_rng_state(saved["cuda"])


class ProgressLine(Callback):
    """One line with the loss, images per second and the time left."""

    def __init__(self, title: str, batch_size: int, steps_per_epoch: float) -> None:
        self.title, self.batch_size, self.steps_per_epoch = title, batch_size, steps_per_epoch
        self.shown = 0.0
        self.bar: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            begun = trainer.global_step * self.batch_size
            self.bar = Progress(trainer.max_steps * self.batch_size, self.title, "images",
                                start=begun)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_:
                           Any) -> None:
        if self.bar is None:
            return
        info = {}
        if time.perf_counter() - self.shown > 1.0:
            self.shown = time.perf_counter()
            epoch = math.ceil(trainer.global_step / self.steps_per_epoch)
            info = {"loss": f"{outputs['loss'].item():.3f}", "epoch": epoch}
        self.bar.update(self.batch_size, **info)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule,
                     exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        """End the line, finished or not."""
        if self.bar is not None:
            self.bar.close()
