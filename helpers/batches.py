"""Batches of images for a training: shuffled, endless, and the same again after an interruption."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from helpers.distributed import rank_and_world


class BatchLoader:
    """An endless shuffled stream of (images, labels) batches, cut to `steps`, on one device.

    Batch k depends only on the seed and k, so that a resumed run goes on with the batch it stopped at.
    A set smaller than a batch is repeated: each copy is augmented differently. Where several processes
    train together, each takes its share of every batch.

    Args:
        images, labels: uint8 N x C x H x W and int64 N; they are moved to `device` once, at the first batch.
        batch_size: images in a batch, those of all processes together.
        device: "cpu", "cuda" (this process's own GPU) or "mps".
    """

    def __init__(self, images: Tensor, labels: Tensor | None, *, batch_size: int, steps: int, seed: int = 0,
                 device: str = "cpu") -> None:
        self.images = images
        self.labels = torch.full((len(images),), -1) if labels is None else labels
        self.batch_size, self.steps, self.seed, self.device = batch_size, steps, seed, device
        self.position = 0
        self._epoch, self._order = -1, torch.empty(0)

    @property
    def steps_per_epoch(self) -> float:
        """How many batches hold every image once on average."""
        return len(self.images) / self.batch_size

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # Only here, since a process that Lightning starts knows its GPU when the training begins.
        self.images, self.labels = self.images.to(self.device), self.labels.to(self.device)
        for step in range(self.position, self.steps):
            index = self.share(step).to(self.device)
            self.position = step + 1
            yield self.images[index], self.labels[index]
        self.position = 0

    def share(self, step: int) -> Tensor:
        """Which images of batch `step` are this process's."""
        rank, world = rank_and_world()
        return self.indices(step)[rank::world]

    def indices(self, step: int) -> Tensor:
        """Which images make batch `step`: a slice of one permutation after another."""
        count, first = len(self.images), step * self.batch_size
        epochs = range(first // count, (first + self.batch_size - 1) // count + 1)
        stream = torch.cat([self._permutation(epoch) for epoch in epochs])
        start = first - epochs[0] * count
        return stream[start:start + self.batch_size]

    def _permutation(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(len(self.images), generator=generator)

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]
