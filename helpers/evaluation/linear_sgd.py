"""DINO's linear protocol: SGD on frozen features of the last blocks (Caron et al. 2021, F.2).

No weight decay, a cosine that ends at zero, random views, the rate chosen on validation;
`helpers.evaluation.probes.linear_probe` is the quicker one.
"""

from __future__ import annotations

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


def train_linear(features: Sequence[Tensor], labels: Tensor, classes: int, rate: float,
                 epochs: int = EPOCHS, seed: int = 0) -> nn.Linear:
    """One linear classifier: SGD with momentum, no weight decay, a cosine that ends at 0.

    Args:
        features: N x D each, views of the same images, which the epochs read in turn.
        labels: N.
        rate: the learning rate at the start for a batch of 256, scaled to the one that is taken.
    """
    generator = torch.Generator().manual_seed(seed)
    classifier = nn.Linear(features[0].shape[1], classes)
    with torch.no_grad():
        classifier.weight.normal_(0, START, generator=generator)
        classifier.bias.zero_()
    batch = min(BATCH, len(labels))
    optimizer = torch.optim.SGD(classifier.parameters(), rate * batch / 256, momentum=MOMENTUM)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        own = features[epoch % len(features)]
        for rows in torch.randperm(len(labels), generator=generator).split(batch):
            optimizer.zero_grad()
            F.cross_entropy(classifier(own[rows]), labels[rows]).backward()
            optimizer.step()
        schedule.step()
    return classifier


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
        trained = {rate: train_linear(scaled, labels, classes, rate, epochs, seed)
                   for rate in sorted(rates)}
    with torch.inference_mode():
        validation = {rate: accuracy(classifier(val), val_labels)
                      for rate, classifier in trained.items()}
    best = max(validation, key=validation.get)  # the first of equals
    return LinearResult(trained[best], mean, scale, best, validation)
