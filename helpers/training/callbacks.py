"""What every training has beside its loop: losses, random states, a progress bar, compiling."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from helpers.common.progress_bar import progress
from helpers.models.encoder import Encoder
from helpers.training.distributed import from_all, mean_of_all, rank_and_world
from helpers.training.errors import in_a_line, not_finite_error
from helpers.training.loader import BatchLoader


class History(Callback):
    """The loss of every step, of the whole batch, and the seconds of training; both survive a
    resume."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.seconds = 0.0
        self._since = 0.0
        self._pending: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._since = time.perf_counter() - self.seconds  # the earlier parts count

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
            raise not_finite_error(f"the loss became {self.losses[step]}", step + 1)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.read()
        self.seconds = time.perf_counter() - self._since

    def state_dict(self) -> dict[str, Any]:
        self.read()
        return {"losses": self.losses, "seconds": time.perf_counter() - self._since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.losses, self.seconds = list(state["losses"]), state["seconds"]


class RandomStates(Callback):
    """Saves and restores every random generator: a resumed run draws what it would have drawn.

    Of several processes each is seeded apart: else all would draw the same views.
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
        torch.set_rng_state(saved["torch"])
        version, numbers, rest = saved["python"]
        random.setstate((version, tuple(numbers), rest))
        keys, *tail = saved["numpy"]
        np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), *tail))
        if saved["cuda"] is not None:
            torch.cuda.set_rng_state(saved["cuda"])


class Compiled(Callback):
    """Compiles the encoders for the training; where there is no compiler, or it fails, one line
    says so. The step that is tried first leaves no trace.

    Args:
        backend: of `torch.compile`.
    """

    def __init__(self, backend: str | Callable = "inductor") -> None:
        self.backend = backend

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        for encoder in encoders_of(module):
            encoder.compile(backend=self.backend)
        try:
            with without_trace(module), trainer.precision_plugin.train_step_context():
                self.try_step(trainer.train_dataloader, module)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a compiler provokes, the answer is the same
            cause = getattr(error, "inner_exception", error)
            print(f"torch.compile cannot be used here ({in_a_line(cause)}): training goes on "
                  "without it")
            self.on_train_end(trainer, module)

    def try_step(self, loader: BatchLoader, module: pl.LightningModule) -> None:
        """A forward and backward pass of the first batch."""
        index = loader.share(0)
        batch = loader.images[index].to(module.device), loader.labels[index].to(module.device)
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        torch.autograd.grad(module.training_step(batch, 0), weights, allow_unused=True)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        for encoder in encoders_of(module):
            encoder._compiled_call_impl = None  # torch has no other way back from compile()


@contextmanager
def without_trace(module: pl.LightningModule) -> Iterator[None]:
    """Inside, passes may be tried: buffers and random numbers are afterwards what they were."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    gpus = [torch.cuda.current_device()] if module.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(gpus):
            yield
    finally:
        module.load_state_dict(buffers, strict=False)


def encoders_of(module: nn.Module) -> list[Encoder]:
    """The encoders in a module, such as BYOL's online and target one."""
    return [part for part in module.modules() if isinstance(part, Encoder)]


def epoch_of(step: int, steps: int, steps_per_epoch: float) -> int:
    """The epoch, from 1 on, to which a step of a training belongs. The few steps by which the
    training is longer than whole epochs belong to the last one."""
    last = max(1, round(steps / steps_per_epoch))
    return min(last, math.ceil(step / steps_per_epoch))


class ProgressLine(Callback):
    """One bar with images per second, the time left, the loss and the epoch."""

    def __init__(self, title: str) -> None:
        self.title = title

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        images = trainer.train_dataloader.batch_size
        self.bar = progress(None, self.title, "images", total=trainer.max_steps * images,
                            initial=trainer.global_step * images,
                            disable=not trainer.is_global_zero)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_:
                           Any) -> None:
        loader, last = trainer.train_dataloader, trainer.global_step == trainer.max_steps
        # seldom, since reading a GPU's number waits for the GPU
        if self.bar.update(loader.batch_size) or last:
            epoch = epoch_of(trainer.global_step, trainer.max_steps, loader.steps_per_epoch)
            self.bar.set_postfix(loss=f"{outputs['loss'].item():.3f}", epoch=epoch, refresh=False)

    def on_train_end(self, *_: Any) -> None:
        self.bar.close()

    def on_exception(self, *_: Any) -> None:
        if hasattr(self, "bar"):
            self.bar.close()
