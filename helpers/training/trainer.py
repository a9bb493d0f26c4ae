"""The one way to train: Lightning's Trainer and the callbacks that watch.

Ours is that images come in batches (see `loader`) and that a run goes on bit for bit.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from helpers.common.compute import PRECISIONS, memory_kept, precision, threads_for
from helpers.training.callbacks import Compiled, History, ProgressLine, RandomStates
from helpers.training.checkpoints import Saver
from helpers.training.distributed import launched, trainer_options
from helpers.training.errors import one_line_errors
from helpers.training.graphs import Graphs
from helpers.training.loader import BatchLoader

for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
    logging.getLogger(name).setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")

HALF_FROM = {"cuda": 28, "cpu": 48, "mps": 48}  # side in pixels from which mixed precision pays


@dataclass(frozen=True)
class Hardware:
    """What a training uses beside the device that its loader names.

    Args:
        devices, nodes: GPUs (or CPU processes) of each machine, and machines, that share every
            batch; where torchrun started this process, its numbers count.
        half: mixed precision; None or "auto" decides by machine and size of the images; a word of
            `PRECISIONS` or of Lightning's, such as "16-mixed", is taken as it is.
        compiled: use torch.compile, where the machine can; the results differ by rounding.
        graphs: record the passes on one GPU and replay them, see `helpers.training.graphs`.
    """

    devices: int = 1
    nodes: int = 1
    half: bool | str | None = None
    compiled: bool = False
    graphs: bool = True


def fit(module: pl.LightningModule, loader: BatchLoader, *, title: str = "", seed: int = 0,
        callbacks: Sequence[Callback] = (), folder: Path | None = None, resume: bool = False,
        save_minutes: float = 5.0, save_every: int = 0, hardware: Hardware = Hardware()) -> History:
    """Train `module` on `loader` for all its steps.

    Args:
        title: shown before the progress bar; without one there is no bar.
        folder: where `Saver` puts checkpoints; None saves nothing.
        save_every: epochs after each of which a checkpoint stays there; 0: none does.
        resume: go on from `folder`'s newest whole checkpoint of such a module if there is one.

    Returns:
        The losses of all steps and the seconds they took. The module is on the loader's device
        afterwards, except that a notebook's processes leave it on the CPU.

    Raises:
        UserError: the loss is no number, memory or disk are full, `folder` cannot be written in,
            no checkpoint is whole and of this module, or the batch cannot be shared.
    """
    together = trainer_options(loader.device, *launched(hardware.devices, hardware.nodes),
                               loader.batch_size)
    forks = together.get("strategy") == "ddp_notebook"
    history = History()
    watchers = [history, RandomStates(seed), *callbacks]
    if hardware.compiled:
        watchers.append(Compiled())
    elif hardware.graphs:
        watchers.append(Graphs())
    watchers += [ProgressLine(title)] * bool(title)
    checkpoint = None
    if folder is not None:
        saver = Saver(folder, save_minutes, loader.steps_per_epoch, save_every)
        watchers.append(saver)
        saver.make_folder()
        checkpoint = saver.newest(module, watchers) if resume else None
    pl.seed_everything(seed, verbose=False)
    trainer = pl.Trainer(
        accelerator="gpu" if loader.device == "cuda" else loader.device, **together,
        # shapes stay the same, so that it pays to try cuDNN's ways once
        benchmark=True if loader.device == "cuda" else None,
        max_steps=loader.steps, max_epochs=-1, precision=_precision(loader, hardware.half, forks),
        callbacks=watchers, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0)
    module.to(memory_format=torch.channels_last)
    module.train()
    with one_line_errors(folder), memory_kept(loader.device), threads_for(loader.images):
        trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    # the module knows its trainer, which would keep the optimizer's averages
    trainer.strategy.optimizers, trainer.strategy.lr_scheduler_configs = [], []
    if forks:
        saver.hand_over(watchers)  # this process has not touched its GPU, and may train so again
    else:
        module.to(loader.device)  # Lightning leaves it on the CPU
    return history


def _precision(loader: BatchLoader, half: bool | str | None, forks: bool) -> str:
    """Lightning's word for the precision."""
    if isinstance(half, str) and half != "auto":
        return PRECISIONS.get(half, half)
    if half in (None, "auto"):
        half = loader.images.shape[-1] >= HALF_FROM[loader.device]
    return precision(loader.device, forks) if half else "32-true"
