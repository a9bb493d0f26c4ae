"""The best listed encoder for photographs that this machine can run in minutes."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from helpers.common.environment import has_network
from helpers.common.errors import UserError
from helpers.data.listing import count_files
from helpers.methods.presets import RATES
from helpers.models.encoder import Encoder
from helpers.models.vit import PRESETS, Block
from helpers.models.weights import hub, registry
from helpers.settings import Settings
from helpers.training.released import FOR_FOLDERS, PHOTOGRAPHS

# best first by their makers' kNN on ImageNet; how many times as long as a ViT-S/14 of 224 pixels
BEST = {"dinov2-vitb14": 3.9, "dinov2-vits14": 1.0}
MOST_SECONDS = 300
TOKENS, IMAGES = 257, 8  # of 224 pixels in patches of 14, and one class token; in a trial


def best_encoder(passes: int, device: str) -> tuple[str, str]:
    """The name of the encoder, "" for none, and why, in words.

    Args:
        passes: how many images will go through it; a backward pass counts as two more.
        device: that it runs on.
    """
    seconds = passes * _seconds_an_image(device)
    fast = fast_enough(seconds)
    if not fast:
        last = list(BEST)[-1]
        return "", f"{last} would take about {max(1, BEST[last] * seconds / 60):,.0f} minutes here"
    entry = registry.entry(fast[0])
    if not hub.at_hand(entry.name) and not has_network():
        return "", f"{entry.name} ({entry.size}) is not on this disk, and there is no network"
    return entry.name, (f"the best of the list that takes minutes here ({entry.size}, about "
                        f"{BEST[entry.name] * seconds:,.0f} s for what is done with it)")


def fast_enough(seconds: float) -> list[str]:
    """Those of `BEST` that a machine can run in minutes, best first; `seconds` are what a ViT-S/14
    takes for all that is done with it."""
    return [name for name, times in BEST.items() if times * seconds <= MOST_SECONDS]


def passes_for(use: str, images: int, settings: Settings) -> int:
    """How many images a notebook sends through its encoder and the random one beside it.

    Args:
        use: "features" or "fine-tuning".
        images: that there are, in all parts.
    """
    if use == "features":
        return 2 * images
    trainings = 2 * (len(RATES) + settings.draws * len(settings.label_counts))  # notebook 04
    return 3 * trainings * settings.finetune_steps * settings.batch_size


def fetched_best(passes: int, device: str, who: str) -> str:
    """The name of the best encoder (see `best_encoder`), whose file is here now; "" where there is
    none. It says which and why, after the word for `who` asks."""
    name, why = best_encoder(passes, device)
    if not name:
        print(f"{who}: none of DINOv2's encoders is taken, for {why}")
        return ""
    print(f"{who}: {name} is taken, {why}: {registry.entry(name).what}")
    try:
        hub.fetch(name)
    except UserError as problem:
        print(f"{who}: {problem}")
        return ""
    return name


def photo_encoder(name: str, folder: str | Path, settings: Settings) -> Encoder:
    """What looks at a folder of photographs, in eval mode on the settings' device.

    Args:
        name: of listed weights, or a file; "auto": the best (see `best_encoder`) that this machine
            runs on all of them in minutes, else the released one; in a smoke run the smallest.

    Raises:
        UserError: there are no such weights.
    """
    if name == "auto":
        name = PHOTOGRAPHS["byol"]
        if settings.preset != "smoke":
            images = count_files(folder)
            name = fetched_best(images, settings.device, "your photos") or FOR_FOLDERS
    return hub.named_encoder(name)[0].eval().to(settings.device)


def _seconds_an_image(device: str) -> float:
    """How long a ViT-S/14 of 224 pixels takes for an image, from a trial of one of its blocks."""
    sizes = PRESETS["vit_small"]
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        block = Block(sizes["width"], sizes["heads"], 4, 0.0).eval().to(device)
        tokens = torch.zeros(IMAGES, TOKENS, sizes["width"], device=device)
        took = []
        for _ in range(3):  # the first one warms up
            begun = time.perf_counter()
            block(tokens).sum().item()
            took.append(time.perf_counter() - begun)
    return sizes["depth"] * min(took) / IMAGES
