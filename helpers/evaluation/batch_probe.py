"""Heads on features that stay on the disk, trained with Adam a batch at a time.

Without hidden layers this is logistic regression, which PyTorch-BYOL's evaluation trained so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.common.compute import one_thread
from helpers.common.progress_bar import progress
from helpers.data.latents import LatentPart
from helpers.models.classifier_file import layers_of

BATCH, EPOCHS = 256, 100
RATE, DEEP_RATE = 0.1, 1e-3  # of Adam, at the start of a cosine that ends at 0; DEEP: hidden layers
LEAST_STEPS, MOST_STEPS = 500, 20_000  # of a training
PENALTY = 1.0  # on the weights' squares, as linear_probe's strength of 1


class BatchProbe(nn.Module):
    """Features B x D to logits B x classes, scaled as `OneScale` scales them."""

    def __init__(self, mean: Tensor, scale: float, hidden: Sequence[int], classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.scale = scale
        layers: list[nn.Module] = []
        for before, after in pairwise([len(mean), *hidden, classes]):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, features: Tensor) -> Tensor:
        return self.layers((features - self.mean) / self.scale)


def adam_probe(train: LatentPart, classes: int, hidden: Sequence[int] = (), *,
               penalty: float = PENALTY, seed: int = 0) -> BatchProbe:
    """A head trained with Adam; no more than a batch of the features is in memory.

    Args:
        train: labelled features.
        hidden: widths of hidden layers; none for logistic regression, (512, 128) for the MLP probe.
        penalty: L2 on the weights, 1 / strength of `helpers.evaluation.probes.linear_probe`, whose
            optimum this reaches but for what the random order of the batches leaves.

    Returns:
        The head, in eval mode.
    """
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        probe = BatchProbe(*_scaling(train), hidden, classes)
        epochs = _epochs(len(train))
        optimizer = torch.optim.Adam(probe.parameters(), DEEP_RATE if hidden else RATE)
        steps = epochs * -(-len(train) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        generator = torch.Generator().manual_seed(seed)
        for _ in progress(range(epochs), "training the head", "epochs"):
            for features, labels in train.batches(BATCH, generator):
                loss = F.cross_entropy(probe(features), labels)
                loss = loss + penalty / (2 * len(train)) * _squares(probe)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return probe.eval()


def batch_accuracy(probe: nn.Module, part: LatentPart) -> float:
    """Share of the rows that a head gets right."""
    with torch.no_grad():
        hits = [(probe(features).argmax(1) == labels).sum().item()
                for features, labels in part.batches(4096)]
    return sum(hits) / len(part)


def _squares(probe: BatchProbe) -> Tensor:
    return sum(weight.square().sum() for weight, _ in layers_of(probe.layers))


def _epochs(images: int) -> int:
    """Passes over the images: of few of them more, of many of them fewer."""
    steps = -(-images // BATCH)
    return max(1, min(max(EPOCHS, -(-LEAST_STEPS // steps)), MOST_STEPS // steps))


def _scaling(train: LatentPart) -> tuple[Tensor, float]:
    """Mean (D) of the features and the root of their mean square around it, in two passes."""
    mean = sum(features.double().sum(0) for features, _ in train.batches(4096)) / len(train)
    squares = sum((features - mean).square().sum() for features, _ in train.batches(4096))
    return mean.float(), float((squares / (len(train) * len(mean))).sqrt()) + 1e-12
