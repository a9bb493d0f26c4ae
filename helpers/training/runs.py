"""TODO: docstring."""

from __future__ import annotations

import glob
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import torch

from helpers.common.names import DATASETS
from helpers.data.splits import Splits
from helpers.methods.recipes import recipe
from helpers.models.encoder import Encoder, build
from helpers.settings import Settings


def other_runs(method: str, settings: Settings) -> list[Path]:
    """Run folders of a method and dataset that hold a checkpoint, newest first: any recipe, seed
    and preset.

    Looked through are the settings' `run_dir` and the usual one.
    """
    name = glob.escape(Path(settings.dataset).name)
    places = {
        settings.run_dir,
        Settings.resolve(dataset=settings.dataset, device=settings.device).run_dir
    }
    found = [path for place in places for path in place.glob(f"{name}-*/{method}[-_]*/[!.]*.ckpt")]
    newest_first = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    return list(dict.fromkeys(path.parent for path in newest_first))


def _unfit(meta: dict[str, Any], images: str) -> str:
    """Why an encoder that says this of itself is not the one for these images; "" if it is."""
    if meta.get("pictures", "") != images:
        return ("it has learned from other images" if "pictures" in meta else
                "it does not say from which images it has learned")
    if "stopped_of" in meta:
        return (f"its training was stopped by a collapse at step {meta['steps']} of "
                f"{meta['stopped_of']}")
    return ""


def fresh_encoder(splits: Splits, settings: Settings, like: Encoder | None = None) -> Encoder:
    """The settings' encoder, or one built `like` another, with random weights that depend on the
    seed alone."""
    torch.manual_seed(settings.seed)
    if like is not None:
        return build(**like.config)
    return build(settings.encoder, channels=splits.channels, image_size=splits.image_size)


def images_of(splits: Splits, settings: Settings) -> str:
    """What tells the images of a folder from others: number, shape, checksum of some 256; "" for a
    named dataset."""
    if settings.dataset in DATASETS:
        return ""
    images = splits.unlabeled
    some = images[::max(1, len(images) // 256)].contiguous()
    return f"{'x'.join(map(str, images.shape))}-{zlib.crc32(some.numpy()):08x}"


def folder_of(method: str, settings: Settings, start: str = "scratch", images: str = "") -> Path:
    """The run folder of a method; another recipe, encoder or start has another one, and so have
    other images.

    `images` is what `images_of` says of them.
    """
    numbers = {
        **recipe(method, settings), "encoder": settings.encoder, "size": settings.image_size,
        "start": start
    }
    if images:
        numbers["pictures"] = images
    mark = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:8]
    return settings.checkpoints / f"{variant(method, settings)}-{mark}"


def variant(method: str, settings: Settings) -> str:
    """A method's name, with its noise where that is not the usual one: such runs are not taken for
    one another."""
    if method == "noise-byol" and (settings.noise_sigma or settings.noise_schedule != "ramp"):
        return f"{method}_sigma{settings.noise_sigma:g}_{settings.noise_schedule}"
    return method


def run_mark(folder: Path) -> str:
    """What tells one run from another on any machine: dataset, preset, seed, method and recipe."""
    return f"{folder.parent.name}/{folder.name}"
