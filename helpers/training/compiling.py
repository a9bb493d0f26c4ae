"""torch.compile for the heavy part of a training step, where the machine can; the plain step where
it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

Function = Callable[..., Any]


@contextmanager
def compiled(module: pl.LightningModule, backend: str | Callable | None) -> Iterator[None]:
    """Inside the block, the module's method that its `heavy` names is compiled at its first call.

    Where there is no compiler, or it fails, one line says so and the method stays as it is.

    Args:
        backend: of `torch.compile`, such as "inductor"; None compiles nothing.
    """
    if backend is None:
        yield
        return
    plain, chosen = getattr(module, module.heavy), None

    def call(*tensors: Tensor) -> Any:
        nonlocal chosen
        chosen = chosen or compiled_or_plain(plain, module, tensors, backend)
        return chosen(*tensors)

    setattr(module, module.heavy, call)
    try:
        yield
    finally:
        delattr(module, module.heavy)


def compiled_or_plain(plain: Function, module: pl.LightningModule, tensors: tuple[Tensor, ...],
                      backend: str | Callable) -> Function:
    """`plain` compiled, if it gets through one forward and backward pass; they leave no trace in
    the module.

    Args:
        tensors: what `plain` is called with, such as two views B x C x S x S.
    """
    before = [buffer.clone() for buffer in module.buffers()]
    on_gpu = [torch.cuda.current_device()] if tensors[0].device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=on_gpu):
            fast = torch.compile(plain, backend=backend)
            results = fast(*tensors)
            total = sum(part.float().sum()
                        for part in (results if isinstance(results, tuple) else (results,)))
            torch.autograd.grad(total, [p for p in module.parameters() if p.requires_grad],
                                allow_unused=True)
        return fast
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler provokes, the answer is the same
        cause = getattr(error, "inner_exception", error)
        print(
            f"torch.compile cannot be used here ({type(cause).__name__}: "
            f"{str(cause).strip().splitlines()[0]}): "
            "training goes on without it")
        return plain
    finally:
        with torch.no_grad():
            for buffer, value in zip(module.buffers(), before, strict=True):
                buffer.copy_(value)
