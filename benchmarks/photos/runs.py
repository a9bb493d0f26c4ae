"""One training: a method, an encoder, a budget, a seed; resumed where it was interrupted."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from benchmarks.photos import peer
from benchmarks.photos.clock import Clock, TimedMonitor, now, spent, unit
from benchmarks.photos.data import command
from helpers.common import names
from helpers.common.files import atomic_path, write_atomically
from helpers.data.splits import Splits
from helpers.methods.build import build_method
from helpers.methods.presets import recipe_for
from helpers.models.encoder import Encoder
from helpers.models.weights.checkpoint import save_encoder
from helpers.models.weights.choose import Choice
from helpers.report import plots
from helpers.settings import Settings
from helpers.training import runs
from helpers.training.loader import BatchLoader
from helpers.training.trainer import Hardware, fit
from scripts.measured import SEED

PEER = "lightly-byol"
METHODS = (*names.METHODS, PEER)
LONG = 8  # minutes of training from which a curve is drawn
# at the encoder during a training, besides the first; and the neighbours of each
LOOKS, IMAGES = 5, 1024
# images by which the cost of a step is measured, and steps of warming up before them
TRIAL, WARM_UP = 640, 2
GPU_TRIAL, GPU_WARM_UP = 16_384, 20


@dataclass
class Run:
    """A training that has ended: what it left, how it went and what it cost."""

    encoder: Encoder
    path: Path
    steps: int
    epochs: float
    curve: list[dict[str, float]]
    losses: list[float]
    clock: Clock
    recipe: dict[str, Any]


def parts(method: str, folder: str, splits: Splits, settings: Settings, steps: int,
          start: str = "") -> tuple[pl.LightningModule, BatchLoader, dict[str, Any]]:
    """The module, the loader and the recipe of a training of `steps` steps from the weights
    `start`, random ones if that is empty."""
    if method == PEER:
        loader = peer.FileLoader(folder, splits, steps=steps, seed=settings.seed,
                                 device=settings.device)
        return peer.LightlyBYOL(peer.encoder_for(settings),
                                steps), loader, dict(peer.RECIPE, steps=steps)
    recipe = recipe_for(method, settings).replace(steps=steps)
    loader = BatchLoader(splits.unlabeled, None, batch_size=recipe.batch_size, steps=steps,
                         seed=settings.seed, device=settings.device)
    encoder = runs.fresh_encoder(splits, settings)
    if start:
        encoder = Choice.of(start).encoder(settings.encoder, splits.image_size, splits.channels)
        encoder.take_views_of(splits.image_size)
    module = build_method(recipe, encoder, settings, loader.steps_per_epoch)
    made = str(module.crops if method == "dino" else module.views)  # with the dataset's strengths
    return module, loader, dataclasses.asdict(recipe) | dict(views=made)


def planned_steps(method: str, folder: str, splits: Splits, settings: Settings,
                  epochs: float | None, minutes: float | None) -> int:
    """How many steps a budget buys: of `epochs`, or of `minutes` (see `spent`) by the cost of a
    few trial steps."""
    batch = peer.BATCH if method == PEER else recipe_for(method, settings).batch_size
    if minutes is None:
        return max(1, round(epochs * len(splits.unlabeled) / batch))
    device = settings.device
    warm_up, images = (WARM_UP, TRIAL) if device == "cpu" else (GPU_WARM_UP, GPU_TRIAL)
    trial = max(1, images // batch)
    module, loader, _ = parts(method, folder, splits, settings, warm_up + trial)
    times: list[float] = []

    class Ticks(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            # waiting at every step would slow a GPU down
            if trainer.global_step in (warm_up, warm_up + trial):
                times.append(spent(device, *now(device)))

    fit(module, loader, callbacks=[Ticks()], hardware=Hardware(half=halved(method)))
    return max(1, round(60 * minutes * trial / (times[1] - times[0])))


def halved(method: str) -> bool | None:
    """Whether in mixed precision: the peer never is, ours where it pays."""
    return False if method == PEER else None


def train(method: str, folder: str, splits: Splits, settings: Settings, *, out: Path,
          epochs: float | None = None, minutes: float | None = None, start: str = "") -> Run:
    """Train, or go on from the last checkpoint in `out`.

    Args:
        method: one of `METHODS`.
        out: the run's folder. What was planned is read from there when the run goes on.
        epochs, minutes: the budget; minutes are those of the training itself, see `spent`.
        start: listed weights that ours go on from; random ones if that is empty.
    """
    plan = out / "plan.json"
    if not plan.exists():
        steps = planned_steps(method, folder, splits, settings, epochs, minutes)
        write_atomically(plan, json.dumps(dict(steps=steps)) + "\n")
    steps = json.loads(plan.read_text())["steps"]
    module, loader, recipe = parts(method, folder, splits, settings, steps, start)
    clock = Clock(settings.device)
    monitor = TimedMonitor(splits.train, splits.val, max(1, steps // LOOKS), limit=IMAGES,
                           clock=clock)
    title = f"{method}, {settings.encoder}, seed {settings.seed}"
    history = fit(module, loader, title=title, seed=settings.seed, callbacks=[clock, monitor],
                  folder=out, resume=True, save_minutes=1.0, hardware=Hardware(half=halved(method)))
    path, passes = out / "encoder.safetensors", steps / loader.steps_per_epoch
    save_encoder(module.encoder, path, method=method, dataset=splits.name, steps=steps,
                 seed=settings.seed, epochs=round(passes), preset=settings.preset,
                 start=start or "scratch", command=command(),
                 knn_validation=round(monitor.rows[-1]["knn"], 4))
    return Run(module.encoder.eval(), path, steps, passes, monitor.rows, history.losses, clock,
               {name: value for name, value in recipe.items() if name != "steps"})


def minutes_of(said: dict[str, float]) -> float:
    """The minutes that a cost or a look says; records from when only a CPU could train have its
    seconds alone."""
    return said.get("minutes", said.get("cpu_seconds", 0) / 60)


def on_test(seeds: dict[int, dict[str, Any]]) -> str:
    """What the records of some seeds say of test images, for the line below a figure."""
    scores = {seed: row["mean"] for seed, record in seeds.items() for row in record["results"]
              if row["protocol"] == "kNN, k = 20"}
    said = ", ".join(f"{score:.1%} (seed {seed})" for seed, score in scores.items())
    return f"; with all of them, on test: {said}" if said else ""


def draw(results: Path) -> None:
    """A figure for each long training, of all its seeds: what kNN said on validation as it went
    on."""
    records: dict[str, dict[str, dict]] = {}
    for path in sorted(results.glob("imagenette-*.json")):
        record = json.loads(path.read_text())
        if record.get("curve") and minutes_of(record["curve"][-1]) > LONG:
            records.setdefault(SEED.sub("", path.stem), {})[record["settings"]["seed"]] = record
    for stem, seeds in records.items():
        first = next(iter(seeds.values()))
        settings, name = first["settings"], names.METHODS.get(first["settings"]["method"], PEER)
        lines = {
            f"{name}, seed {seed}": ([minutes_of(look)
                                      for look in record["curve"]],
                                     [look["knn"]
                                      for look in record["curve"]])
            for seed, record in seeds.items()
        }
        epochs = sum(record["cost"]["epochs"] for record in seeds.values()) / len(seeds)
        figure = plots.curves(
            lines, unit(first["machine"].get("device", "cpu")), "kNN accuracy on validation (%)",
            f"{name}, {settings['encoder']}, {settings['size']} pixels, about {epochs:.0f} epochs",
            percent=True, note=f"{IMAGES:,} neighbours, the first look at random weights"
            f"{on_test(seeds)}")
        with atomic_path(results / f"{stem}.png") as target:
            figure.savefig(target, dpi=110)
