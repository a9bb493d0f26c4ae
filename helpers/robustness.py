"""Accuracy under noise, with every method shown the same noisy pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.evaluation import evaluating, extract_features, predict_logits
from helpers.progress import progress
from helpers.views import add_noise, normalise

Predict = Callable[[Tensor], Tensor]  # float pictures in [-1, 1], N x C x H x W, to class numbers N


def sigmas_for(dataset: str) -> list[float]:
    """The deviations of a sweep in steps of 0.05, normalised units: to 1.5 as in the ViT-BYOL project, and on to
    2.0 for digits, which stay readable longer."""
    return [round(float(sigma), 2) for sigma in np.arange(0, 2.001 if dataset == "digits" else 1.501, 0.05)]


def predictor(classifier: nn.Module) -> Predict:
    """A trained classifier's predictions, in eval mode."""
    return lambda pictures: predict_logits(classifier, pictures).argmax(1)


def probe_predictor(encoder: nn.Module, probe) -> Predict:
    """Predictions of a fitted scikit-learn probe on an encoder's features."""
    return lambda pictures: torch.from_numpy(probe.predict(extract_features(encoder, pictures).numpy()))


def pixel_predictor(probe) -> Predict:
    """Predictions of a probe that was fitted on pictures as flat vectors in [-1, 1]."""
    return lambda pictures: torch.from_numpy(probe.predict(pictures.flatten(1).numpy()))


def noisy_pictures(images: Tensor, sigma: float, seed: int) -> Tensor:
    """uint8 pictures to normalised units with noise that depends on `sigma` and `seed` alone."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + round(1000 * sigma))
    return add_noise(normalise(images), sigma, generator)


def noise_sweep(predict: dict[str, Predict], images: Tensor, labels: Tensor, sigmas: Sequence[float],
                seeds: Iterable[int]) -> dict[str, np.ndarray]:
    """Accuracy of each method at each sigma, on the same noisy pictures.

    Args:
        predict: name -> function of float pictures in [-1, 1].
        images, labels: uint8 N x C x H x W, N.
        sigmas: deviations in normalised units.
        seeds: of the noise.

    Returns:
        name -> accuracies, seeds x sigmas, in [0, 1].
    """
    seeds = list(seeds)
    scores = {name: np.zeros((len(seeds), len(sigmas))) for name in predict}
    for column, sigma in enumerate(progress(sigmas, "noise sweep", "sigmas")):
        for row, seed in enumerate(seeds):
            pictures = noisy_pictures(images, sigma, seed)
            for name, function in predict.items():
                scores[name][row, column] = (function(pictures) == labels).float().mean().item()
    return scores


def layer_similarity(encoder: nn.Module, clean: Tensor, noisy: Tensor) -> list[tuple[str, float]]:
    """How much noise changes each layer's answer.

    Args:
        encoder: any of the suite's encoders; its stem, blocks and output are the layers.
        clean, noisy: the same pictures, N x C x H x W in [-1, 1].

    Returns:
        (layer, cosine similarity of the clean and the noisy activations averaged over pictures), in order.
    """
    seen: dict[str, list[Tensor]] = {}
    layers = _layers(encoder)
    hooks = [layer.register_forward_hook(lambda _, __, out, name=name: seen.setdefault(name, []).append(out))
             for name, layer in layers]
    device = next(encoder.parameters()).device
    try:
        with evaluating(encoder):
            outputs = [encoder(pictures.to(device)) for pictures in (clean, noisy)]
    finally:
        for hook in hooks:
            hook.remove()
    pairs = [("pixels", (clean, noisy)), *((name, seen[name]) for name, _ in layers), ("features", outputs)]
    return [(name, F.cosine_similarity(a.flatten(1).float(), b.flatten(1).float()).mean().item())
            for name, (a, b) in pairs]


def _layers(encoder: nn.Module) -> list[tuple[str, nn.Module]]:
    """What comes before the blocks, then the blocks, of the slim encoder, a ViT or a ResNet.

    A ViT's "embedding" is taken where the positions have been added, which is what its first block reads.
    """
    backbone = getattr(encoder, "backbone", encoder)
    if hasattr(backbone, "positions"):
        first, blocks = ("embedding", backbone.dropout), backbone.blocks
    elif hasattr(backbone, "stem"):
        first, blocks = ("stem", backbone.stem), backbone.blocks
    else:  # torchvision's names
        first = ("stem", backbone.maxpool)
        blocks = [backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]
    return [first, *((f"block {number}", block) for number, block in enumerate(blocks, start=1))]
