"""Accuracy under noise and other damage, with every method shown the same images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.common.compute import threads_for_probes
from helpers.common.progress import Progress, progress
from helpers.data.splits import Splits
from helpers.evaluation.features import evaluating, extract_features, pixel_features, predict_logits
from helpers.evaluation.probes import linear_probe, score
from helpers.transforms.corruptions import RANDOM, SEVERITIES, corrupt
from helpers.transforms.views import normalise

STRENGTHS = (0.003, 0.03, 0.3, 3.0)  # of a linear probe, scikit-learn's C

BATCH = 512
# B x T x W to B x W
TOKENS = {"class": lambda tokens: tokens[:, 0], "mean": lambda tokens: tokens[:, 1:].mean(1)}


@dataclass(frozen=True)
class Reader:
    """A classifier in its two halves, so that all classifiers on one encoder can share its
    features.

    Args:
        encoder: images N x C x H x W in [-1, 1] to features N x D; None reads the pixels as they
            are.
        answer: features N x D (float32, on the CPU) to class numbers N.
    """

    encoder: nn.Module | None
    answer: Callable[[Tensor], Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        """Class numbers N of images, float in [-1, 1] or uint8."""
        return self.answer(features_of(self.encoder, images))


def features_of(encoder: nn.Module | None, images: Tensor) -> Tensor:
    """Features N x D of images, in eval mode; without an encoder the pixels themselves."""
    return pixel_features(images) if encoder is None else extract_features(encoder, images)


def classifier_reader(classifier: nn.Module) -> Reader:
    """A trained `Classifier`: its encoder and its own head."""
    return Reader(classifier.encoder,
                  lambda features: predict_logits(classifier.head, features).argmax(1))


def probe_reader(encoder: nn.Module | None, probe) -> Reader:
    """A fitted scikit-learn probe on the features of an encoder, or on pixels."""
    return Reader(encoder, lambda features: torch.from_numpy(probe.predict(features.numpy())))


def sigmas_for(dataset: str) -> list[float]:
    """The deviations of a sweep, normalised units: to 1.5 in steps of 0.05 as in the ViT-BYOL
    project; digits, which stay readable longer, go on to 2.0 in steps of 0.1."""
    fine = [round(0.05 * step, 2) for step in range(31)]
    return fine + [1.6, 1.7, 1.8, 1.9, 2.0] if dataset == "digits" else fine


def unit_noise(images: Tensor, seed: int, first: int = 0) -> Tensor:
    """Gaussian noise of deviation 1 in the shape of `images` and on their device, from `seed` and
    `first` alone.

    Args:
        first: the number that the first of these images has in its dataset.
    """
    generator = torch.Generator(images.device).manual_seed(1_000_003 * seed + first)
    return torch.randn(images.shape, device=images.device, generator=generator)


def noisy_images(images: Tensor, sigma: float, seed: int) -> Tensor:
    """Images in normalised units with noise of deviation `sigma`; another sigma makes the same
    noise louder.

    Args:
        images: uint8 N x C x H x W, or float in normalised units.
        sigma: in normalised units, twice that of pixels in [0, 1].

    Returns:
        float32 N x C x H x W, not clipped.
    """
    parts = [normalise(batch) for batch in images.split(BATCH)]
    return torch.cat([
        part + sigma * unit_noise(part, seed, BATCH * number) for number, part in enumerate(parts)
    ])


@dataclass(frozen=True)
class Sweep:
    """What a noise sweep measured; both map a method's name to an array, seeds x sigmas.

    `accuracy` is in [0, 1]; `similarity` is the mean cosine of the features of a noisy image and of
    the same image without noise, in [-1, 1].
    """

    sigmas: list[float]
    accuracy: dict[str, np.ndarray]
    similarity: dict[str, np.ndarray]


def noise_sweep(readers: dict[str, Reader], images: Tensor, labels: Tensor, sigmas: Sequence[float],
                seeds: Iterable[int], device: str = "cpu") -> Sweep:
    """Each method at each sigma, on the same noisy images, computing nothing twice.

    Images are normalised once, and the features of clean images are taken once; noise is drawn on
    the device once per seed and scaled by every sigma; methods with the same encoder share its
    features.

    Args:
        readers: name -> method.
        images, labels: uint8 N x C x H x W, N.
        sigmas: deviations in normalised units.
        seeds: of the noise.
        device: where noise is drawn and added; the same seed gives other noise on another kind of
            device.
    """
    seeds, sigmas = list(seeds), list(sigmas)
    encoders = {reader.encoder for reader in readers.values()}
    right, alike = ({name: np.zeros((len(seeds), len(sigmas)))
                     for name in readers}
                    for _ in range(2))
    with threads_for_probes(images), Progress(
            len(seeds) * len(sigmas) * len(images), "noise sweep", "images") as bar:
        for first in range(0, len(images), BATCH):
            clean, truth = normalise(
                images[first:first + BATCH].to(device)), labels[first:first + BATCH]
            quiet = {encoder: features_of(encoder, clean) for encoder in encoders}
            for row, seed in enumerate(seeds):
                noise = unit_noise(clean, seed, first)
                for column, sigma in enumerate(sigmas):
                    noisy = clean + sigma * noise
                    found = {encoder: features_of(encoder, noisy)
                             for encoder in encoders} if sigma else quiet
                    cosine = {
                        encoder: F.cosine_similarity(found[encoder], quiet[encoder]).sum().item()
                        for encoder in encoders
                    }
                    for name, reader in readers.items():
                        right[name][row, column] += (reader.answer(
                            found[reader.encoder]) == truth).sum().item()
                        alike[name][row, column] += cosine[reader.encoder]
                    bar.update(len(clean))
    count = len(images)
    return Sweep(sigmas, {name: sums / count for name, sums in right.items()},
                 {name: sums / count for name, sums in alike.items()})


def corruption_sweep(readers: dict[str, Reader], images: Tensor, labels: Tensor,
                     seeds: Iterable[int], device: str = "cpu") -> dict[str, dict[str, np.ndarray]]:
    """Errors of each method under each of the common corruptions.

    Args:
        readers, images, labels: as for `noise_sweep`.
        seeds: of the corruptions that draw random numbers; the others are looked at once.
        device: where images are damaged; a seed gives other damage on another kind of device.

    Returns:
        method -> corruption -> share of wrong answers at the five severities, mean over seeds.
    """
    seeds = list(seeds)
    errors = {name: {damage: np.zeros(5) for damage in SEVERITIES} for name in readers}
    cases = [(damage, severity, seed, len(seeds) if damage in RANDOM else 1)
             for damage in SEVERITIES
             for severity in range(1, 6)
             for seed in (seeds if damage in RANDOM else seeds[:1])]
    with threads_for_probes(images):
        for damage, severity, seed, count in progress(cases, "corruptions", "damaged test sets"):
            for first in range(0, len(images), BATCH):
                part, truth = images[first:first + BATCH].to(device), labels[first:first + BATCH]
                damaged = corrupt(part, damage, severity, seed + 1_000_003 * first)
                found = {
                    encoder: features_of(encoder, damaged)
                    for encoder in {r.encoder
                                    for r in readers.values()}
                }
                for name, reader in readers.items():
                    wrong = (reader.answer(found[reader.encoder]) != truth).sum().item()
                    errors[name][damage][severity - 1] += wrong / (count * len(images))
    return errors


def mean_corruption_error(errors: dict[str, np.ndarray], baseline: dict[str, np.ndarray]) -> float:
    """mCE (Hendrycks & Dietterich 2019, section 4): errors summed over severities, divided by the
    baseline's, and then averaged over corruptions. 1 is as good as the baseline, below is better.

    Corruptions under which the baseline makes no mistake at all have no such ratio and are left
    out.

    Raises:
        ValueError: the two do not hold the same corruptions, or the baseline is never wrong.
    """
    if errors.keys() != baseline.keys():
        raise ValueError("the method and the baseline were shown different corruptions")
    ratios = [
        errors[name].sum() / baseline[name].sum() for name in errors if baseline[name].sum() > 0
    ]
    if not ratios:
        raise ValueError(
            "the baseline makes no mistake under any corruption: there is nothing to divide by")
    return float(np.mean(ratios))


def layer_similarity(encoder: nn.Module, clean: Tensor, noisy: Tensor,
                     token: str | None = None) -> list[tuple[str, float]]:
    """How much noise changes each layer's answer.

    Args:
        encoder: any of the suite's encoders; its stem, blocks and output are the layers.
        clean, noisy: the same images, N x C x H x W in [-1, 1].
        token: None compares all that a layer says. For a ViT, "class" compares its class token
            alone and "mean" the mean of its patch tokens, up to and with the final norm.

    Returns:
        (layer, cosine similarity of the clean and the noisy activations averaged over images), in
        order.

    Raises:
        ValueError: a token is asked for and the encoder has none.
    """
    seen: dict[str, list[Tensor]] = {}
    layers = _layers(encoder, token)
    hooks = [
        layer.register_forward_hook(
            lambda _, __, out, name=name: seen.setdefault(name, []).append(out))
        for name, layer in layers
    ]
    device = next(encoder.parameters()).device
    try:
        with evaluating(encoder):
            outputs = [encoder(images.to(device)) for images in (clean, noisy)]
    finally:
        for hook in hooks:
            hook.remove()
    read = TOKENS[token] if token else lambda states: states
    pairs = [("pixels", (clean, noisy)), *((name, map(read, seen[name])) for name, _ in layers)]
    return [(name, F.cosine_similarity(a.flatten(1).float(), b.flatten(1).float()).mean().item())
            for name, (a, b) in (pairs if token else [*pairs, ("features", outputs)])]


def _layers(encoder: nn.Module, token: str | None) -> list[tuple[str, nn.Module]]:
    """What comes before the blocks, then the blocks, of the slim encoder, a ViT or a ResNet.

    A ViT's "embedding" is taken where the positions have been added, which is what its first block
    reads.
    """
    backbone, last = getattr(encoder, "backbone", encoder), []
    if token is not None and (token not in TOKENS or not hasattr(backbone, "positions")):
        raise ValueError(
            f"token {token!r}: only a ViT has tokens, choose {' or '.join(TOKENS)}, or None")
    if hasattr(backbone, "positions"):
        first, blocks = ("embedding", backbone.dropout), backbone.blocks
        last = [("final norm", backbone.norm)] if token else []
    elif hasattr(backbone, "stem"):
        first, blocks = ("stem", backbone.stem), backbone.blocks
    else:  # torchvision's names
        first = ("stem", backbone.maxpool)
        blocks = [backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]
    return [
        first, *((f"block {number}", block) for number, block in enumerate(blocks, start=1)), *last
    ]


def best_probe(encoder: nn.Module | None, splits: Splits, sigma: float, seed: int) -> Reader:
    """A linear classifier on features of *clean* training images (None: on pixels), with all
    labels.

    Of several strengths of regularisation that one is taken which names most of the *validation*
    images rightly when they have noise of `sigma`.
    """
    train = features_of(encoder, splits.train.images)
    noisy = features_of(encoder, noisy_images(splits.val.images, sigma, 1000 + seed))
    with threads_for_probes(splits.train.images):
        probes = [linear_probe(train, splits.train.labels, strength) for strength in STRENGTHS]
    return probe_reader(encoder,
                        max(probes, key=lambda probe: score(probe, noisy, splits.val.labels)))
