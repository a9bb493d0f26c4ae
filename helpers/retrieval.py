"""Looking pictures up by their features: nearest neighbours, average precision, copies found again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.pixels import blur, crop
from helpers.views import add_noise, normalise

BLOCK = 1024  # queries at a time, so that the similarities of many pictures fit in memory


def neighbours(bank: Tensor, queries: Tensor, k: int, skip_self: bool = False) -> tuple[Tensor, Tensor]:
    """The k rows of `bank` most like each query by cosine similarity.

    Args:
        bank, queries: N x D, M x D.
        skip_self: bank and queries are the same pictures, and none is its own neighbour.

    Returns:
        Similarities in [-1, 1] and rows of the bank, both M x k, the most alike first.
    """
    bank, queries = F.normalize(bank.float(), dim=1), F.normalize(queries.float(), dim=1)
    found = []
    for start in range(0, len(queries), BLOCK):
        similarity = queries[start:start + BLOCK] @ bank.T
        if skip_self:
            own = torch.arange(len(similarity))
            similarity[own, start + own] = -torch.inf
        found.append(similarity.topk(k, dim=1))
    values, index = (torch.cat(parts) for parts in zip(*found, strict=True))
    return values.clamp(max=1.0), index


def mean_average_precision(bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor) -> float:
    """mAP of retrieval: each query ranks the whole bank, and pictures of its class are what it should find.

    Queries whose class the bank does not have do not count. In [0, 1]; chance is about one over the classes.

    Args:
        bank, bank_labels: N x D, N.
        queries, labels: M x D, M.
    """
    _, order = neighbours(bank, queries, len(bank))
    relevant = (bank_labels[order] == labels[:, None]).double()  # M x N, in the order of the ranking
    precision = relevant.cumsum(1) / torch.arange(1, len(bank) + 1)
    count = relevant.sum(1)
    average = (precision * relevant).sum(1)[count > 0] / count[count > 0]
    return average.mean().item()


# --- copies: uint8 N x C x S x S to floats of the same shape in normalised units --------------------

def cropped(images: Tensor, share: float = 0.7) -> Tensor:
    """The middle of each picture, `share` of its area, enlarged to the old size."""
    x = normalise(images)
    count, _, height, width = x.shape
    h, w = (torch.full((count,), side * share ** 0.5) for side in (height, width))
    return crop(x, ((height - h) / 2, (width - w) / 2, h, w), width, torch.zeros(count, dtype=torch.bool))


def turned(images: Tensor, degrees: float = 12.0) -> Tensor:
    """Each picture turned about its middle; what comes in from outside repeats the edge."""
    x = normalise(images)
    angle = torch.tensor(degrees).deg2rad()
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin(), torch.zeros(())]),
                        torch.stack([angle.sin(), angle.cos(), torch.zeros(())])])
    grid = F.affine_grid(turn.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def printed(images: Tensor, share: float = 0.25) -> Tensor:
    """Each picture with a grey bar across its foot, `share` of its height."""
    x = normalise(images).clone()
    x[:, :, round(x.shape[2] * (1 - share)):] = 0.0
    return x


# What a copy goes through.
COPIES: dict[str, Callable[[Tensor], Tensor]] = {
    "cropped to 70 %": cropped,
    "turned by 12°": turned,
    "half as bright": lambda images: (normalise(images) + 1) * 0.5 - 1,
    "blurred": lambda images: blur(normalise(images), torch.full((len(images), 1, 1, 1), images.shape[-1] / 16)),
    "noise of sigma 0.4": lambda images: add_noise(normalise(images), 0.4, torch.Generator().manual_seed(0)),
    "bar across the foot": printed,
}


def copy_detection(describe: Callable[[Tensor], Tensor], images: Tensor) -> dict[str, float]:
    """How often a changed copy's nearest picture is the original, for each of `COPIES`; fractions.

    Args:
        describe: N x C x S x S pictures to N x D features, such as `lambda x: extract_features(encoder, x)`.
        images: uint8 N x C x S x S; every one is searched among all of them.
    """
    bank, own = describe(images), torch.arange(len(images))
    return {name: (neighbours(bank, describe(change(images)), 1)[1][:, 0] == own).float().mean().item()
            for name, change in COPIES.items()}
