"""Pretraining by name, and finding what was pretrained before: one place for the recipes."""

from __future__ import annotations

import copy
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from helpers.common.environment import need_drive
from helpers.data.splits import Splits
from helpers.methods.recipes import learner, recipe, steps_setting
from helpers.models.encoder import Encoder
from helpers.models.weights.checkpoint import save_encoder
from helpers.settings import PRESETS, Settings
from helpers.training.callbacks import Compiled
from helpers.training.distributed import is_first, launched
from helpers.training.intervals import eval_interval, images_for_evaluation
from helpers.training.loader import BatchLoader
from helpers.training.monitor import Monitor
from helpers.training.runs import folder_of, fresh_encoder, images_of, run_mark, variant
from helpers.training.trainer import Hardware, fit


@dataclass
class Pretrained:
    """What a pretraining leaves behind: the encoder, the loss of every step and what the monitor
    saw."""

    encoder: Encoder
    path: Path
    losses: list[float] = field(default_factory=list)
    momentum: list[float] = field(default_factory=list)
    monitor: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def pretrain(method: str, splits: Splits, settings: Settings, *, encoder: Encoder | None = None,
             start: str = "scratch", resume: bool = True, stop_on_collapse: bool = False,
             devices: int = 1, nodes: int = 1, compiled: bool = False) -> Pretrained:
    """Train `method` on the unlabelled images and keep the encoder.

    Args:
        method: one of `METHODS`.
        encoder: a start other than random weights, described by the word `start`; a copy of it is
            trained.
        resume: go on from a checkpoint of the same run if there is one; a finished one is read
            back.
        stop_on_collapse: end the training when the representation collapses, not only warn. Asked
            for again, it stays ended; `find_or_pretrain` does not take its encoder.
        devices, nodes: GPUs (or CPU processes) per machine and machines that share every batch;
            where torchrun started this process, its numbers count.
        compiled: use torch.compile, where the machine has what it needs; the results differ by
            rounding.

    Returns:
        The encoder, in eval mode, and the curves; the encoder is also at `path`.
    """
    need_drive(settings.run_dir)
    devices, nodes = launched(devices, nodes)
    numbers = recipe(method, settings)
    steps = numbers["steps"]
    images = images_of(splits, settings)
    folder = folder_of(method, settings, start, images)
    loader = BatchLoader(splits.unlabeled, None, batch_size=numbers["batch_size"], steps=steps,
                         seed=settings.seed, device=settings.device)
    encoder = copy.deepcopy(encoder) or fresh_encoder(splits, settings)
    module = learner(method, encoder, settings, loader.steps_per_epoch)
    monitor = Monitor(splits.train, splits.val, eval_interval(splits, loader.batch_size, steps),
                      stop=stop_on_collapse, folder=folder / "logs",
                      limit=images_for_evaluation(loader.batch_size, steps))
    callbacks = [monitor, Compiled()] if compiled else [monitor]
    history = fit(module, loader, title=f"{method} on {splits.name}", seed=settings.seed,
                  callbacks=callbacks, folder=folder, resume=resume,
                  hardware=Hardware(devices, nodes))
    done = len(history.losses)
    momentum = [module.target_momentum(step) for step in range(1, done + 1)]
    path = folder / "encoder.safetensors"
    special = {"pictures": images} if images else {}
    if done < steps:
        special["stopped_of"] = steps
    if is_first():
        save_encoder(module.encoder, path, method=method, dataset=splits.name, steps=done,
                     seed=settings.seed, epochs=round(done / loader.steps_per_epoch),
                     preset=settings.preset, start=start,
                     knn_validation=round(monitor.rows[-1]["knn"], 4), run=run_mark(folder),
                     command=_command(method, splits, settings, start), **special)
    return Pretrained(module.encoder.eval(), path, history.losses, momentum, monitor.rows,
                      history.seconds)


def _command(method: str, splits: Splits, settings: Settings, start: str) -> str:
    """The line for a shell that makes such an encoder."""
    given = dict(dataset=splits.name, preset=settings.preset, encoder=settings.encoder, start=start,
                 batch_size=settings.batch_size, image_size=settings.image_size, seed=settings.seed)
    if variant(method, settings) != method:
        given |= dict(noise_sigma=settings.noise_sigma, noise_schedule=settings.noise_schedule)
    options = shlex.join(word for name, value in given.items() if value != "scratch"
                         for word in (f"--{name.replace('_', '-')}", str(value)))
    field = steps_setting(method)
    other = getattr(settings, field) != PRESETS[settings.preset][field]
    steps = f"FEWLABELS_{field.upper()}={getattr(settings, field)} " if other else ""
    return f"{steps}python -m helpers pretrain {method} {options}"
