"""Pretraining by a recipe: `pretrain(splits, settings, recipe)`."""

from __future__ import annotations

import copy
import shlex
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.common.environment import need_drive
from helpers.common.files import one_at_a_time
from helpers.data.splits import Splits
from helpers.methods.build import build_method
from helpers.methods.presets import recipe_for
from helpers.methods.recipes import BYOLRecipe, DINORecipe
from helpers.models.encoder import Encoder
from helpers.models.weights.checkpoint import save_encoder
from helpers.models.weights.choose import Choice
from helpers.settings import PRESETS, Settings
from helpers.training.distributed import is_first, settle_rank
from helpers.training.loader import BatchLoader
from helpers.training.monitor import Monitor, eval_interval, images_for_evaluation
from helpers.training.recipe_file import write_recipe
from helpers.training.runs import Run, fresh_encoder, images_of
from helpers.training.trainer import Hardware, fit


@dataclass
class Pretrained:
    """What a pretraining leaves behind: the encoder (in eval mode, and at `path`), loss and target
    momentum of every step, the rows of the `Monitor` and the seconds."""

    encoder: Encoder
    path: Path
    losses: list[float]
    momentum: list[float]
    monitor: list[dict[str, float]]
    seconds: float


def pretrain(splits: Splits, settings: Settings, recipe: BYOLRecipe | DINORecipe, *,
             encoder: Encoder | None = None, start: Choice | str = "scratch", resume: bool = True,
             stop_on_collapse: bool = False, save_every: int = 0,
             hardware: Hardware | None = None) -> Pretrained:
    """Train on the unlabelled images by a recipe and keep the encoder.

    In the run's folder `recipe.yaml` lies beside the encoder and starts the same run again.

    Args:
        recipe: the method and its numbers; `recipe_for(method, settings)` is the preset's.
        encoder: a start other than random weights, of which a copy is trained.
        start: where that came from, as it was chosen or in a word.
        resume: go on from a checkpoint of the same run if there is one; a finished one is read
            back.
        stop_on_collapse: end the training when the representation collapses, not only warn. Asked
            for again, it stays ended; `find_or_pretrain` does not take its encoder.
        save_every: epochs after each of which a checkpoint stays; 0: none does.
    """
    need_drive(settings.run_dir)
    hardware = hardware or Hardware(half=settings.precision)
    settle_rank(hardware.devices, hardware.nodes)
    word, file = (start.start, start.path) if isinstance(start, Choice) else (start, None)
    run = Run(recipe, settings, word, images_of(splits, settings), file)
    steps, batch_size = recipe.steps, recipe.batch_size
    loader = BatchLoader(splits.unlabeled, None, batch_size=batch_size, steps=steps,
                         seed=settings.seed, device=settings.device)
    encoder = copy.deepcopy(encoder) or fresh_encoder(splits, settings)
    encoder.take_views_of(splits.image_size)
    module = build_method(recipe, encoder, settings, loader.steps_per_epoch)
    monitor = Monitor(splits.train, splits.val, eval_interval(splits, batch_size, steps),
                      stop=stop_on_collapse, folder=run.folder / "logs",
                      limit=images_for_evaluation(batch_size, steps))
    with _alone_in(run.folder):
        if is_first():
            write_recipe(run)
        history = fit(module, loader, title=f"{recipe.method} on {splits.name}",
                      seed=settings.seed, callbacks=[monitor], folder=run.folder, resume=resume,
                      save_every=save_every, hardware=hardware)
        done = len(history.losses)
        path = run.folder / "encoder.safetensors"
        if is_first():
            epochs = round(done / loader.steps_per_epoch)
            facts = _facts(run, splits, done, epochs)
            if len(splits.train):
                facts["knn_validation"] = round(monitor.rows[-1]["knn"], 4)
            save_encoder(module.encoder, path, **facts)
    momentum = [module.target_momentum(step) for step in range(done)]
    return Pretrained(module.encoder.eval(), path, history.losses, momentum, monitor.rows,
                      history.seconds)


def _alone_in(folder: Path) -> AbstractContextManager[None]:
    """Keeps other trainings out of a run's folder; the processes of this one come in together."""
    if not is_first():
        return nullcontext()
    return one_at_a_time(folder, f"another training is at work in {folder}: this one waits for it, "
                         "and goes on from what it leaves")


def _facts(run: Run, splits: Splits, done: int, epochs: int) -> dict[str, Any]:
    """What an encoder says of the run that made it."""
    settings = run.settings
    facts = dict(method=run.recipe.method, dataset=splits.name, steps=done, seed=settings.seed,
                 epochs=epochs, preset=settings.preset, start=run.start, run=run.mark,
                 command=_command(run, splits))
    if run.images:
        facts["pictures"] = run.images
    if done < run.recipe.steps:
        facts["stopped_of"] = run.recipe.steps
    return facts


def _command(run: Run, splits: Splits) -> str:
    """The line for a shell that makes such an encoder."""
    settings = run.settings
    options = dict(dataset=splits.name, preset=settings.preset, encoder=settings.encoder,
                   start=run.file or run.start, image_size=settings.image_size, seed=settings.seed)
    if run.start == "scratch":
        del options["start"]
    if settings.precision != "auto":
        options["precision"] = settings.precision
    for part in ("train", "val", "test"):
        if getattr(settings.split, part) is not None:
            options[f"split_{part}"] = f"{getattr(settings.split, part):g}"
    if settings.split.classes:
        options["classes"] = ",".join(settings.split.classes)
    usual = recipe_for(run.recipe.method, preset_settings(settings))
    for name, value in vars(run.recipe).items():
        if name == "views":
            options |= {f"views.{each}": one for each, one in (value or {}).items()}
        elif value != getattr(usual, name):
            options[name] = value
    words = ["python", "-m", "helpers", "pretrain", run.recipe.method]
    for name, value in options.items():
        values = value if isinstance(value, list | tuple) else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return shlex.join(words)


def preset_settings(settings: Settings) -> Settings:
    """The settings with the preset's own steps, batch size and noise."""
    preset = PRESETS[settings.preset]
    return settings.replace(pretrain_steps=preset["pretrain_steps"],
                            dino_steps=preset["dino_steps"], batch_size=preset["batch_size"],
                            noise_sigma=0.0, noise_schedule="ramp")
