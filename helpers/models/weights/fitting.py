"""From renamed weights to a working encoder: its sizes, its input, its positions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.names import ENCODERS
from helpers.models.encoder import IMAGENET_MEAN, IMAGENET_STD, NORMALISATIONS, Encoder
from helpers.models.vit import PRESETS, interpolate_positions
from helpers.models.weights.checkpoint import assembled

Weights = dict[str, Tensor]
HEAD_WIDTH = 64  # of an attention head, in every ViT of the papers
RESNETS = {(False, (2, 2, 2, 2)): "resnet18", (False, (3, 4, 6, 3)): "resnet34",
           (True, (3, 4, 6, 3)): "resnet50", (True, (3, 4, 23, 3)): "resnet101"}
INPUT = {"resnet": "conv1.weight", "vit": "patches.weight", "slim": "stem.0.weight"}
# what takes a shift of the input, and its sign there
SHIFTED = {"resnet": ("bn1.running_mean", -1), "vit": ("patches.bias", 1),
           "slim": ("stem.1.running_mean", -1)}


def deduce(path: Path, family: str, weights: Weights, heads: int | None = None) -> dict[str, Any]:
    """The arguments of `build` that weights under our names call for.

    Args:
        heads: of a ViT, which no tensor tells; None takes the usual number of its width.

    Raises:
        UserError: they are of a network that the suite does not have, or `heads` cannot be.
        KeyError, ValueError, ...: tensors are missing or of shapes that make no sense.
    """
    if family == "slim":
        width, channels, side = weights["stem.0.weight"].shape[:3]
        fine = "slim_deep" if "blocks.1.0.residual.0.weight" in weights else "slim_fine"
        name = "slim" if side == 3 else fine
        return dict(name=name, channels=channels, image_size=16, width=width)
    if family == "resnet":
        return _deduce_resnet(path, weights)
    return _deduce_vit(path, weights, heads)


def _deduce_resnet(path: Path, weights: Weights) -> dict[str, Any]:
    blocks = tuple(_count(weights, f"layer{stage}.") for stage in (1, 2, 3, 4))
    name = RESNETS.get(("layer1.0.conv3.weight" in weights, blocks))
    if name is None:
        raise UserError(
            f"{path} holds a ResNet of {blocks} blocks (its third stage ends with layer3."
            f"{blocks[2] - 1}): this suite has {', '.join(RESNETS.values())}")
    return dict(name=name, channels=weights["conv1.weight"].shape[1], image_size=96,
                stem=_stem(weights))


def _deduce_vit(path: Path, weights: Weights, heads: int | None) -> dict[str, Any]:
    width, channels, patch = weights["patches.weight"].shape[:3]
    depth = _count(weights, "blocks.")
    grid = math.isqrt(weights["positions"].shape[1] - 1)
    same = [name for name, sizes in PRESETS.items()
            if (sizes["width"], sizes["depth"]) == (width, depth)]
    nearest = min(PRESETS, key=lambda preset: abs(PRESETS[preset]["width"] - width))
    name = same[0] if same else nearest
    if heads and width % heads:
        raise UserError(f"{heads} heads do not divide the {width} numbers of a token in {path}: "
                        "set FEWLABELS_HEADS to another number")
    heads = heads or (PRESETS[name]["heads"] if same else max(1, width // HEAD_WIDTH))
    sizes = dict(width=width, depth=depth, heads=heads,
                 mlp_ratio=len(weights["blocks.0.mlp.0.weight"]) / width)
    usual = {"mlp_ratio": 4, **PRESETS[name]}
    if "registers" in weights:
        sizes["registers"] = weights["registers"].shape[1]
    return dict(name=name, channels=channels, image_size=patch * grid, patch_size=patch,
                **{key: value for key, value in sizes.items() if value != usual.get(key)})


def _count(weights: Weights, prefix: str) -> int:
    """How many numbers come after a prefix such as "layer1."."""
    return len({name.removeprefix(prefix).split(".")[0]
                for name in weights if name.startswith(prefix)})


def _stem(weights: Weights) -> str:
    return "imagenet" if weights["conv1.weight"].shape[-1] == 7 else "small"


def fit(path: Path, family: str, config: dict[str, Any], weights: Weights, image_size: int | None,
        channels: int | None, trained_on: str) -> tuple[Encoder, tuple[str, ...]]:
    """An encoder for images of `channels` x `image_size` x `image_size` with `weights` in it, and
    what had to be done to them, in words. None keeps the channels or the size of the weights.

    Raises:
        UserError: a tensor is missing or of another shape, or holds numbers that are none.
    """
    channels = channels or weights[INPUT[family]].shape[1]
    weights, trained_on, notes = _fit_input(weights, family, channels, trained_on)
    config = {**config, "channels": channels, "normalisation": trained_on}
    # the weights decide what would else follow from the images
    if family == "resnet":
        config["stem"] = _stem(weights)
    if family == "slim":
        config["width"] = len(weights["stem.0.weight"])
    config["image_size"] = image_size or config["image_size"]
    seen = config.get("input_size") or config["image_size"]
    if family == "vit":
        notes += _fit_positions(path, weights, config, seen)
    if seen != config["image_size"]:
        notes += [f"images are resized from {config['image_size']} to {seen} pixels"]
    return _filled(path, config, weights), tuple(notes)


def _filled(path: Path, config: dict[str, Any], weights: Weights) -> Encoder:
    """The encoder of `config` with `weights` in it, every one of them checked."""
    for name in [name for name in weights if name.endswith("running_mean")]:
        # torch before 0.4.1 did not write it; nothing here reads it
        weights.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise UserError(f"{path} does not hold a whole {config['name']}: {name} has infinite "
                            "numbers or NaN; fetch it again, or use another file")
    return assembled(path, config, {f"backbone.{name}": value for name, value in weights.items()},
                     cure="it may be another architecture, or cut off: choose one of "
                     f"{', '.join(ENCODERS)}")


def _fit_input(weights: Weights, family: str, channels: int,
               trained_on: str) -> tuple[Weights, str, list[str]]:
    """Fold colours, and scaling that the encoder cannot do by itself, into the first layer."""
    name = INPUT[family]
    first = weights[name]                                                            # D, C, K, K
    have = first.shape[1]
    if trained_on not in NORMALISATIONS:
        raise UserError(
            f"unknown normalisation {trained_on!r}: choose {', '.join(NORMALISATIONS)} or auto")
    if have == channels and (trained_on != "imagenet" or channels == 3):
        return dict(weights), trained_on, []
    if {have, channels} - {1, 3}:
        raise UserError(
            f"{name} takes {have} channels and the images have {channels}: only 1 and 3 can be "
            "turned into each other")
    weights, after = dict(weights), trained_on
    note = f"its {have}-channel, {trained_on} input is folded into {name}"
    # its channels differ, so grey images cannot be prepared for all at once
    if trained_on == "imagenet":
        scale, shift = _imagenet_affine(have)
        tensor, sign = SHIFTED[family]
        moved = (first * shift).sum((1, 2, 3))
        # A shift of every pixel is a shift of what the first layer puts out; padding alone makes a
        # difference.
        first, weights[tensor], after = first * scale, weights[tensor] + sign * moved, "symmetric"
        if family != "vit" and moved.any():
            note += ", exact except where the image's border is padded"
    if have != channels:
        first = first.sum(1, keepdim=True) if channels == 1 else first.expand(-1, 3, -1, -1) / 3
    weights[name] = first.contiguous()
    return weights, after, [note]


def _imagenet_affine(channels: int) -> tuple[Tensor, Tensor]:
    """Scale and shift, C x 1 x 1, from [-1, 1] to ImageNet's normalisation; grey stays as it is."""
    if channels != 3:
        return torch.ones(channels, 1, 1), torch.zeros(channels, 1, 1)
    std, mean = torch.tensor(IMAGENET_STD).view(3, 1, 1), torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    return 0.5 / std, (0.5 - mean) / std


def _fit_positions(path: Path, weights: Weights, config: dict[str, Any],
                   image_size: int) -> list[str]:
    patch, count = weights["patches.weight"].shape[-1], weights["positions"].shape[1]
    old, new = math.isqrt(count - 1), image_size // patch
    if image_size == old * patch:
        return []
    if image_size % patch or new < 1 or count != 1 + old**2:
        raise UserError(
            f"{path} cuts images into patches of {patch} px: take an image size that is a "
            f"multiple of it, not {image_size} px")
    config["patch_size"] = patch
    weights["positions"] = interpolate_positions(weights["positions"], old, new,
                                                 config.get("stretch", "corners"))
    return [f"position embeddings interpolated from {old} x {old} to {new} x {new} patches"]
