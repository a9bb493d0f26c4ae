"""What `python -m helpers features` does: features of a dataset, kept on the disk."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from helpers.common.errors import UserError
from helpers.data.latents import Latents, Made, read_latents, write_latents
from helpers.data.loading import load
from helpers.evaluation.features import extract_features
from helpers.models.weights.hub import named_encoder, weights_file
from helpers.models.weights.registry import sha256
from helpers.settings import Settings


def features(options: argparse.Namespace) -> None:
    """`features IMAGES --weights NAME --out FOLDER`: write them, and say what they take."""
    encoder, _ = named_encoder(options.weights, options.image_size)
    settings = Settings.resolve(dataset=options.data, seed=options.seed, device=options.device,
                                image_size=encoder.config["image_size"])
    splits = load(settings.dataset, image_size=settings.image_size, seed=settings.seed,
                  data_dir=settings.data_dir, labelled=False)
    if encoder.config["channels"] != splits.channels:
        encoder, report = named_encoder(options.weights, settings.image_size, splits.channels)
        print(report, file=sys.stderr)  # what was folded
    encoder.eval().to(settings.device)
    made = Made(options.weights, sha256(weights_file(options.weights)), settings.image_size,
                splits.channels, options.dtype)
    counts = write_latents(options.out, splits, made,
                           lambda images: extract_features(encoder, images))
    latents = read_latents(options.out)
    size = sum(path.stat().st_size for path in os.scandir(options.out) if path.is_file())
    pixels = len(latents.files) * splits.unlabeled[0].numel()
    print(splits)
    print(f"{options.out}: {len(latents.files):,} features of {latents.width} numbers, "
          f"{size / 1e6:,.1f} MB (the pixels: {pixels / 1e6:,.1f} MB); "
          + ", ".join(f"{count:,} {what}" for what, count in counts.items()))


def latents_of(folder: str | Path, weights: str | None) -> Latents:
    """The features in a folder.

    Raises:
        UserError: they are of other weights than these, or not whole.
    """
    latents = read_latents(folder)
    if weights and sha256(weights_file(weights)) != latents.made.sha256:
        raise UserError(f"{folder} holds features of {latents.made.weights}, not of {weights}: "
                        "name those weights, or write features of these into another folder")
    return latents
