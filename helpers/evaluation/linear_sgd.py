"""DINO's linear protocol: SGD on frozen features of the last blocks (Caron et al. 2021, F.2).

No weight decay, a cosine that ends at zero, random views, the rate chosen on validation;
`helpers.evaluation.probes.linear_probe` is the quicker one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.common.compute import one_thread
from helpers.evaluation.features import extract_features, is_vit, last_blocks
from helpers.evaluation.probes import accuracy
from helpers.models.encoder import Encoder
from helpers.transforms.views import DRAWINGS, DigitView, PhotoView, view_for

ToTensor = Callable[[Tensor], Tensor]
# for a batch of 256; the paper's code begins with 1e-3
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
CHUNK = 512  # images whose views are in memory at a time
EPOCHS, BATCH, MOMENTUM, START = 100, 64, 0.9, 0.01  # START: deviation of the first weights


@dataclass(frozen=True)
class LinearResult:
    """A trained classifier and what chose it."""

    classifier: nn.Linear
    mean: Tensor  # D, taken from the features
    scale: float  # that they are then divided by
    rate: float  # the learning rate, for a batch of 256
    validation: dict[float, float]  # learning rate -> accuracy on validation

    def score(self, features: Tensor, labels: Tensor) -> float:
        """Accuracy on N x D features."""
        with torch.inference_mode():
            return accuracy(self.classifier((features - self.mean) / self.scale), labels)


def linear_features(encoder: Encoder, images: Tensor) -> Tensor:
    """The classifier's input: four blocks' class tokens; for ViT-Base and wider the last one and
    the mean patch; for other encoders their features.

    Args:
        images: uint8 N x C x S x S, or float in normalised units.

    Returns:
        float32 N x D on the CPU.
    """
    if not is_vit(encoder):
        return extract_features(encoder, images)
    wide = encoder.num_features >= 768
    return last_blocks(encoder, images, 1 if wide else 4, pooled=wide)


def crop_view(dataset: str, image_size: int) -> PhotoView | DigitView:
    """The augmentation while the classifier trains: crops and flips; drawings' usual view."""
    if dataset in DRAWINGS:
        return view_for(dataset, image_size)
    return PhotoView(jitter_chance=0.0, gray=0.0, blur=0.0)


def view_features(describe: ToTensor, images: Tensor, view: ToTensor, copies: int, seed: int = 0,
                  device: str = "cpu") -> list[Tensor]:
    """Features of `copies` random views of every image, which the epochs take in turn; the paper's
    code draws new ones in each.

    Args:
        describe: floats B x C x S x S to B x D features, such as `linear_features` of an encoder.
        view: uint8 batch to float in normalised units, such as `crop_view(...)`.
        device: where the views are made.

    Returns:
        `copies` float32 tensors N x D on the CPU.
    """
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        return [torch.cat([describe(view(part.to(device))) for part in images.split(CHUNK)])
                for _ in range(copies)]


def train_linear(features: Sequence[Tensor], labels: Tensor, classes: int, rates: Sequence[float],
                 epochs: int = EPOCHS, seed: int = 0) -> list[nn.Linear]:
    """A linear classifier for each learning rate: SGD with momentum, no weight decay, a cosine that
    ends at 0.

    All see the same batches from the same start, so they are trained side by side, as one stack of
    weights; none feels the others.

    Args:
        features: N x D each, views of the same images, which the epochs read in turn.
        labels: N.
        rates: at the start, for a batch of 256, scaled to the batch that is taken.
    """
    generator = torch.Generator().manual_seed(seed)
    start = torch.empty(classes, features[0].shape[1]).normal_(0, START, generator=generator)
    weights = start.repeat(len(rates), 1, 1).requires_grad_()  # rates x classes x D
    biases = torch.zeros(len(rates), classes, requires_grad=True)
    batch = min(BATCH, len(labels))
    steps = torch.tensor(rates) * batch / 256
    velocities = [torch.zeros_like(weights), torch.zeros_like(biases)]
    for epoch in range(epochs):
        own = features[epoch % len(features)]
        now = steps * (1 + math.cos(math.pi * epoch / epochs)) / 2
        for rows in torch.randperm(len(labels), generator=generator).split(batch):
            logits = F.linear(own[rows], weights.flatten(0, 1), biases.flatten())
            loss = F.cross_entropy(logits.view(-1, classes), labels[rows].repeat_interleave(
                len(rates)), reduction="sum") / len(rows)  # the sum over the rates
            gradients = torch.autograd.grad(loss, (weights, biases))
            for values, velocity, gradient in zip((weights, biases), velocities, gradients,
                                                  strict=True):
                velocity.mul_(MOMENTUM).add_(gradient)
                with torch.no_grad():
                    values -= now.view(-1, *[1] * (values.ndim - 1)) * velocity
    return [_layer(*pair) for pair in zip(weights.detach(), biases.detach(), strict=True)]


def _layer(weight: Tensor, bias: Tensor) -> nn.Linear:
    """classes x D, classes."""
    layer = nn.Linear(*reversed(weight.shape))
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def choose_linear(features: Sequence[Tensor], labels: Tensor, val: Tensor, val_labels: Tensor,
                  classes: int, rates: Sequence[float] = RATES, epochs: int = EPOCHS,
                  seed: int = 0) -> LinearResult:
    """`train_linear` at each rate; the one that does best on validation, the lowest of equals.

    All features are centred and divided by one number, their root mean square, as for
    `linear_probe`: features of another size would need rates of their own.

    Args:
        features, labels: as for `train_linear`.
        val, val_labels: M x D features of whole validation images, M.
    """
    mean = torch.stack([view.mean(0) for view in features]).mean(0)
    squares = torch.stack([(view - mean).square().mean() for view in features])
    scale = squares.mean().sqrt().item() + 1e-12
    scaled, val = [(view - mean) / scale for view in features], (val - mean) / scale
    with one_thread():
        rates = sorted(rates)
        trained = dict(zip(rates, train_linear(scaled, labels, classes, rates, epochs, seed),
                           strict=True))
    with torch.inference_mode():
        validation = {rate: accuracy(classifier(val), val_labels)
                      for rate, classifier in trained.items()}
    best = max(validation, key=validation.get)  # the first of equals
    return LinearResult(trained[best], mean, scale, best, validation)
