"""How fast: beside others, in several ways, and what the plan of the notebooks thinks of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks import throughput
from benchmarks.on_gpu.record import Record
from benchmarks.on_gpu.sizes import Task, deepmind, options_of, resized
from helpers.cli.cost import MACHINES
from helpers.cli.work import Work
from helpers.common.compute import precision
from helpers.methods.build import build_method
from helpers.methods.presets import recipe_for
from helpers.settings import Settings
from helpers.training.loader import BatchLoader
from helpers.training.runs import fresh_encoder
from helpers.training.trainer import Hardware, fit

FEWER = {"textbook": 16}  # times as few steps, since each takes so long
STEPS = 48  # of the others on a GPU, those in which a contender is timed


@dataclass(frozen=True)
class Variant:
    """A way to train that may be the quickest."""

    name: str
    half: str
    batch: int
    view: int
    compiled: bool = False


def side_by_side(record: Record, task: Task) -> None:
    """Images a second of ours, lightly's and the plain loop, and of ours without any views."""
    steps = STEPS if task.device == "cuda" else task.sizes.timed
    options = options_of(task, steps)
    images = resized(task.splits.unlabeled, options.size, throughput.images_for(options))
    for name, contender in throughput.CONTENDERS.items():
        own = options_of(task, max(2, steps // FEWER.get(name, 1)))
        record.attempt("side by side", f"{name}, images/s",
                       rate_of, contender, images, own)


def rate_of(contender: object, images: torch.Tensor, options: object) -> float:
    """Images a second of one contender."""
    torch.manual_seed(0)
    return round(options.batch / contender(images, options), 1)


def variants(record: Record, task: Task) -> tuple[Variant, float] | None:
    """Images a second of BYOL's step in several ways; the quickest of those that train the same."""
    sizes, own = task.sizes, precision(task.device)
    usual = Variant("as it is", own, sizes.batch, sizes.view)
    tried = [usual]
    if task.device == "cuda":
        tried += [Variant("fp16", "16-mixed", sizes.batch, sizes.view),
                  Variant("twice the batch", own, 2 * sizes.batch, sizes.view),
                  Variant("views as large as images", own, sizes.batch, sizes.image),
                  Variant("compiled", own, sizes.batch, sizes.view, True),
                  Variant("fp32", "32-true", sizes.batch, sizes.view)]
    found = {variant: record.attempt("variants", f"{variant.name}, images/s", variant_rate, task,
                                     variant) for variant in tried}
    alike = {each: rate for each, rate in found.items()
             if rate and (each.batch, each.view) == (usual.batch, usual.view)}
    return max(alike.items(), key=lambda item: item[1], default=None)


def variant_rate(task: Task, variant: Variant) -> float:
    """Images a second of a few steps."""
    options = options_of(task, task.sizes.timed)
    clock = throughput.Clock(options)
    module = deepmind(task, clock.last, batch_size=variant.batch, views={"size": variant.view})
    loader = BatchLoader(task.splits.unlabeled, None, batch_size=variant.batch, steps=clock.last,
                         device=task.device)
    fit(module, loader, callbacks=[clock],
        hardware=Hardware(half=variant.half, compiled=variant.compiled))
    return round(variant.batch / clock.seconds, 1)


def plan(record: Record, task: Task) -> None:
    """Milliseconds of a step of the preset `gpu`, beside what the cost model says of a T4."""
    chosen = Settings.resolve(preset="gpu", dataset=task.settings.dataset, device=task.device)
    for method in ("byol", "noise-byol", "dino"):
        work = Work(chosen)
        work.pretraining(method)
        said = 1000 * work.trainings[0].step_seconds(MACHINES["t4"])
        record.add("plan", **{f"{method}, ms a step by the cost model of a T4": round(said, 1)})
        record.attempt("plan", f"{method}, ms a step", step_milliseconds, task, chosen, method)


def step_milliseconds(task: Task, chosen: Settings, method: str) -> float:
    """Of a step of a method with the settings' recipe."""
    clock = throughput.Clock(options_of(task, task.sizes.timed))
    recipe = recipe_for(method, chosen).replace(steps=clock.last)
    images = resized(task.splits.unlabeled, chosen.image_size, 2 * recipe.batch_size)
    encoder = fresh_encoder(task.splits, task.settings.replace(encoder=chosen.encoder))
    loader = BatchLoader(images, None, batch_size=recipe.batch_size, steps=clock.last,
                         device=task.device)
    fit(build_method(recipe, encoder, chosen), loader, callbacks=[clock])
    return round(1000 * clock.seconds, 1)
