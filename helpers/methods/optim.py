"""The optimizer and schedule that all methods share."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from helpers.common.errors import UserError
from helpers.methods.lars import LARS
from helpers.methods.recipes import Recipe


def parameter_groups(modules: Iterable[nn.Module], weight_decay: float, lr: float) -> list[dict]:
    """Weights with decay, biases and normalisation parameters without (Grill et al. 2020, section
    3.2)."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return [dict(params=[p for p in parameters if p.ndim > 1], weight_decay=weight_decay, lr=lr),
            dict(params=[p for p in parameters if p.ndim <= 1], weight_decay=0.0, lr=lr)]


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate at `step`: a linear rise over `warmup` (a share of `total`),
    then a half cosine down to zero (Loshchilov & Hutter 2017)."""
    rise = max(1, round(warmup * total))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))


def warmup_stable_decay(step: int, total: int, warmup: float, decay: float = 0.2) -> float:
    """Share of the peak rate at `step`: a linear rise over `warmup`, a plateau, and a linear fall
    over the last `decay` (both shares of `total`; Hu et al. 2024, arXiv:2404.06395, section 4)."""
    rise = (step + 1) / max(1, round(warmup * total))
    fall = (total - step) / max(1, round(decay * total))
    return max(0.0, min(1.0, rise, fall))


def warmup_constant(step: int, total: int, warmup: float) -> float:
    """Share of the peak rate at `step`: a linear rise over `warmup` (a share of `total`), then
    all of it."""
    return min(1.0, (step + 1) / max(1, round(warmup * total)))


SCHEDULES = {"cosine": warmup_cosine, "stable": warmup_stable_decay, "constant": warmup_constant}


def adamw_8bit() -> type[torch.optim.Optimizer]:
    """AdamW that keeps its two averages in 8 bits each (Dettmers et al. 2022): bitsandbytes'.

    Raises:
        UserError: it is not installed, or has no GPU to run on.
    """
    if not torch.cuda.is_available() or importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            "the 8-bit optimizer needs a CUDA GPU and `pip install bitsandbytes`: leave it off here"
        )
    return importlib.import_module("bitsandbytes.optim").AdamW8bit


def optimizer(groups: list[dict], recipe: Recipe, fused: bool = True) -> dict:
    """The recipe's optimizer and schedule, in the form Lightning wants.

    Args:
        groups: parameters with their rates and decay, see `parameter_groups`.
        fused: in one kernel where the device has one; else all tensors in a dozen calls (foreach),
            whose numbers are those of tensor by tensor.
    """
    device = next(p for group in groups for p in group["params"]).device
    fused = fused and device.type in ("cpu", "cuda")
    way = dict(fused=fused, foreach=not fused)
    if recipe.optimizer == "adamw_8bit":
        made = adamw_8bit()(groups)
    elif recipe.optimizer == "sgd":
        made = torch.optim.SGD(groups, momentum=recipe.sgd_momentum, **way)
    elif recipe.optimizer == "lars":
        made = LARS(groups, momentum=recipe.sgd_momentum)
    else:
        made = torch.optim.AdamW(groups, **way)
    share = SCHEDULES[recipe.schedule]
    scheduler = LambdaLR(made, lambda step: share(step, recipe.steps, recipe.warmup))
    return {"optimizer": made, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
