"""One training: a method, an encoder, a budget, a seed; resumed where it was interrupted."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from benchmarks.photos import peer
from benchmarks.photos.clock import Clock, TimedMonitor
from benchmarks.photos.data import command
from helpers import plots, pretraining
from helpers.batches import BatchLoader
from helpers.checkpoints import save_encoder
from helpers.data import Splits
from helpers.encoders import Encoder
from helpers.files import atomic_path, write_atomically
from helpers.settings import Settings
from helpers.training import fit

PEER = "lightly-byol"
METHODS = (*pretraining.METHODS, PEER)
LONG = 600  # CPU seconds of training from which a curve is drawn
LOOKS, PICTURES = 5, 1024  # at the encoder during a training, besides the first; and the neighbours of each
TRIAL = 640  # pictures by which the cost of a step is measured, after as many steps of warming up as below
WARM_UP = 2
OF_METHODS = ("lr", "weight_decay", "warmup", "momentum", "ramp", "temperature", "views", "crops")


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


def parts(method: str, folder: str, splits: Splits, settings: Settings,
          steps: int) -> tuple[pl.LightningModule, BatchLoader, dict[str, Any]]:
    """The module, the loader and the recipe of a training of `steps` steps."""
    if method == PEER:
        loader = peer.FileLoader(folder, splits, steps=steps, seed=settings.seed)
        return peer.LightlyBYOL(peer.encoder_for(settings), steps), loader, dict(peer.RECIPE, steps=steps)
    settings = with_steps(method, settings, steps)
    recipe = pretraining.recipe(method, settings)
    loader = BatchLoader(splits.unlabeled, None, batch_size=recipe["batch_size"], steps=steps, seed=settings.seed)
    encoder = pretraining.fresh_encoder(splits, settings)
    module = pretraining.learner(method, encoder, settings, loader.steps_per_epoch)
    return module, loader, described(module) | recipe


def described(module: pl.LightningModule) -> dict[str, str]:
    """What a method's module was built with, also what no recipe names: schedules and views."""
    return {name: str(getattr(module, name)) for name in OF_METHODS if hasattr(module, name)}


def with_steps(method: str, settings: Settings, steps: int) -> Settings:
    """Settings whose recipe has `steps` steps (noise-BYOL's has a multiple of what the settings say)."""
    if method == "dino":
        return settings.replace(dino_steps=steps)
    usual = pretraining.recipe(method, settings.replace(pretrain_steps=1000))["steps"]
    return settings.replace(pretrain_steps=max(1, round(steps * 1000 / usual)))


def planned_steps(method: str, folder: str, splits: Splits, settings: Settings, epochs: float | None,
                  minutes: float | None) -> int:
    """How many steps a budget buys: of `epochs`, or of CPU `minutes` by the cost of a few trial steps."""
    batch = peer.BATCH if method == PEER else pretraining.recipe(method, settings)["batch_size"]
    if minutes is None:
        return max(1, round(epochs * len(splits.unlabeled) / batch))
    module, loader, _ = parts(method, folder, splits, settings, WARM_UP + max(1, TRIAL // batch))
    times: list[float] = []

    class Ticks(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            times.append(time.process_time())

    fit(module, loader, callbacks=[Ticks()], half=halved(method))
    return max(1, round(60 * minutes * (len(times) - WARM_UP) / (times[-1] - times[WARM_UP - 1])))


def halved(method: str) -> bool | None:
    """Whether in mixed precision: the peer never is, ours where it pays."""
    return False if method == PEER else None


def train(method: str, folder: str, splits: Splits, settings: Settings, *, out: Path, epochs: float | None = None,
          minutes: float | None = None, turn: float | None = None) -> Run:
    """Train, or go on from the last checkpoint in `out`.

    Args:
        method: one of `METHODS`.
        out: the run's folder. What was planned is read from there when the run goes on.
        epochs, minutes: the budget; minutes are CPU minutes of the training itself.
        turn: CPU seconds after which others have their turn, see `Clock`.
    """
    plan = out / "plan.json"
    if not plan.exists():
        steps = planned_steps(method, folder, splits, settings, epochs, minutes)
        write_atomically(plan, json.dumps(dict(steps=steps)) + "\n")
    steps = json.loads(plan.read_text())["steps"]
    module, loader, recipe = parts(method, folder, splits, settings, steps)
    clock = Clock(turn)
    monitor = TimedMonitor(splits.train, splits.val, max(1, steps // LOOKS), limit=PICTURES, clock=clock)
    title = "" if turn else f"{method}, {settings.encoder}, seed {settings.seed}"
    history = fit(module, loader, title=title, seed=settings.seed, callbacks=[clock, monitor], folder=out,
                  resume=True, save_minutes=1.0, half=halved(method))
    path, passes = out / "encoder.safetensors", steps / loader.steps_per_epoch
    save_encoder(module.encoder, path, method=method, dataset=splits.name, steps=steps, seed=settings.seed,
                 epochs=round(passes), preset=settings.preset, start="scratch", command=command(),
                 knn_validation=round(monitor.rows[-1]["knn"], 4))
    return Run(module.encoder.eval(), path, steps, passes, monitor.rows, history.losses, clock,
               {name: value for name, value in recipe.items() if name != "steps"})


def draw(results: Path) -> None:
    """A figure beside each record of a training: what kNN said on validation as it went on."""
    for path in sorted(results.glob("imagenette-*.json")):
        record = json.loads(path.read_text())
        settings, looks = record["settings"], record.get("curve", [])
        if looks and "cpu_seconds" in looks[0] and looks[-1]["cpu_seconds"] > LONG:
            minutes = [look["cpu_seconds"] / 60 for look in looks]
            name = pretraining.METHODS.get(settings["method"], settings["method"])
            best = max(row["mean"] for row in record["results"] if row["protocol"].startswith("kNN"))
            figure = plots.curves({name: (minutes, [look["knn"] for look in looks])}, "minutes of one CPU core",
                                  "kNN accuracy on validation (%)", f"{name}, {settings['encoder']}, at "
                                  f"{settings['size']} pixels for {record['cost']['epochs']:.0f} epochs", percent=True,
                                  note=f"one training, {PICTURES:,} neighbours; the first look is at random weights; "
                                       f"with all neighbours, on test: {best:.1%}")
            with atomic_path(path.with_suffix(".png")) as target:
                figure.savefig(target, dpi=110)
