"""What `python -m helpers features` does: features of a dataset, kept on the disk."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from helpers.cli.parsing import split_of
from helpers.common.errors import UserError
from helpers.data.latents import Latents, made_by, read_latents, write_latents
from helpers.data.loading import load_for
from helpers.evaluation.features import extract_features
from helpers.models.encoder import Encoder
from helpers.models.weights.hub import for_channels, named_encoder
from helpers.settings import Settings


def features(options: argparse.Namespace) -> None:
    """`features IMAGES --weights NAME --out FOLDER`: write them, and say what they take."""
    encoder, _ = named_encoder(options.weights, options.image_size)
    settings = Settings.resolve(dataset=options.data, seed=options.seed, device=options.device,
                                image_size=encoder.config["image_size"], split=split_of(options))
    splits = load_for(settings, labelled=False)
    encoder = for_channels(encoder, options.weights, splits.channels).eval().to(settings.device)
    made = made_by(encoder, options.weights, options.dtype)
    counts = write_latents(options.out, splits, made,
                           lambda images: extract_features(encoder, images))
    latents = read_latents(options.out)
    size = sum(path.stat().st_size for path in os.scandir(options.out) if path.is_file())
    pixels = len(latents.files) * splits.unlabeled[0].numel()
    print(splits)
    print(f"{options.out}: {len(latents.files):,} features of {latents.width} numbers, "
          f"{size / 1e6:,.1f} MB (the pixels: {pixels / 1e6:,.1f} MB); "
          + ", ".join(f"{count:,} {what}" for what, count in counts.items()))


def latents_of(folder: str | Path, weights: str | None = None) -> tuple[Latents, Encoder]:
    """The features in a folder, and their encoder, by the name that it was called or by another.

    Raises:
        UserError: they are of other weights than these, or not whole.
    """
    latents = read_latents(folder)
    made = latents.made
    encoder, _ = named_encoder(weights or made.weights, made.image_size, made.channels)
    if made_by(encoder, made.weights).sha256 != made.sha256:
        raise UserError(f"{folder} holds features of {made.weights}, not of "
                        f"{weights or 'what is called so now'}: name those weights, or write "
                        "features of these into another folder")
    return latents, encoder.eval()
