"""Batch normalisation over the whole batch where several CPU processes share it."""

from __future__ import annotations

import torch
from pytorch_lightning.plugins.layer_sync import LayerSync
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation with the mean and variance of all processes' shares, on any device;
    torch's SyncBatchNorm, which is quicker, does this on GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        """B x C x ... to the same shape; in eval mode with the running statistics, as ever."""
        if not self.training:
            return super().forward(x)
        over, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
        full = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        processes = distributed.get_world_size() if distributed.is_initialized() else 1
        count = full.numel() // full.shape[1] * processes
        mean = all_reduce(full.sum(over)) / count  # C
        centred = full - mean.view(shape)
        variance = all_reduce(centred.square().sum(over)) / count  # C
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
    """Lets every batch normalisation of a model be a `SharedBatchNorm` while it trains; weights
    and names stay."""

    def apply(self, model: nn.Module) -> nn.Module:
        self.before = {module: type(module) for module in model.modules()
                       if isinstance(module, _BatchNorm)}
        for module in self.before:
            module.__class__ = SharedBatchNorm
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        for module, kind in self.before.items():
            module.__class__ = kind
        return model
