"""A classifier in one file: encoder, head, classes, calibration, and what it has seen.

The file is an encoder's checkpoint (see `helpers.models.weights.checkpoint`) with a few tensors
beside, so whatever takes an encoder's file takes it, too. Nothing in it is executed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.common.errors import UserError
from helpers.models.encoder import Encoder
from helpers.models.weights.checkpoint import facts, load_parts, save_encoder
from helpers.transforms.functional import GRAY

NEIGHBOURS = 5  # among the kept features, whose mean distance says how unlike an image is

Layers = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Seen:
    """What the training looked like, for images that look like nothing in it.

    Attributes:
        features: K x D, of a sample of the images without labels and of the training images.
        threshold: a larger distance (see `KeptClassifier.distances`) counts as unlike.
        marks: int64, one for each labelled image of training and validation, so that none of them
            is taken for a new one.
        ranges: of images of more than 8 bits, "integer" or "float": the numbers that became black
            and white. New images are scaled by them, too.
    """

    features: Tensor
    threshold: float = math.inf
    marks: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)


class KeptClassifier(nn.Module):
    """Images to calibrated probabilities of classes.

    Args:
        encoder: B x C x S x S in [-1, 1] to features B x D.
        layers: weights and biases of the head's linear layers, with ReLU between; see `head_of`.
        classes: names; column i of the probabilities is `classes[i]`.
        temperature: what the logits are divided by (Guo et al. 2017), fitted on validation.
        facts: what a person wants to know later: protocol, recipe, dataset, results, ...
    """

    def __init__(self, encoder: Encoder, layers: Layers, classes: Sequence[str], seen: Seen, *,
                 temperature: float = 1.0, **facts: Any) -> None:
        super().__init__()
        self.encoder, self.head, self.classes = encoder, head_of(layers), tuple(classes)
        self.temperature, self.seen, self.facts = temperature, seen, facts
        self.register_buffer("bank", F.normalize(seen.features.float(), dim=1), persistent=False)

    @property
    def image_size(self) -> int:
        """Side of the images that it takes, in pixels."""
        return self.encoder.config["image_size"]

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return self.encoder.config["channels"]

    def forward(self, x: Tensor) -> Tensor:
        """Images B x C x S x S in [-1, 1] to probabilities B x classes."""
        return self.probabilities(self.encoder(x))

    def probabilities(self, features: Tensor) -> Tensor:
        """Features B x D to calibrated probabilities B x classes."""
        return (self.head(features) / self.temperature).softmax(1)

    def distances(self, features: Tensor) -> Tensor:
        """How far features B x D are from what was seen: the mean cosine distance, in [0, 2], to
        the nearest `NEIGHBOURS` of the kept ones; B."""
        return _far(F.normalize(features, dim=1) @ self.bank.T, len(self.bank))

    def distances_within(self) -> Tensor:
        """The same of each kept feature to the other ones, K."""
        similar = (self.bank @ self.bank.T).fill_diagonal_(-torch.inf)
        return _far(similar, len(self.bank) - 1)

    def as_taken(self, images: Tensor) -> Tensor:
        """Images N x 3 x S x S, uint8, with as many channels as the encoder takes."""
        if self.channels == images.shape[1]:
            return images
        grey = torch.tensor(GRAY, device=images.device).view(1, 3, 1, 1)
        return (images.float() * grey).sum(1, keepdim=True).round().to(torch.uint8)


def _far(similar: Tensor, others: int) -> Tensor:
    """Mean cosine distance to the nearest ones, of similarities B x K to `others` of them."""
    nearest = similar.topk(min(NEIGHBOURS, others), dim=1).values
    return (1 - nearest.mean(1)).clamp(min=0)


def head_of(layers: Layers) -> nn.Sequential:
    """Linear layers (weights out x in, biases out) with ReLU between, as a module."""
    parts: list[nn.Module] = []
    for weight, bias in layers:
        linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
        linear.weight.data, linear.bias.data = weight.detach().float(), bias.detach().float()
        parts += [linear, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def layers_of(head: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """The weights and biases of a head's linear layers, in order."""
    return [(part.weight, part.bias) for part in head.modules() if isinstance(part, nn.Linear)]


def save_classifier(path: str | Path, classifier: KeptClassifier) -> Path:
    """Write a classifier to one safetensors file, whole or not at all.

    Raises:
        UserError: the file cannot be written there.
    """
    tensors = {f"head.{number}.{part}": value
               for number, layer in enumerate(layers_of(classifier.head))
               for part, value in zip(("weight", "bias"), layer, strict=True)}
    tensors |= {"bank": classifier.seen.features.half(), "marks": classifier.seen.marks}
    encoder = classifier.encoder
    taken = dict(image_size=classifier.image_size, channels=classifier.channels,
                 resize="the shorter side, then the centre", normalisation=encoder.normalisation,
                 ranges=classifier.seen.ranges)
    said = dict(classifier.facts, classes=classifier.classes, temperature=classifier.temperature,
                threshold=classifier.seen.threshold, preprocessing=taken)
    meta = {name: value for name, value in encoder.meta.items()
            if name not in ("torch", "suite", "classifier")}
    return save_encoder(encoder, path, beside=tensors, **meta, classifier=said)


def is_classifier(path: str | Path) -> bool:
    """Whether a file says that it holds a classifier."""
    return Path(path).is_file() and isinstance(facts(Path(path)).get("classifier"), dict)


def load_classifier(path: str | Path) -> KeptClassifier:
    """What `save_classifier` wrote, in eval mode on the CPU.

    Raises:
        UserError: the file is missing, damaged, changed, or holds no classifier.
    """
    encoder, beside = load_parts(path)
    said = encoder.meta.get("classifier")
    if not isinstance(said, dict):
        raise UserError(f"{path} holds an encoder and no classifier: train one with "
                        f"`python -m helpers train FOLDER --weights {path} --out my.safetensors`")
    try:
        count = sum(name.endswith(".weight") for name in beside)
        layers = [(beside[f"head.{number}.weight"], beside[f"head.{number}.bias"])
                  for number in range(count)]
        seen = Seen(beside["bank"].float(), float(said.pop("threshold")), beside["marks"],
                    _ranges(said.get("preprocessing", {}).get("ranges", {})))
        made = KeptClassifier(encoder, layers, said.pop("classes"), seen,
                              temperature=float(said.pop("temperature")), **said)
        _check(made)
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError, AttributeError) as problem:
        why = " ".join(str(problem).split())[:120]
        raise UserError(f"{path} is no whole classifier ({why}): train it again") from None
    return made.eval()


def _ranges(said: dict[str, list[float]]) -> dict[str, tuple[float, float]]:
    """A file's ranges; a ValueError where they are none."""
    found = {kind: (float(black), float(white)) for kind, (black, white) in said.items()}
    if not all(math.isfinite(white - black) and black <= white for black, white in found.values()):
        raise ValueError("black and white of its images are no range")
    return found


def _check(made: KeptClassifier) -> None:
    """A ValueError unless the parts fit each other."""
    widths = [weight.shape[1] for weight, _ in layers_of(made.head)]
    wanted = [made.encoder.num_features, *(len(bias) for _, bias in layers_of(made.head))]
    if [*widths, len(made.classes)] != wanted:
        raise ValueError(f"its layers take {widths} for {wanted[:-1]}")
    if made.bank.shape[1] != made.encoder.num_features or not made.temperature > 0:
        raise ValueError("its calibration or its kept features are of another network")
    if not all(isinstance(name, str) for name in made.classes):
        raise ValueError("a class has no name")
