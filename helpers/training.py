"""The one way to train: a loader of batches on the device, a Trainer, and the callbacks that watch.

Lightning runs the loop (mixed precision, several devices, resuming); what is ours is that the
images stay where the model is and that a run can be stopped at any step and go on bit for bit.
"""

from __future__ import annotations

import logging
import math
import os
import random
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from helpers.errors import UserError
from helpers.progress import Progress
from helpers.threads import threads_for

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")


class BatchLoader:
    """An endless shuffled stream of (images, labels) batches, cut to `steps`, on one device.

    Batch k depends only on the seed and k, so that a resumed run goes on with the batch it stopped at.
    A set smaller than a batch is repeated: each copy is augmented differently.

    Args:
        images, labels: uint8 N x C x H x W and int64 N; they are moved to `device` once.
        rank, world: which share of every batch this process takes when several train together.
    """

    def __init__(self, images: Tensor, labels: Tensor | None, *, batch_size: int, steps: int, seed: int = 0,
                 device: str = "cpu", rank: int = 0, world: int = 1) -> None:
        self.images = images.to(device)
        labels = torch.full((len(images),), -1) if labels is None else labels
        self.labels = labels.to(device)
        self.batch_size, self.steps, self.seed, self.device = batch_size, steps, seed, device
        self.rank, self.world = rank, world
        self.position = 0

    @property
    def steps_per_epoch(self) -> float:
        """How many batches hold every image once on average."""
        return len(self.images) / self.batch_size

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for step in range(self.position, self.steps):
            index = self.indices(step)[self.rank::self.world].to(self.device)
            self.position = step + 1
            yield self.images[index], self.labels[index]
        self.position = 0

    def indices(self, step: int) -> Tensor:
        """Which images make batch `step`: a slice of one permutation after another."""
        count, first = len(self.images), step * self.batch_size
        epochs = range(first // count, (first + self.batch_size - 1) // count + 1)
        stream = torch.cat([self._permutation(epoch) for epoch in epochs])
        start = first - epochs[0] * count
        return stream[start:start + self.batch_size]

    def _permutation(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(len(self.images), generator=generator)

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


class History(Callback):
    """The loss of every step, in `losses`, and how long it took; both survive a resume."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.seconds = 0.0
        self._pending: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._clock = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        self._pending.append(outputs["loss"].detach())
        if len(self._pending) >= 50:  # reading a GPU number waits for the GPU, so do it seldom
            self.read()

    def read(self) -> None:
        """Take the pending losses off the device; a loss that is not a number ends the run."""
        if self._pending:
            self.losses += torch.stack(self._pending).float().tolist()
            self._pending = []
        if self.losses and not math.isfinite(self.losses[-1]):
            step = next(i for i, loss in enumerate(self.losses) if not math.isfinite(loss))
            raise UserError(f"the loss became {self.losses[step]} at step {step + 1}: try a smaller learning rate; "
                            "the checkpoint before it is good")

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.read()
        self._lap()

    def _lap(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now

    def state_dict(self) -> dict[str, Any]:
        self.read()
        self._lap()
        return {"losses": self.losses, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.losses, self.seconds = list(state["losses"]), state["seconds"]


class RandomStates(Callback):
    """Saves and restores every random generator, so that a resumed run draws what it would have drawn."""

    def __init__(self) -> None:
        self._saved: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        numpy = np.random.get_state()
        return {"torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available()
                else [], "python": random.getstate(), "numpy": [numpy[1].tolist(), *numpy[2:]]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._saved = state

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._saved is None:
            return
        version, numbers, rest = self._saved["python"]
        torch.set_rng_state(self._saved["torch"])
        random.setstate((version, tuple(numbers), rest))
        keys, *tail = self._saved["numpy"]
        np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), *tail))
        if self._saved["cuda"]:
            torch.cuda.set_rng_state_all(self._saved["cuda"])
        self._saved = None


class ProgressLine(Callback):
    """One line with the loss, images per second and the time left."""

    def __init__(self, title: str, batch_size: int, steps_per_epoch: float) -> None:
        self.title, self.batch_size, self.steps_per_epoch = title, batch_size, steps_per_epoch
        self.shown = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        begun = trainer.global_step * self.batch_size
        self.bar = Progress(trainer.max_steps * self.batch_size, self.title, "images", start=begun)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        info = {}
        if time.perf_counter() - self.shown > 1.0:
            self.shown = time.perf_counter()
            epoch = math.ceil(trainer.global_step / self.steps_per_epoch)
            info = {"loss": f"{outputs['loss'].item():.3f}", "epoch": epoch}
        self.bar.update(self.batch_size, **info)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        if hasattr(self, "bar"):
            self.bar.close()


def global_rank(devices: int) -> int:
    """This process's number among all that train together; launchers tell it by environment variables."""
    local = int(os.environ.get("LOCAL_RANK", 0))
    return int(os.environ.get("RANK", int(os.environ.get("NODE_RANK", 0)) * devices + local))


def precision(device: str) -> str:
    """Lightning's precision for this machine: bf16 where the chip computes in it, fp16 on older GPUs.

    On a CPU without AMX or AVX512-BF16 half precision is emulated and many times slower, so fp32 stays.
    """
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if device == "cpu":
        checks = (getattr(torch.cpu, name, lambda: False) for name in
                  ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
        return "bf16-mixed" if any(check() for check in checks) else "32-true"
    return "32-true"


def fit(module: pl.LightningModule, loader: BatchLoader, *, title: str = "", seed: int = 0,
        callbacks: Sequence[Callback] = (), folder: Path | None = None, resume: bool = False,
        save_minutes: float = 5.0, half: bool | None = None, devices: int = 1, nodes: int = 1) -> History:
    """Train `module` on `loader` for all its steps.

    Args:
        title: shown before the progress bar; without one there is no bar.
        folder: where checkpoints go (`last.ckpt` and the one before it), by time; None saves nothing.
        resume: go on from `folder`'s newest whole checkpoint if there is one.
        half: mixed precision; None decides by machine and only for images of 48 pixels' side and more,
            since smaller ones gain nothing.

    Returns:
        The losses of all steps and the seconds they took.

    Raises:
        UserError: when the loss stops being a number, memory or disk run out, or no checkpoint is whole.
    """
    from helpers.survival import Saver, one_line_errors

    device = loader.device
    half = loader.images.shape[-1] >= 48 if half is None else half
    history = History()
    watchers = [history, RandomStates(), *callbacks]
    if title:
        watchers.append(ProgressLine(title, loader.batch_size, loader.steps_per_epoch))
    checkpoint = None
    if folder is not None:
        saver = Saver(folder, save_minutes)
        watchers.append(saver)
        checkpoint = saver.newest() if resume else None
    pl.seed_everything(seed, verbose=False)
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device, device), devices=devices, num_nodes=nodes, max_steps=loader.steps,
        max_epochs=-1, precision=precision(device) if half else "32-true", callbacks=watchers, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0)
    module.to(memory_format=torch.channels_last)
    module.train()
    with one_line_errors(folder), threads_for(loader.images):
        trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return history
