"""The one way to train: a Trainer and the callbacks that watch.

Lightning runs the loop (mixed precision, several devices, resuming); what is ours is that the images
come in batches (see `batches`) and that a run can be stopped at any step and go on bit for bit.
"""

from __future__ import annotations

import logging
import math
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from helpers.batches import BatchLoader
from helpers.compiling import compiled
from helpers.distributed import from_all, mean_of_all, rank_and_world, trainer_options
from helpers.errors import UserError
from helpers.memory import memory_kept
from helpers.progress import Progress, Stopwatch
from helpers.threads import threads_for

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")

GPU_QUESTION = "import torch; print(torch.cuda.is_bf16_supported(including_emulation=False))"


class History(Callback):
    """The loss of every step (of the whole batch), in `losses`, and the time taken; both survive a resume."""

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

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: Any) -> None:
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


def no_number(what: str, step: int) -> UserError:
    """What to say where a loss or weights stopped being numbers."""
    return UserError(f"{what} at step {step}: try a smaller learning rate; any checkpoint before it is good")


class RandomStates(Callback):
    """Saves and restores every random generator, so that a resumed run draws what it would have drawn.

    Of several processes each has its own generators, seeded apart: were they alike, all would draw the
    same views. A process that was not there when the states were saved starts from a seed of its own.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._saved: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        numpy = np.random.get_state()
        own = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": [numpy[1].tolist(), *numpy[2:]],
               "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None}
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
            self.bar = Progress(trainer.max_steps * self.batch_size, self.title, "images", start=begun)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: Any) -> None:
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

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        """End the line, finished or not."""
        if self.bar is not None:
            self.bar.close()


def precision(device: str, forks: bool = False) -> str:
    """Lightning's precision for this machine: bf16 where the chip computes in it, fp16 on older GPUs.

    On a CPU without AMX or AVX512-BF16 half precision is emulated and many times slower, so fp32 stays.

    Args:
        forks: this process will be forked, and so must not touch its GPU: another one asks.
    """
    if device == "cuda":
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if not forks else "True" in subprocess.run(
            [sys.executable, "-c", GPU_QUESTION], capture_output=True, text=True, check=False).stdout
        return "bf16-mixed" if bf16 else "16-mixed"
    if device == "cpu":
        checks = (getattr(torch.cpu, name, lambda: False) for name in
                  ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
        return "bf16-mixed" if any(check() for check in checks) else "32-true"
    return "32-true"


def fit(module: pl.LightningModule, loader: BatchLoader, *, title: str = "", seed: int = 0,
        callbacks: Sequence[Callback] = (), folder: Path | None = None, resume: bool = False,
        save_minutes: float = 5.0, half: bool | None = None, devices: int = 1, nodes: int = 1,
        backend: str | None = None) -> History:
    """Train `module` on `loader` for all its steps.

    Args:
        title: shown before the progress bar; without one there is no bar.
        folder: where checkpoints go (`last.ckpt` and the one before it), see `Saver`; None saves nothing.
        resume: go on from `folder`'s newest whole checkpoint of such a module if there is one.
        half: mixed precision; None decides by machine and only for images of 48 pixels' side and more (28 on a GPU),
            since smaller ones gain nothing.
        devices, nodes: GPUs (or CPU processes) of each machine, and machines, that share every batch. In a
            notebook the processes hand over what they saw through `folder`.
        backend: of torch.compile for the module's heavy part, see `compiling`; None compiles nothing.

    Returns:
        The losses of all steps and the seconds they took. The module is on the loader's device afterwards; only where
        a notebook's processes trained together it is on the CPU.

    Raises:
        UserError: when the loss stops being a number, memory or disk run out, `folder` cannot be written in, no
            checkpoint is whole and of this module, or the batch cannot be shared.
    """
    from helpers.survival import Saver, one_line_errors

    device, together = loader.device, trainer_options(loader.device, devices, nodes, loader.batch_size)
    half = loader.images.shape[-1] >= (28 if device == "cuda" else 48) if half is None else half
    forks = together.get("strategy") == "ddp_notebook"
    history = History()
    watchers = [history, RandomStates(seed), *callbacks]
    if title:
        watchers.append(ProgressLine(title, loader.batch_size, loader.steps_per_epoch))
    checkpoint = None
    if folder is not None:
        saver = Saver(folder, save_minutes, loader.steps_per_epoch)
        watchers.append(saver)
        saver.make_folder()
        checkpoint = saver.newest(module) if resume else None
    pl.seed_everything(seed, verbose=False)
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device, device), **together, max_steps=loader.steps, max_epochs=-1,
        precision=precision(device, forks) if half else "32-true", callbacks=watchers, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0)
    module.to(memory_format=torch.channels_last)
    module.train()
    with one_line_errors(folder), memory_kept(device), threads_for(loader.images), compiled(module, backend):
        trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    # The module knows its trainer, which would keep the optimizer's averages as long as the module lives.
    trainer.strategy.optimizers, trainer.strategy.lr_scheduler_configs = [], []
    if forks:
        saver.hand_over(watchers)  # this process has not touched its GPU, and may train so again
    else:
        module.to(device)  # Lightning leaves it on the CPU, where whatever is asked of it next would crawl
    return history
