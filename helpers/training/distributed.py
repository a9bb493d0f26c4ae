"""Several processes that train one model together: who am I, what all agree on, statistics of the
whole batch.

Lightning starts and joins the processes. Each has a copy of the model and takes its share of every
batch; together they take the step that one process would take on the whole batch.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from pytorch_lightning.plugins.layer_sync import LayerSync
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from helpers.common.environment import in_notebook
from helpers.common.errors import UserError


def rank_and_world() -> tuple[int, int]:
    """This process's number and how many train together; (0, 1) for a process alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def is_first() -> bool:
    """Whether this process is the one that prints and writes files."""
    return rank_zero_only.rank == 0


def launched(devices: int, nodes: int) -> tuple[int, int]:
    """Processes per machine and machines: torchrun's numbers where it started us, else those
    given."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local
    return devices, nodes


def trainer_options(device: str, devices: int, nodes: int, batch_size: int) -> dict[str, Any]:
    """What Lightning's Trainer needs to train on `devices` of each of `nodes` machines.

    Raises:
        UserError: fewer GPUs than asked for, a batch that cannot be shared evenly, a notebook that
            has used its GPU.
    """
    world = devices * nodes
    if world == 1:
        return {"devices": 1}
    if device == "mps" or (device == "cuda" and devices > torch.cuda.device_count()):
        here = 1 if device == "mps" else torch.cuda.device_count()
        raise UserError(f"{devices} devices were asked for and this machine has {here}")
    if batch_size % world:
        raise UserError(
            f"a batch of {batch_size} cannot be shared evenly by {world} processes: choose "
            f"{batch_size // world * world or world} or {(batch_size // world + 1) * world}")
    # a forked process cannot use a GPU that its parent has used
    if in_notebook() and torch.cuda.is_initialized():
        raise UserError(
            "this kernel has used its GPU already, so the training cannot be shared by several: "
            "restart "
            "the kernel and train first, or run `python -m helpers pretrain --devices ...` in a "
            "shell"
        )
    together = {"plugins": [SharedStatistics()]} if device == "cpu" else {"sync_batchnorm": True}
    return {
        "devices": devices, "num_nodes": nodes,
        "strategy": "ddp_notebook" if in_notebook() else "ddp", "use_distributed_sampler": False,
        **together
    }


# --- what all processes do at the same step, or all of them wait for ever -------------------------

def from_first(value: Any) -> Any:
    """The first process's `value`, in every process."""
    if rank_and_world()[1] == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def from_all(value: Any) -> list[Any]:
    """Every process's `value`, in the order of their numbers."""
    world = rank_and_world()[1]
    if world == 1:
        return [value]
    values: list[Any] = [None] * world
    distributed.all_gather_object(values, value)
    return values


def mean_of_all(values: Tensor) -> Tensor:
    """The processes' mean of a tensor of any shape, entry by entry; it may be changed in place."""
    world = rank_and_world()[1]
    if world > 1:
        distributed.all_reduce(values)
    return values / world


# --- batch normalisation over the whole batch on CPUs
# ----------------------------------------------

class SumOfAll(torch.autograd.Function):
    """The sum of all processes' tensors; every process's loss sends its gradient back through
    it."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return SumOfAll.forward(context, gradient)


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation with the mean and variance of all processes' shares, on any device.

    torch's SyncBatchNorm does this on GPUs only; on a GPU it is the quicker one.
    """

    def forward(self, x: Tensor) -> Tensor:
        """B x C x ... to the same shape; in eval mode with the running statistics, as ever."""
        if not self.training:
            return super().forward(x)
        over, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
        full = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        count = full.numel() // full.shape[1] * rank_and_world()[1]
        mean = SumOfAll.apply(full.sum(over)) / count  # C
        centred = full - mean.view(shape)
        variance = SumOfAll.apply(centred.square().sum(over)) / count  # C
        self._remember(mean.detach(), variance.detach() * (count / (count - 1)))
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.track_running_stats:
            self.num_batches_tracked.add_(1)
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            self.running_var.lerp_(variance.to(self.running_var.dtype), share)

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of dimensions from 2 on will do."""


class SharedStatistics(LayerSync):
    """Lets every batch normalisation of a model be a `SharedBatchNorm` while it trains.

    Only the class changes: the modules, their weights and their names in a checkpoint stay.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        self.before = {
            module: type(module)
            for module in model.modules()
            if isinstance(module, _BatchNorm)
        }
        for module in self.before:
            module.__class__ = SharedBatchNorm
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        for module, kind in self.before.items():
            module.__class__ = kind
        return model
