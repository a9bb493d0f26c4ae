"""What two random views of a batch cost: the same BYOL augmentation of ours, kornia and lightly.

    python -m pip install kornia
    python benchmarks/views.py                      a table, and JSON under benchmarks/results/

Ours and kornia's work on batches on the device; lightly's on one PIL image after the other in one
process, as a DataLoader's worker does it. They take turns, and the median of the rounds is
reported.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.throughput import Images, compared, keep, lightly_views, photographs, show


def kornia_views(size: int) -> list[Callable[[Tensor], Tensor]]:
    """lightly's two BYOL views in kornia's classes, every image with its own parameters."""
    import kornia.augmentation as K

    def view(blur: float, solarize: float) -> Callable[[Tensor], Tensor]:
        return torch.nn.Sequential(
            K.RandomResizedCrop((size, size), scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
            K.RandomHorizontalFlip(p=0.5), K.ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8),
            K.RandomGrayscale(p=0.2), K.RandomGaussianBlur((9, 9), (0.1, 2.0), p=blur),
            K.RandomSolarize(0.0, 0.0, p=solarize))
    return [view(1.0, 0.0), view(0.1, 0.2)]


def contenders(options: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """Name to a function that makes both views of one batch."""
    images = photographs(options.batch, options.size)
    on_device, pil = images.to(options.device), Images(images.numpy(), options.size)
    theirs, own = kornia_views(options.size), lightly_views(options.size)
    return {"ours": lambda: [view(on_device) for view in own],
            "kornia": lambda: [view(on_device.float() / 255) for view in theirs],
            "lightly, PIL, one process": lambda: [pil[i] for i in range(options.batch)]}


def race(options: argparse.Namespace) -> list[dict]:
    """Images per second (both views) of every contender and how many times that ours makes."""
    makers = contenders(options)
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    for turn in range(options.rounds + 1):
        for name, make in makers.items():
            began = time.perf_counter()
            make()
            if options.device == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first is the warm-up
                seconds[name].append(time.perf_counter() - began)
    return compared(seconds, options.batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96, help="side of images and views, pixels")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    rows = race(options)
    show(rows)
    keep(f"views-{options.device}", options, rows)
    print(f"kept in benchmarks/results/views-{options.device}.json")


if __name__ == "__main__":
    main()
