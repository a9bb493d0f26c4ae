"""TODO: docstring."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOWEST_SPREAD, LOWEST_RANK = 0.1, 2.0
# batches after which the running statistics of a normalisation stand for the images: 0.9^32 = 3 %
YOUNG = 32


def spread(features: Tensor) -> float:
    """Mean deviation per dimension of the L2-normalised features, times sqrt(D): near 1 for
    features that fill the sphere, 0 when all images have one representation (Chen & He 2021, figure
    2)."""
    unit = F.normalize(features.float(), dim=1)
    return (unit.std(0).mean() * unit.shape[1] ** 0.5).item()


def effective_rank(features: Tensor) -> float:
    """RankMe (Garrido et al. 2023): exp of the entropy of the singular values, from 1 to D.

    The features (N x D) are centred first, so that one shared direction does not count as content.
    NaN where one of them is no finite number.
    """
    if not features.isfinite().all():
        return float("nan")
    values = torch.linalg.svdvals((features - features.mean(0)).float())
    share = values / values.sum().clamp(min=1e-12) + 1e-12
    return torch.exp(-(share * share.log()).sum()).item()


def young(encoder: nn.Module) -> bool:
    """Whether batch normalisation has seen so few batches that its running statistics say
    little."""
    return any(layer.num_batches_tracked < YOUNG
               for layer in encoder.modules()
               if isinstance(layer, nn.modules.batchnorm._BatchNorm)
               and layer.num_batches_tracked is not None)


def collapsed(row: dict[str, float]) -> bool:
    """Whether a row of `Monitor` says that all images have nearly one representation."""
    return row["spread"] < LOWEST_SPREAD or row["rank"] < LOWEST_RANK
