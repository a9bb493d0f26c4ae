"""All images of a dataset in a row, those without a label too, with their splits and names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from helpers.data.splits import Splits

MOST = 100_000  # images; comparing each with each takes hours from there on
UNLABELED = "unlabeled"


@dataclass(frozen=True, eq=False)
class Whole:
    """All images once. `whole[rows]` copies those few, and the many stay where they are.

    Attributes:
        blocks: uint8 n x C x H x W each, N images in all.
        labels: int64 N, -1 for none.
        splits: N names: "unlabeled", "train", "val" or "test".
        names: of the N images: their files, or split and number.
    """

    blocks: tuple[Tensor, ...]
    labels: Tensor
    splits: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Tensor:
        """Images by number, uint8: one (C x H x W), or those of n numbers (n x C x H x W)."""
        rows = np.asarray(rows)
        starts = np.cumsum([0, *map(len, self.blocks)])
        block = np.searchsorted(starts, rows, side="right") - 1
        found = [self.blocks[b][row - starts[b]]
                 for b, row in zip(block.flat, rows.flat, strict=True)]
        return torch.stack(found) if rows.ndim else found[0]

    def counts(self) -> dict[str, int]:
        """How many images each split has, where it has any."""
        return {split: int((self.splits == split).sum())
                for split in dict.fromkeys(self.splits.tolist())}

    def each(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """What `function` makes of the images (n x C x H x W to n x D), N x D."""
        return torch.cat([function(block) for block in self.blocks if len(block)])


def everything(splits: Splits, most: int = MOST) -> Whole:
    """The images without a label, then train, val and test.

    Of more than `most` images in all, the last of those without a label are left out.
    """
    labelled = [splits.train, splits.val, splits.test]
    without_label = len(splits.unlabeled) - len(splits.train)
    room = max(0, most - sum(map(len, labelled)))
    loose = splits.unlabeled[:min(without_label, room)]
    blocks = (loose, *(split.images for split in labelled))
    labels = torch.cat([torch.full((len(loose),), -1), *(split.labels for split in labelled)])
    images_of = dict(zip((UNLABELED, "train", "val", "test"), blocks, strict=True))
    files = splits.names or {split: [f"{split} {number}" for number in range(len(own))]
                             for split, own in images_of.items()}
    names = tuple(name for split, own in images_of.items() for name in files[split][:len(own)])
    return Whole(blocks, labels, np.repeat(list(images_of), [len(own) for own in blocks]), names)
