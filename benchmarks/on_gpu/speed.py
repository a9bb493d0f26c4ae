"""How fast: beside others, in several ways, and what the plan of the notebooks thinks of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytorch_lightning as pl
import torch

from benchmarks import throughput
from benchmarks.on_gpu.record import Record
from benchmarks.on_gpu.sizes import Task, deepmind, dino, options_of, resized
from helpers.cli.cost import MACHINES
from helpers.cli.work import Work
from helpers.common.compute import precision
from helpers.evaluation.features import extract_features
from helpers.methods.build import build_method
from helpers.methods.presets import recipe_for
from helpers.settings import Settings
from helpers.training.loader import BatchLoader
from helpers.training.runs import fresh_encoder
from helpers.training.trainer import Hardware, fit

FEWER = {"textbook": 16}  # times as few steps, since each takes so long
STEPS = 48  # of the others on a GPU, those in which a contender is timed
ROUNDS = {"byol": 2, "dino": 1}  # on a GPU
TRIAL = 4_096  # images whose features are timed


class Variant(NamedTuple):
    """A way to train that may be the quickest."""

    name: str
    half: str
    batch: int
    view: int
    compiled: bool = False


def side_by_side(record: Record, task: Task) -> None:
    """Images a second of ours, lightly's and the plain loop, and of ours without any views, in
    turns; then ours' ratio to each of them in every round."""
    steps = STEPS if task.device == "cuda" else task.sizes.timed
    for method, rounds in ROUNDS.items():
        options = options_of(task, steps, method)
        images = resized(task.splits.unlabeled, options.size, throughput.images_for(options))
        contenders = {name: contender for name, contender in throughput.CONTENDERS.items()
                      if name not in throughput.WITHOUT[method]}
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(rounds if task.device == "cuda" else 1):
            for name, contender in contenders.items():
                own = options_of(task, max(2, steps // FEWER.get(name, 1)), method)
                said = f"{method}, {name}, round {turn + 1}, images/s"
                rates[name].append(record.attempt("side by side", said, rate_of, contender, images,
                                                  own, turn))
        record.add("side by side", **{
            f"{method}, ours to {name}": [
                round(ours / rate, 2) for ours, rate in zip(rates["ours"], others, strict=True)
                if ours and rate]
            for name, others in rates.items() if name != "ours"})


def rate_of(contender: Callable, images: torch.Tensor, options: object, seed: int) -> float:
    """Images a second of one contender."""
    torch.manual_seed(seed)
    return round(options.batch / contender(images, options), 1)


def usual_variant(task: Task) -> Variant:
    """What `fit` does by itself."""
    return Variant("as it is", precision(task.device), task.sizes.batch, task.sizes.view)


def variants(record: Record, task: Task) -> tuple[Variant, float] | None:
    """Images a second of BYOL's step in several ways; the quickest of those that train the same."""
    usual, sizes = usual_variant(task), task.sizes
    tried = [usual]
    if task.device == "cuda":
        tried += [usual._replace(name="fp16", half="16-mixed"),
                  usual._replace(name="half the batch", batch=sizes.batch // 2),
                  usual._replace(name="twice the batch", batch=2 * sizes.batch),
                  usual._replace(name="views as large as images", view=sizes.image),
                  usual._replace(name="fp32", half="32-true")]
    found = {variant: record.attempt("variants", f"{variant.name}, images/s", variant_rate, task,
                                     variant) for variant in tried}
    alike = {each: rate for each, rate in found.items()
             if rate and (each.batch, each.view) == (usual.batch, usual.view)}
    return max(alike.items(), key=lambda item: item[1], default=None)


def compiled(record: Record, task: Task) -> tuple[Variant, float] | None:
    """The same with torch.compile, which takes a minute before its first step."""
    variant = usual_variant(task)._replace(name="compiled", compiled=True)
    rate = record.attempt("compiled", "images/s", variant_rate, task, variant)
    return (variant, rate) if rate else None


def variant_rate(task: Task, variant: Variant) -> float:
    """Images a second of a few steps of BYOL."""
    def module(steps: int) -> pl.LightningModule:
        return deepmind(task, steps, batch_size=variant.batch, views={"size": variant.view})

    return trained_rate(task, module, variant.batch,
                        Hardware(half=variant.half, compiled=variant.compiled))


def trained_rate(task: Task, make: Callable[[int], pl.LightningModule], batch: int,
                 hardware: Hardware) -> float:
    """Images a second of a few steps of `make(steps)`."""
    return round(batch / timed(task, make, task.splits.unlabeled, batch, hardware)[0], 1)


def timed(task: Task, make: Callable[[int], pl.LightningModule], images: torch.Tensor, batch: int,
          hardware: Hardware) -> tuple[float, list[float]]:
    """Seconds of a step, and the losses, of a few steps of `make(steps)`."""
    clock = throughput.Clock(options_of(task, task.sizes.timed))
    loader = BatchLoader(images, None, batch_size=batch, steps=clock.last, device=task.device)
    history = fit(make(clock.last), loader, callbacks=[clock], hardware=hardware)
    return clock.seconds, history.losses


def graphs(record: Record, task: Task) -> None:
    """A step with recorded passes beside one without (`helpers.training.graphs`), and by how much
    the losses differ."""
    usual, small = task.sizes.batch, Settings.resolve(
        preset="gpu", dataset=task.settings.dataset, device=task.device)

    preset = partial(partial, preset_method, task, small)
    vit = partial(preset_method, task, task.settings.replace(encoder="vit_tiny"), "dino")
    tried = {"BYOL with LARS": (partial(deepmind, task), task.sizes.image, usual),
             "DINO": (partial(dino, task), task.sizes.image, usual),
             "DINO with a vit_tiny": (vit, task.sizes.image, usual),
             "BYOL of the preset gpu": (preset("byol"), small.image_size, small.batch_size),
             "DINO of the preset gpu": (preset("dino"), small.image_size, small.batch_size)}
    for name, (make, side, batch) in tried.items():
        images = resized(task.splits.unlabeled, side, 2 * batch)
        record.attempt("graphs", name, both_ways, task, make, images, batch)


def both_ways(task: Task, make: Callable[[int], pl.LightningModule], images: torch.Tensor,
              batch: int) -> dict[str, float]:
    """Milliseconds of a step without and with recorded passes, from the same seed."""
    milliseconds, losses = [], []
    for recorded in (False, True):
        torch.manual_seed(0)
        seconds, found = timed(task, make, images, batch, Hardware(graphs=recorded))
        milliseconds.append(round(1000 * seconds, 2))
        losses.append(torch.tensor(found))
    return dict(plain_ms=milliseconds[0], recorded_ms=milliseconds[1],
                times=round(milliseconds[0] / milliseconds[1], 2),
                loss_differs_by=(losses[0] - losses[1]).abs().max().item())


def plan(record: Record, task: Task) -> None:
    """Milliseconds of a step of the preset `gpu`, beside what the cost model says of a T4."""
    chosen = Settings.resolve(preset="gpu", dataset=task.settings.dataset, device=task.device)
    for method in ("byol", "noise-byol", "dino"):
        work = Work(chosen)
        work.pretraining(method)
        said = 1000 * work.trainings[0].step_seconds(MACHINES["t4"])
        record.add("plan", **{f"{method}, ms a step by the cost model of a T4": round(said, 1)})
        record.attempt("plan", f"{method}, ms a step", step_milliseconds, task, chosen, method)
    for name in dict.fromkeys((task.sizes.encoder, "slim")):
        record.attempt("plan", f"features of {name}, images/s", feature_rate, task, name)


def feature_rate(task: Task, name: str) -> float:
    """Images a second whose features an encoder computes."""
    encoder = fresh_encoder(task.splits, task.settings.replace(encoder=name)).to(task.device)
    images = resized(task.splits.unlabeled, task.sizes.image, TRIAL)
    extract_features(encoder, images[:TRIAL // 4])
    began = time.perf_counter()
    extract_features(encoder, images)  # ends on the CPU, so that nothing is left to wait for
    return round(TRIAL / (time.perf_counter() - began), 1)


def step_milliseconds(task: Task, chosen: Settings, method: str) -> float:
    """Of a step of a method with the settings' recipe."""
    images = resized(task.splits.unlabeled, chosen.image_size, 2 * chosen.batch_size)
    make = partial(preset_method, task, chosen, method)
    return round(1000 * timed(task, make, images, chosen.batch_size, Hardware())[0], 1)


def preset_method(task: Task, chosen: Settings, method: str, steps: int) -> pl.LightningModule:
    """A method with the settings' recipe and encoder."""
    encoder = fresh_encoder(task.splits, task.settings.replace(encoder=chosen.encoder))
    return build_method(recipe_for(method, chosen).replace(steps=steps), encoder, chosen)
