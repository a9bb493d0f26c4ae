"""Which recipe learns from photographs within minutes: one change at a time, judged on
validation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from benchmarks.photos.data import SIDE, as_csv
from helpers.common.errors import UserError
from helpers.common.files import atomic_path, write_atomically
from helpers.data.splits import Splits
from helpers.evaluation.collapse import effective_rank, feature_std
from helpers.evaluation.features import extract_features, pixel_features
from helpers.evaluation.probes import knn_accuracy
from helpers.methods.byol import BYOL
from helpers.methods.recipes import BYOLRecipe
from helpers.models.encoder import Encoder, build
from helpers.report import plots
from helpers.training.loader import BatchLoader
from helpers.training.trainer import fit
from helpers.transforms.views import PhotoView

NAME = "imagenette-search"
PIXELS, RANDOM = UNTRAINED = "raw pixels, averaged to 16 x 16", "random encoder"
SEEDS = (0, 1, 2)
# The recipe that a reader of the paper would try, and what it takes to learn within minutes. Each
# row of the first block adds a change to the row before; each of the second makes one change to the
# end of the first. All see as many images.
PLAIN = dict(encoder="slim", width=24, lr=1e-3, momentum=0.99, batch=128, size=32,
             weight_decay=1e-4, scale=0.2, blur=0.0, colour=(0.4, 0.4, 0.2, 0.1), gray=0.2)
STEPS_TO_IT = [("plain", {}), ("+ batches of 64, twice the steps", dict(batch=64)),
               ("+ rate 2e-3", dict(lr=2e-3)), ("+ momentum from 0.9", dict(momentum=0.9)),
               ("+ 32 channels for 24", dict(width=32))]
ALTERNATIVES = [("momentum from 0.8", dict(momentum=0.8)), ("rate 5e-3", dict(lr=5e-3)),
                ("weak colour changes", dict(colour=(0.2, 0.2, 0.1, 0.02), gray=0.05)),
                ("strong colour changes", dict(colour=(0.8, 0.8, 0.8, 0.2))),
                ("crops from 0.08 of the area", dict(scale=0.08)),
                ("weight decay 0.05", dict(weight_decay=0.05)),
                ("blur in every view", dict(blur=1.0)), ("views of 48 pixels", dict(size=48)),
                ("ResNet18, ImageNet's stem", dict(encoder="resnet18"))]


def features_knn(bank: torch.Tensor, queries: torch.Tensor, splits: Splits) -> float:
    """kNN accuracy of validation features with the training images' as neighbours."""
    return knn_accuracy(bank, splits.train.labels, queries, splits.val.labels)


def judged(encoder: Encoder, splits: Splits) -> dict[str, float]:
    """kNN on validation, feature std and effective rank of an encoder."""
    bank, queries = (extract_features(encoder, part.images) for part in (splits.train, splits.val))
    return dict(knn=features_knn(bank, queries, splits), feature_std=feature_std(queries),
                rank=effective_rank(queries))


def encoder_of(numbers: dict) -> Encoder:
    """A fresh encoder for images of `SIDE` pixels."""
    options = dict(width=numbers["width"]) if numbers["encoder"] == "slim" else dict(
        stem="imagenet")
    return build(numbers["encoder"], channels=3, image_size=SIDE, **options)


def trial(numbers: dict, splits: Splits, images: int, seed: int) -> dict[str, float]:
    """One short run that sees `images` images, and what its encoder is worth."""
    torch.manual_seed(seed)
    view = PhotoView(size=numbers["size"], scale=(numbers["scale"], 1.0), jitter=numbers["colour"],
                     gray=numbers["gray"], blur=numbers["blur"])
    steps = images // numbers["batch"]
    recipe = BYOLRecipe(steps=steps, batch_size=numbers["batch"], lr=numbers["lr"],
                        ema=numbers["momentum"], weight_decay=numbers["weight_decay"])
    module = BYOL(encoder_of(numbers), (view, view), recipe)
    loader = BatchLoader(splits.unlabeled, None, batch_size=numbers["batch"], steps=steps,
                         seed=seed)
    began = time.process_time()
    history = fit(module, loader, seed=seed)
    return dict(steps=steps, cpu_seconds=time.process_time() - began,
                loss=sum(history.losses[-50:]) / 50, **judged(module.encoder, splits))


def candidates() -> Iterator[tuple[str, dict]]:
    """What to try: (what was changed, all the numbers)."""
    numbers = dict(PLAIN)
    for change, values in STEPS_TO_IT:
        numbers = {**numbers, **values}
        yield change, numbers
    for change, values in ALTERNATIVES:
        yield f"instead: {change}", {**numbers, **values}


def search(splits: Splits, results: Path, steps: int) -> None:
    """Every row of the two blocks, seed after seed; the table is written anew after each, and what
    stands in it is not run again."""
    path = results / f"{NAME}.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(baselines(splits))
    for seed in SEEDS:
        for change, numbers in candidates():
            same = table[(table.change == change) & (table.seed == seed)]
            if len(same) and same.steps.iloc[0] != 64 * steps // numbers["batch"]:
                raise UserError(
                    f"{path.name} holds trainings of another length: name another folder with "
                    "--results"
                )
            if len(same):
                continue
            row = dict(change=change, seed=seed, **trial(numbers, splits, 64 * steps, seed))
            table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
            print(
                f"{change:<34} seed {seed}: kNN {row['knn']:.1%}, {row['cpu_seconds']:.0f} s of "
                "one core",
                flush=True)
            write_atomically(path, as_csv(table))
            draw(table, results / f"{NAME}.png")


def baselines(splits: Splits) -> list[dict]:
    """Pixels, and encoders with random weights."""
    bank, queries = (pixel_features(part.images) for part in (splits.train, splits.val))
    rows = [dict(change=PIXELS, knn=features_knn(bank, queries, splits))]
    for seed in SEEDS:
        torch.manual_seed(seed)
        rows.append(
            dict(change=RANDOM, seed=seed, **judged(encoder_of({**PLAIN, "width": 32}), splits)))
    return rows


def draw(table: pd.DataFrame, path: Path) -> None:
    """A bar for each change."""
    rows = [
        dict(method=change if change in UNTRAINED else f"BYOL: {change}", mean=own.mean(),
             std=own.std(), n=len(own)) for change, own in table.groupby("change", sort=False).knn
    ]
    figure = plots.bars(rows, f"Which change buys what? BYOL, {SIDE} pixels, short trainings",
                        over="trainings", xlabel="kNN accuracy on validation (%)")
    with atomic_path(path) as target:
        figure.savefig(target, dpi=110)
