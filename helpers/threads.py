"""How many CPU threads a job is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

SMALL = 32  # up to this side, in pixels, a second thread gains nothing worth having


@contextmanager
def threads_for(images: Tensor) -> Iterator[None]:
    """One thread for small pictures (... x S x S) on a CPU, torch's own choice otherwise.

    A step on 16-pixel pictures is hundreds of tiny operations. Two threads spend it waiting for each other:
    15 % quicker at best, and many times slower whenever something else wants a core.
    """
    before = torch.get_num_threads()
    if images.device.type == "cpu" and images.shape[-1] <= SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def threads_for_probes(images: Tensor) -> Iterator[None]:
    """`threads_for` N x C x S x S images, and the same for the linear algebra of NumPy and scikit-learn.

    Finding their libraries takes some milliseconds: put it around a loop, not into one.
    """
    small = images.device.type == "cpu" and images.shape[-1] <= SMALL
    with threads_for(images), threadpool_limits(1 if small else None):
        yield
