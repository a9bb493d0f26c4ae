"""CUDA graphs: a GPU repeats recorded passes without being told each operation.

A step of BYOL or DINO starts thousands of operations, and with networks and images as small as
these a GPU is done with one before the host has started the next. What is recorded once is started
by one call (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). On two H200s a step
of BYOL with ResNet18 takes 0.35 and 0.56 of the time, and its losses are the same
(`benchmarks/results/gpu-h200.json`).

A number of Python's, such as one that follows the step, is recorded as it is then: a method that
has such numbers between views and gradients says `recorded = ""`.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from helpers.common.compute import LEAST_RECORDED
from helpers.training.callbacks import without_trace
from helpers.training.errors import in_a_line

HALVES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}

# Gradients come from the recording's stream; torch waits for it on the GPU, not on the host.
warnings.filterwarnings("ignore", "The AccumulateGrad node's stream does not match")


class Recorded(nn.Module):
    """The method of a module that its `recorded` names, with the module's parameters."""

    def __init__(self, module: pl.LightningModule) -> None:
        super().__init__()
        self.module, self.method = module, getattr(module, module.recorded)

    def forward(self, *shown: Tensor) -> Any:
        return self.method(*shown)


class Graphs(Callback):
    """Records, on one GPU, forward and backward pass of what a module names as `recorded`; where
    that fails, one line says so and training goes on without. The passes that are tried first
    leave no trace."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not worth_it(trainer, module):
            return
        try:
            with without_trace(module):
                replay = recording(trainer, module)
            # what it returns is written anew by the next call
            setattr(module, module.recorded, lambda *shown: tree_map(Tensor.clone, replay(*shown)))
        except Exception as error:  # a driver's, or too little memory for passes beside each other
            print(f"CUDA graphs cannot be used here ({in_a_line(error)}): training goes on without "
                  "them")
        finally:
            torch.cuda.empty_cache()  # of the passes that were tried first

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if vars(module).pop(getattr(module, "recorded", ""), None):
            module.zero_grad()  # gradients lie in the recording's memory

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        self.on_train_end(trainer, module)


def worth_it(trainer: pl.Trainer, module: pl.LightningModule) -> bool:
    """Whether one GPU trains a module that has something to record, for long enough."""
    return (bool(getattr(module, "recorded", "")) and module.device.type == "cuda"
            and trainer.world_size == 1 and trainer.max_steps >= LEAST_RECORDED)


def recording(trainer: pl.Trainer, module: pl.LightningModule) -> nn.Module:
    """What replays the passes, for views or crops of the shapes that the loader's batches give."""
    loader, kind = trainer.train_dataloader, HALVES.get(trainer.precision)
    images = loader.images[loader.share(0)].to(module.device)
    # as the trainer's mixed precision, but without its memory of what was cast: that is recorded
    with torch.autocast(module.device.type, kind, enabled=bool(kind), cache_enabled=False):
        shown = module.shown(images)
        return torch.cuda.make_graphed_callables(Recorded(module), shown, allow_unused_input=True)
