"""Which encoder goes on: one that was made before, a released one, or one that is trained now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.common.environment import need_drive
from helpers.common.names import DATASETS
from helpers.data.splits import Splits
from helpers.methods.presets import recipe_for, title
from helpers.models.encoder import Encoder
from helpers.models.weights import registry as manifest
from helpers.models.weights.checkpoint import facts, load_encoder
from helpers.models.weights.choose import AUTO, TRAIN, Choice
from helpers.models.weights.hub import fetch
from helpers.settings import PRESETS, Settings
from helpers.training.pretraining import pretrain
from helpers.training.runs import Run, images_of

PHOTOGRAPHS = "byol-slim-imagenette"  # released weights that know photographs
# pixels, of the images that they are taken for: from the side of their views up
KNOWN_SIDES = (32, 64)


def find_or_pretrain(method: str, splits: Splits, settings: Settings) -> Encoder:
    """The encoder that `method` has already made, or one made now at quick scale; it says which.

    Looked for are, in this order: the newest in the run folder of the settings' architecture, or of
    another start, that has learned from these images and did not stop on a collapse; a released one
    that was made by exactly this run (dataset, preset, seed and recipe).

    Returns:
        The encoder in eval mode on the settings' device.
    """
    run = Run(recipe_for(method, settings), settings, images=images_of(splits, settings))
    encoder, path = _earlier(run, splits, say=True)
    if encoder is not None:
        print(f"{run.name}: the encoder of an earlier run, {path}")
    else:
        encoder = _released(run)
    if encoder is None:
        recipe = run.recipe.replace(steps=min(run.recipe.steps, _quick_steps(run)))
        print(
            f"{run.name}: no encoder in {settings.checkpoints} yet, so one is trained now for "
            f"{recipe.steps:,} steps (`python -m helpers pretrain {method}` trains it in full)")
        encoder = pretrain(splits, settings, recipe).encoder
    return encoder.eval().to(settings.device)


def _quick_steps(run: Run) -> int:
    """For how many steps the quick preset trains such an encoder."""
    quick = PRESETS["quick"]
    short = run.settings.replace(pretrain_steps=quick["pretrain_steps"],
                                 dino_steps=quick["dino_steps"])
    return recipe_for(run.recipe.method, short).steps


def chosen_encoder(choice: Choice, splits: Splits, settings: Settings) -> tuple[Encoder, str]:
    """The encoder that was chosen, in eval mode on the settings' device, and what plots and tables
    call it.

    "auto" is BYOL's encoder as `find_or_pretrain` has it, except for a folder of photographs that
    no earlier run has an encoder for: there it is the released one for photographs, if these images
        are of a size that it knows.
    """
    if choice.kind == AUTO:
        choice = _usual(splits, settings)
    encoder = choice.encoder(settings.encoder, splits.image_size, splits.channels)
    if encoder is not None:
        print(
            f"going on with {choice.label}, a {encoder.name} with {encoder.num_features} features")
        return encoder.eval().to(settings.device), choice.label
    encoder = find_or_pretrain("byol", splits, settings)
    return encoder, title("byol", encoder.meta.get("start", "scratch"))


def _usual(splits: Splits, settings: Settings) -> Choice:
    """What "auto" stands for; it says so where that is not notebook 02's encoder."""
    low, high = KNOWN_SIDES
    known = splits.channels == 3 and low <= splits.image_size <= high
    if settings.dataset in DATASETS or not known or settings.encoder != "slim":
        return Choice(TRAIN)
    run = Run(recipe_for("byol", settings), settings, images=images_of(splits, settings))
    if _earlier(run, splits)[0] is not None:
        return Choice(TRAIN)
    print(
        f"{splits.name} is a folder of photographs and no encoder in {settings.checkpoints} has "
        "learned from it, so "
        f"the released {PHOTOGRAPHS} is taken, which has learned from photographs for longer than "
        "one would be "
        "trained here now (notebook 02 trains one on your own images)")
    return Choice("listed", PHOTOGRAPHS)


def _earlier(run: Run, splits: Splits,
             say: bool = False) -> tuple[Encoder, Path] | tuple[None, None]:
    settings = run.settings
    need_drive(settings.run_dir)
    found = settings.checkpoints.glob(f"{run.name}-*/encoder.safetensors")
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        encoder = load_encoder(path)
        # Another start brings its own architecture; without one it has to be the settings'.
        started = encoder.meta.get("start", "scratch") != "scratch"
        takes = (encoder.config["channels"], encoder.config["image_size"])
        if takes != (splits.channels, splits.image_size):
            continue
        if not started and encoder.name != settings.encoder:
            continue
        reason = _unfit(encoder.meta, run.images)
        if not reason:
            return encoder, path
        if say:
            print(f"{run.recipe.method}: {path} is not taken, for {reason}")
    return None, None


def _unfit(meta: dict[str, Any], images: str) -> str:
    """Why an encoder that says this of itself is not the one for these images; "" if it is."""
    if meta.get("pictures", "") != images:
        return ("it has learned from other images" if "pictures" in meta else
                "it does not say from which images it has learned")
    if "stopped_of" in meta:
        return (f"its training was stopped by a collapse at step {meta['steps']} of "
                f"{meta['stopped_of']}")
    return ""


def _released(run: Run) -> Encoder | None:
    if run.settings.dataset not in DATASETS:  # a folder of images may bear any name
        return None
    for name, entry in manifest.entries().items():
        path = manifest.kept(entry)
        if path and facts(path).get("run") == run.mark:
            print(f"{run.recipe.method}: no encoder in {run.settings.checkpoints} yet, so the "
                  f"released encoder {name} is taken, which the same run has made")
            return load_encoder(fetch(name))
    return None
