"""Which encoder goes on: one that was made before, a released one, or one that is trained now."""

from __future__ import annotations

from typing import Any

from helpers.common.environment import need_drive
from helpers.common.names import DATASETS
from helpers.data.splits import Splits
from helpers.methods.presets import recipe_for, short_steps, title
from helpers.models.encoder import Encoder
from helpers.models.weights import registry as manifest
from helpers.models.weights.checkpoint import load_encoder
from helpers.models.weights.choose import AUTO, PLAIN, PRETRAINED, Choice
from helpers.models.weights.hub import at_hand, named_encoder
from helpers.settings import Settings
from helpers.training.best import fetched_best, passes_for
from helpers.training.pretraining import pretrain
from helpers.training.recipe_file import NAME as RECIPE
from helpers.training.recipe_file import read_recipe
from helpers.training.released import released_name
from helpers.training.runs import Run, images_of

# Yes and no to "was the backbone pretrained?": where such an encoder began, and the Self-Learner
# project's
BEGAN = {PRETRAINED: ("imagenet", "self-learner-byol-imagenet"),
         PLAIN: ("scratch", "self-learner-byol")}


def find_or_pretrain(method: str, splits: Splits, settings: Settings,
                     released: bool = True, use: str = "", any_method: bool = False) -> Encoder:
    """The encoder that `method` has already made, a released one, or one made now; it says which.

    Looked for are, in this order: the newest in the run folder of the settings' architecture, or of
    another start, that has learned from these images and did not stop on a collapse; an interrupted
    run, which is gone on with; a released one that was made by exactly this run (dataset, preset,
    seed and recipe); the best listed one for a folder of photographs, if there is a use for it;
    the released one for photographs, if these are of a size that it knows.

    Args:
        released: whether one for photographs may be taken.
        use: of the encoder, see `chosen_encoder`.
        any_method: whether that for photographs may be another method's, where it is better.

    Returns:
        The encoder in eval mode on the settings' device.
    """
    recipe = recipe_for(method, settings, len(splits.unlabeled))
    run = Run(recipe, settings, images=images_of(splits, settings))
    encoder = (_earlier(run, splits) or _gone_on_with(run, splits)
               or (_best(run, splits, use) if released else None)
               or _released(run, splits, released, any_method) or _made_now(run, splits))
    return encoder.eval().to(settings.device)


def _made_now(run: Run, splits: Splits) -> Encoder:
    """An encoder trained now, for no more steps than a preset of minutes has."""
    steps = min(run.recipe.steps, short_steps(run.recipe.method, run.settings))
    whole = "" if steps == run.recipe.steps else f", a stand-in for {run.recipe.steps:,}"
    print(f"{run.name}: no encoder in {run.settings.checkpoints} yet, so one is trained now for "
          f"{steps:,} steps{whole} (`python -m helpers pretrain {run.recipe.method}` trains it in "
          "full)")
    return pretrain(splits, run.settings, run.recipe.replace(steps=steps)).encoder


def chosen_encoder(choice: Choice, splits: Splits, settings: Settings,
                   use: str = "") -> tuple[Encoder, str]:
    """The encoder that was chosen, in eval mode on the settings' device, and its name in plots.

    "auto" is BYOL's encoder as `find_or_pretrain` has it, or a better one for photographs; "train"
    is never a listed one for these. "pretrained backbone" and "random start" are BYOL's that began
    so: that of the run folder, else the Self-Learner project's; the latter has to be here already,
    else one is trained.

    Args:
        use: "features" or "fine-tuning": for a folder of photographs "auto" may then be the best
            listed encoder that this machine can use so in minutes.
    """
    if choice.kind in BEGAN:
        encoder = _that_began(choice.kind, splits, settings)
        if encoder is not None:
            return encoder.eval().to(settings.device), title("byol", BEGAN[choice.kind][0])
        choice = Choice.of(BEGAN[choice.kind][1])
    encoder = choice.encoder(settings.encoder, splits.image_size, splits.channels)
    if encoder is not None:
        print(f"going on with {choice.label}, a {encoder.name} with {encoder.num_features} "
              "features")
        return encoder.eval().to(settings.device), choice.label
    encoder = find_or_pretrain("byol", splits, settings, released=choice.kind == AUTO, use=use,
                               any_method=True)
    taken = encoder.meta.get("released")
    return encoder, taken or title("byol", encoder.meta.get("start", "scratch"))


def _that_began(kind: str, splits: Splits, settings: Settings) -> Encoder | None:
    """BYOL's encoder that began as `BEGAN` says; None where the listed one is to be taken."""
    start, listed = BEGAN[kind]
    recipe = recipe_for("byol", settings, len(splits.unlabeled))
    run = Run(recipe, settings, images=images_of(splits, settings))
    encoder = _earlier(run, splits, start)
    if encoder is None and kind == PLAIN and not at_hand(listed):
        encoder = _gone_on_with(run, splits) or _made_now(run, splits)
    return encoder


def _best(run: Run, splits: Splits, use: str) -> Encoder | None:
    """The best listed encoder for a folder of photographs, None where there is none; it says why.
    """
    settings = run.settings
    of_a_folder = settings.dataset not in DATASETS and settings.preset != "smoke"
    if not use or not of_a_folder or splits.channels != 3:
        return None
    images = sum(len(part) for part in (splits.train, splits.val, splits.test))
    name = fetched_best(passes_for(use, images, settings), settings.device, run.name)
    if not name:
        return None
    encoder = Choice.of(name).encoder("", splits.image_size, splits.channels)
    encoder.meta["released"] = name
    return encoder


def _released(run: Run, splits: Splits, photographs: bool, any_method: bool) -> Encoder | None:
    """The released encoder that stands for a run; it says why."""
    name = released_name(run, splits.channels, splits.image_size, photographs, any_method)
    if not name:
        return None
    encoder, _ = named_encoder(name, splits.image_size)
    why = ", which the same run has made"
    if encoder.meta.get("run") != run.mark:
        encoder.meta["released"] = name
        why = f" ({manifest.entry(name).what}; its card: {manifest.card(name)})"
    print(f"{run.name}: no encoder in {run.settings.checkpoints} yet, so the released encoder "
          f"{name} is taken{why}")
    return encoder


def _gone_on_with(run: Run, splits: Splits) -> Encoder | None:
    """The encoder of the newest run of these settings that was interrupted, trained to its end."""
    files = run.settings.checkpoints.glob(f"{run.name}-*/{RECIPE}")
    newest_first = sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)
    recipes = [type(run.recipe)(**read_recipe(file)["recipe"]) for file in newest_first]
    for recipe in [run.recipe, *recipes]:
        folder = Run(recipe, run.settings, images=run.images).folder
        if list(folder.glob("[!.]*.ckpt")) and not (folder / "encoder.safetensors").exists():
            print(f"{run.name}: going on with the interrupted run {folder}, {recipe.steps:,} steps "
                  "in all")
            return pretrain(splits, run.settings, recipe).encoder
    return None


def _earlier(run: Run, splits: Splits, start: str = "") -> Encoder | None:
    """The newest encoder of the run folder that fits, and began so ("" is anyhow); it says which.
    """
    settings = run.settings
    need_drive(settings.run_dir)
    found = settings.checkpoints.glob(f"{run.name}-*/encoder.safetensors")
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        encoder = load_encoder(path)
        # Another start brings its own architecture; without one it has to be the settings'.
        began = encoder.meta.get("start", "scratch")
        takes = (encoder.config["channels"], encoder.config["image_size"])
        if takes != (splits.channels, splits.image_size):
            continue
        if start not in ("", began):
            continue
        if began == "scratch" and encoder.name != settings.encoder:
            continue
        reason = _unfit(encoder.meta, run.images)
        if not reason:
            print(f"{run.name}: the encoder of an earlier run, {path}")
            return encoder
        print(f"{run.recipe.method}: {path} is not taken, for {reason}")
    return None


def _unfit(meta: dict[str, Any], images: str) -> str:
    """Why an encoder that says this of itself is not the one for these images; "" if it is."""
    if meta.get("pictures", "") != images:
        return ("it has learned from other images" if "pictures" in meta else
                "it does not say from which images it has learned")
    if "stopped_of" in meta:
        return (f"its training was stopped by a collapse at step {meta['steps']} of "
                f"{meta['stopped_of']}")
    return ""
