"""Looking images up by their features: nearest neighbours, average precision, copies."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.transforms.functional import blur, crop
from helpers.transforms.views import add_noise, normalise

# at a time, so that memory stays flat: similarities of queries with the bank, numbers in images
CELLS, NUMBERS = 1 << 22, 1 << 24


def neighbours(bank: Tensor, queries: Tensor, k: int,
               skip_self: bool = False) -> tuple[Tensor, Tensor]:
    """The k rows of `bank` most like each query by cosine similarity.

    Args:
        bank, queries: N x D, M x D.
        skip_self: bank and queries are the same images, and none is its own neighbour.

    Returns:
        Similarities in [-1, 1] and rows of the bank, both M x k, the most alike first.
    """
    bank, queries = F.normalize(bank.float(), dim=1), F.normalize(queries.float(), dim=1)
    found = []
    block = _block(bank)
    for start in range(0, len(queries), block):
        similarity = queries[start:start + block] @ bank.T
        if skip_self:
            own = torch.arange(len(similarity))
            similarity[own, start + own] = -torch.inf
        found.append(similarity.topk(k, dim=1))
    values, index = (torch.cat(parts) for parts in zip(*found, strict=True))
    return values.clamp(max=1.0), index


def _block(bank: Tensor) -> int:
    """How many queries to compare with the bank at a time."""
    return max(1, CELLS // max(1, len(bank)))


def mean_average_precision(bank: Tensor, bank_labels: Tensor, queries: Tensor,
                           labels: Tensor) -> float:
    """mAP of retrieval: each query ranks the whole bank and should find images of its class first.

    In [0, 1]; chance is about one over the classes. The bank is N x D, its labels N; queries are
    M x D, their labels M, and those whose class the bank does not have do not count.
    """
    averages, ranks = [], torch.arange(1, len(bank) + 1)
    for some, own in zip(queries.split(_block(bank)), labels.split(_block(bank)), strict=True):
        _, order = neighbours(bank, some, len(bank))
        relevant = bank_labels[order] == own[:, None]  # block x N, in the order of the ranking
        precision = relevant.cumsum(1, dtype=torch.float64).div_(ranks).mul_(relevant)
        count = relevant.sum(1)
        averages.append(precision.sum(1)[count > 0] / count[count > 0])
    return torch.cat(averages).mean().item()


# --- copies: uint8 N x C x S x S to floats of the same shape in normalised units ---

def cropped(images: Tensor) -> Tensor:
    """The middle 70 % of each image's area, enlarged to the old size."""
    x = normalise(images)
    count, _, height, width = x.shape
    h, w = (torch.full((count,), side * 0.7 ** 0.5) for side in (height, width))
    return crop(x, ((height - h) / 2, (width - w) / 2, h, w), width,
                torch.zeros(count, dtype=torch.bool))


def turned(images: Tensor) -> Tensor:
    """Each image turned by 12 degrees; what comes in from outside repeats the edge."""
    x = normalise(images)
    angle = torch.tensor(12.0).deg2rad()
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin(), torch.zeros(())]),
                        torch.stack([angle.sin(), angle.cos(), torch.zeros(())])])
    grid = F.affine_grid(turn.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def printed(images: Tensor) -> Tensor:
    """Each image with a grey bar across its foot, a quarter of its height."""
    x = normalise(images).clone()
    x[:, :, round(x.shape[2] * 0.75):] = 0.0
    return x


COPIES: dict[str, Callable[[Tensor], Tensor]] = {
    "cropped to 70 %": cropped,
    "turned by 12°": turned,
    "half as bright": lambda images: (normalise(images) + 1) * 0.5 - 1,
    "blurred": lambda images: blur(normalise(images),
                                   torch.full((len(images), 1, 1, 1), images.shape[-1] / 16)),
    "noise of sigma 0.4": lambda images: add_noise(normalise(images), 0.4,
                                                   torch.Generator().manual_seed(0)),
    "bar across the foot": printed,
}


def copy_detection(describe: Callable[[Tensor], Tensor], images: Tensor) -> dict[str, float]:
    """How often a changed copy's nearest image is the original, for each of `COPIES`; fractions.

    Args:
        describe: N x C x S x S images to N x D features, such as `extract_features` of an encoder.
        images: uint8 N x C x S x S; every one is searched among all of them.
    """
    bank, own = describe(images), torch.arange(len(images))
    blocks = images.split(max(1, NUMBERS // images[0].numel()))
    shares = {}
    for name, change in COPIES.items():
        copies = torch.cat([describe(change(block)) for block in blocks])
        nearest = neighbours(bank, copies, 1)[1][:, 0]
        shares[name] = (nearest == own).float().mean().item()
    return shares
