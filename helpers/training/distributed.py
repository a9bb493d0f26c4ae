"""Several processes that train one model together: who am I, what do all agree on.

Lightning starts and joins them; together they take the step of one process on the whole batch.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, distributed

from helpers.common.environment import in_notebook
from helpers.common.errors import UserError
from helpers.training.shared_batch_norm import SharedStatistics


def rank_and_world() -> tuple[int, int]:
    """This process's number and how many train together; (0, 1) for a process alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def is_first() -> bool:
    """Whether this process is the one that prints and writes files."""
    return rank_zero_only.rank == 0


def launched(devices: int, nodes: int) -> tuple[int, int]:
    """Processes per machine, and machines: torchrun's numbers where it started us."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local
    return devices, nodes


def settle_rank(devices: int, nodes: int) -> None:
    """Let a training by itself be its own first process.

    Slurm's variables of one of several jobs, or a RANK that was left behind, say otherwise; then
    it would write and print nothing.
    """
    local, machines = launched(devices, nodes)
    if local * machines == 1:
        rank_zero_only.rank = 0


def trainer_options(device: str, devices: int, nodes: int, batch_size: int) -> dict[str, Any]:
    """What Lightning's Trainer needs to train on `devices` of each of `nodes` machines.

    Raises:
        UserError: fewer GPUs than asked for, a batch that cannot be shared evenly, a notebook that
            has used its GPU.
    """
    world = devices * nodes
    if world < 1:
        raise UserError(f"nobody would train on {devices} devices of {nodes} machines: choose 1 or "
                        "more of each")
    if world == 1:
        # no Slurm, which would take this for a part of its job
        return {"devices": 1, "plugins": [LightningEnvironment()]}
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
            "restart the kernel and train first, or run `python -m helpers pretrain --devices ...` "
            "in a shell")
    together = {"plugins": [SharedStatistics()]} if device == "cpu" else {"sync_batchnorm": True}
    strategy = "ddp_notebook" if in_notebook() else "ddp"
    return dict(devices=devices, num_nodes=nodes, strategy=strategy, use_distributed_sampler=False,
                **together)


# --- what all processes do at the same step, or all of them wait for ever -------------------------

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
