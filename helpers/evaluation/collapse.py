"""Whether a representation has collapsed: two numbers of its features, and what counts as low.

Both are taken of the encoder's features and, where the method has a projector, of its outputs: the
loss sees those alone, so they collapse first. The features may look healthy all the while.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.common.collapse import LOWEST_RANK, LOWEST_STD, SETTLED


def feature_std(features: Tensor) -> float:
    """Mean standard deviation of a dimension of the L2-normalised features, N x D, times sqrt(D):
    near 1 if they fill the sphere, 0 if all are one (Chen & He 2021, figure 2)."""
    unit = F.normalize(features.float(), dim=1)
    return (unit.std(0).mean() * unit.shape[1] ** 0.5).item()


def effective_rank(features: Tensor) -> float:
    """RankMe (Garrido et al. 2023) of N x D features: exp of the entropy of the singular values,
    from 1 to D; NaN where a feature is no finite number. They are centred first, so that one shared
    direction does not count as content."""
    if not features.isfinite().all():
        return float("nan")
    values = torch.linalg.svdvals((features - features.mean(0)).float())
    share = values / values.sum().clamp(min=1e-12) + 1e-12
    return torch.exp(-(share * share.log()).sum()).item()


def batch_norm_settled(encoder: nn.Module) -> bool:
    """Whether every batch normalisation has seen enough batches for its running statistics."""
    return all(layer.num_batches_tracked >= SETTLED
               for layer in encoder.modules()
               if isinstance(layer, nn.modules.batchnorm._BatchNorm)
               and layer.num_batches_tracked is not None)


def collapsed(row: dict[str, float]) -> bool:
    """Whether a row of `Monitor` says that all images have (nearly) one representation or, where
    the method has a projector, one projection."""
    return (row["feature_std"] < LOWEST_STD or row["rank"] < LOWEST_RANK
            or row.get("projection_std", 1.0) < LOWEST_STD
            or row.get("projection_rank", LOWEST_RANK) < LOWEST_RANK)
