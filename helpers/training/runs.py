"""What tells one pretraining from another: its recipe, data, start and seed, and so its folder."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from helpers.common.names import DATASETS
from helpers.data.splits import Splits
from helpers.methods.presets import NOISE_RAMPS, usual_noise
from helpers.methods.recipes import BYOLRecipe, DINORecipe
from helpers.models.encoder import Encoder, build
from helpers.settings import Settings

# The mark of a folder is made of the names that these fields had at first, so that earlier runs are
# found. Fields that came later count only where they differ from their defaults.
FIRST_NAMES = {"hidden_dim": "hidden", "projection_dim": "projection", "ema": "momentum",
               "bottleneck_dim": "bottleneck", "output_dim": "outputs", "local_crops": "parts"}
ALWAYS = {
    "byol": {"steps", "batch_size", "lr", "hidden_dim", "projection_dim", "ema"},
    "noise-byol": {"steps", "batch_size", "lr", "hidden_dim", "projection_dim", "ema", "noise",
                   "ramp"},
    "dino": {"steps", "batch_size", "lr", "local_crops"},
}
FIRST_NOISE = 0.1  # of the digits' views at first; they have none now


@dataclass(frozen=True)
class Run:
    """One pretraining. Another recipe, encoder, start or other images have another folder."""

    recipe: BYOLRecipe | DINORecipe
    settings: Settings
    start: str = "scratch"
    images: str = ""  # what `images_of` says of them
    file: Path | None = None  # the start's, if it was one; `start` tells it by name and content

    @cached_property
    def name(self) -> str:
        """The method, with its noise where that is not the usual one."""
        recipe, usual = self.recipe, usual_noise(self.settings.dataset)
        if recipe.method != "noise-byol":
            return recipe.method
        schedules = {ramp: name for name, ramp in NOISE_RAMPS.items()}
        schedule = schedules.get(recipe.ramp, "ramp{:g}-{:g}".format(*recipe.ramp))
        if recipe.noise == usual and schedule == "ramp":
            return recipe.method
        low, high = recipe.noise
        sigma = f"{low:g}" if low == high else f"{low:g}-{high:g}"
        return f"{recipe.method}_sigma{0 if recipe.noise == usual else sigma}_{schedule}"

    @cached_property
    def folder(self) -> Path:
        """Where its checkpoints, logs and encoder are."""
        recipe = self.recipe
        if self.settings.dataset == "digits":
            recipe = recipe.replace(views=_since_first_views(recipe.views))
        numbers = {**marked(recipe), "encoder": self.settings.encoder,
                   "size": self.settings.image_size, "start": self.start}
        if self.settings.precision != "auto":
            numbers["precision"] = self.settings.precision
        if self.images:
            numbers["pictures"] = self.images
        mark = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:8]
        return self.settings.checkpoints / f"{self.name}-{mark}"

    @property
    def mark(self) -> str:
        """What tells it from others on any machine: dataset, preset, seed, method and recipe."""
        usual = dataclasses.replace(self, settings=self.settings.replace(precision="auto"))
        return f"{usual.folder.parent.name}/{usual.folder.name}"


def marked(recipe: BYOLRecipe | DINORecipe) -> dict[str, Any]:
    """The fields of a recipe that count for its mark, under their first names."""
    numbers = {}
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if field.name in ALWAYS.get(recipe.method, {"steps"}) or value != field.default:
            numbers[FIRST_NAMES.get(field.name, field.name)] = value
    if isinstance(recipe, DINORecipe):
        low, high = recipe.global_scale
        numbers.pop("global_scale", None)
        numbers |= {"border": low} if high == 1 else {"border": low, "largest": high}
    return numbers


def _since_first_views(views: dict | None) -> dict | None:
    """What differs from the digits' first views, so that encoders of those are no clean ones."""
    changes = {"noise": 0.0, **(views or {})}
    if changes["noise"] == FIRST_NOISE:
        del changes["noise"]
    return changes or None


def runs_before(method: str, settings: Settings) -> list[Path]:
    """Run folders of a method and dataset that hold a checkpoint, newest first, of any recipe,
    seed and preset, in the settings' `run_dir` and the usual one."""
    name = glob.escape(Path(settings.dataset).name)
    usual = Settings.resolve(dataset=settings.dataset, device=settings.device)
    places = {settings.run_dir, usual.run_dir}
    found = [path for place in places for path in place.glob(f"{name}-*/{method}[-_]*/[!.]*.ckpt")]
    newest_first = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    return list(dict.fromkeys(path.parent for path in newest_first))


def fresh_encoder(splits: Splits, settings: Settings, like: Encoder | None = None) -> Encoder:
    """The settings' encoder, or one `like` another; random weights that depend on the seed."""
    torch.manual_seed(settings.seed)
    if like is not None:
        return build(**like.config)
    return build(settings.encoder, channels=splits.channels, image_size=splits.image_size)


def images_of(splits: Splits, settings: Settings) -> str:
    """What tells a folder's images from others: shape and a checksum; "" for a named dataset."""
    if settings.dataset in DATASETS:
        return ""
    images = splits.unlabeled
    some = images[::max(1, len(images) // 256)].contiguous()
    return f"{'x'.join(map(str, images.shape))}-{zlib.crc32(some.numpy()):08x}"
