"""The optimizer and schedule that all methods share."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def parameter_groups(modules: Iterable[nn.Module], weight_decay: float, lr: float) -> list[dict]:
    """Weights with decay, biases and normalisation parameters without (Grill et al. 2020, section 3.2)."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return [dict(params=[p for p in parameters if p.ndim > 1], weight_decay=weight_decay, lr=lr),
            dict(params=[p for p in parameters if p.ndim <= 1], weight_decay=0.0, lr=lr)]


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate at `step`: a linear rise over `warmup` (a share of `total`), then a
    half cosine down to zero (Loshchilov & Hutter 2017)."""
    rise = max(1, round(warmup * total))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))


def adamw(groups: list[dict], total: int, warmup: float, fused: bool = True) -> dict:
    """AdamW with `warmup_cosine`, in the form Lightning wants; in one fused kernel where there is one."""
    device = next(p for group in groups for p in group["params"]).device
    optimizer = torch.optim.AdamW(groups, fused=fused and device.type in ("cpu", "cuda"))
    schedule = LambdaLR(optimizer, lambda step: warmup_cosine(step, total, warmup))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
