"""Batches of images for a training: shuffled, endless, and the same again after an interruption."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from helpers.training.distributed import rank_and_world

# the share of a GPU's free memory that images may take; the model wants the rest
MOST_OF_FREE = 0.35
AHEAD = 4  # batches that are fetched before they are asked for
A, B = TypeVar("A"), TypeVar("B")


class BatchLoader:
    """An endless shuffled stream of (images, labels) batches, cut to `steps`, on one device.

    Batch k depends on the seed and k alone, so that a resumed run goes on where it stopped. A set
    smaller than a batch is repeated. Of several processes each takes its share of every batch.

    Images that fit on the device lie there while the batches last. A larger block stays in memory
    or in its memory-mapped file: a thread gathers the next batches into page-locked memory, from
    where they travel while the GPU computes. A CPU takes its batches from the block as it is.

    Args:
        images, labels: uint8 N x C x H x W and int64 N.
        batch_size: images in a batch, those of all processes together.
        device: "cpu", "cuda" or "mps".
        on_host: leave the images on the host; None decides by the device's free memory.
    """

    def __init__(self, images: Tensor, labels: Tensor | None, *, batch_size: int, steps: int,
                 seed: int = 0, device: str = "cpu", on_host: bool | None = None) -> None:
        self.images = images
        self.labels = torch.full((len(images),), -1) if labels is None else labels
        self.batch_size, self.steps, self.seed, self.device = batch_size, steps, seed, device
        self.on_host, self.position = on_host, 0
        self._epoch, self._order = -1, torch.empty(0)

    @property
    def steps_per_epoch(self) -> float:
        """How many batches hold every image once on average."""
        return len(self.images) / self.batch_size

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # Only here, since a process that Lightning starts knows its GPU when the training begins.
        on_host = self.on_host
        if on_host is None:
            on_host = self.images.nbytes > MOST_OF_FREE * free_memory(self.device)
        steps, unblocked = range(self.position, self.steps), self.device == "cuda"
        batches = ahead(self._fetched, steps) if on_host else self._picked(steps)
        for step, (images, labels) in zip(steps, batches, strict=True):
            self.position = step + 1
            yield (images.to(self.device, non_blocking=unblocked),
                   labels.to(self.device, non_blocking=unblocked))
        self.position = 0

    def _picked(self, steps: Iterable[int]) -> Iterator[tuple[Tensor, Tensor]]:
        # nothing but this iteration holds the copy, so that it goes when the training has ended
        images, labels = self.images.to(self.device), self.labels.to(self.device)
        for step in steps:
            # else the host waits for it
            index = self.share(step).to(self.device, non_blocking=self.device == "cuda")
            yield images.index_select(0, index), labels[index]

    def _fetched(self, step: int) -> tuple[Tensor, Tensor]:
        index, locked = self.share(step), self.device == "cuda"
        images = torch.empty((len(index), *self.images.shape[1:]), dtype=self.images.dtype,
                             pin_memory=locked)
        torch.index_select(self.images, 0, index, out=images)
        return images, self.labels[index]

    def share(self, step: int) -> Tensor:
        """Which images of batch `step` are this process's: int64, B / processes."""
        rank, world = rank_and_world()
        return self.indices(step)[rank::world]

    def indices(self, step: int) -> Tensor:
        """Which images make batch `step`: a slice of one permutation after another, int64 B."""
        count, first = len(self.images), step * self.batch_size
        epochs = range(first // count, (first + self.batch_size - 1) // count + 1)
        stream = torch.cat([self._permutation(epoch) for epoch in epochs])
        start = first - epochs[0] * count
        return stream[start:start + self.batch_size]

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:  # shuffling a million numbers takes longer than a small step
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self._epoch, self._order = epoch, torch.randperm(len(self.images), generator=generator)
        return self._order

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def free_memory(device: str) -> float:
    """Bytes that are free on a device; on a CPU nothing has to be moved, so without a limit."""
    if device == "cuda":
        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()  # but kept by torch
        return torch.cuda.mem_get_info()[0] + unused
    if device == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return float("inf")


def ahead(make: Callable[[A], B], items: Iterable[A], count: int = AHEAD) -> Iterator[B]:
    """`make(item)` for each item in order, made by a thread up to `count` items ahead, which ends
    with the iteration. What `make` raises is raised here."""
    remaining, pool = iter(items), ThreadPoolExecutor(1)
    try:
        waiting = deque(pool.submit(make, item) for item in islice(remaining, count))
        while waiting:
            made = waiting.popleft().result()
            waiting.extend(pool.submit(make, item) for item in islice(remaining, 1))
            yield made
    finally:
        pool.shutdown(cancel_futures=True)
