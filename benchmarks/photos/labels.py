"""Supervised from scratch, BYOL's features, BYOL fine-tuned: what is each worth with few labels?

A start from ImageNet's weights is left out: Imagenette's images and classes are a part of
ImageNet's, so those weights have seen this very training set, and images like the test set, with
labels.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.photos.data import as_csv, keep
from benchmarks.photos.protocols import (
    RATES,
    SCRATCH_RATES,
    STEPS,
    best_rates,
    labelled,
    linear,
    row,
)
from helpers.common.files import atomic_path, write_atomically
from helpers.data.splits import Splits
from helpers.models.encoder import Encoder
from helpers.report.plots import sweeps
from helpers.settings import Settings
from helpers.training.finetune import few_label_training
from helpers.training.runs import fresh_encoder

FEATURES, TUNED = "BYOL features", "BYOL fine-tuned"
SCRATCH, PIXELS = "supervised from scratch", "raw pixels"
# with all labels: of one long training each, and how many short ones
LONG_STEPS, TRAININGS = 7500, 3


def jobs(encoder: Encoder, splits: Splits,
         settings: Settings) -> Iterator[tuple[str, int | None, Iterator[dict]]]:
    """What is compared: method, labels per class (None where one job has them all), the rows when
    asked for."""
    yield FEATURES, None, linear(encoder, splits, settings)
    yield PIXELS, None, linear(None, splits, settings)
    starts = {
        TUNED: (encoder, RATES), SCRATCH: (fresh_encoder(splits, settings,
                                                         like=encoder), SCRATCH_RATES)
    }
    rates = functools.cache(
        lambda method: best_rates(starts[method][0], splits, settings, starts[method][1]))
    for count, steps in STEPS.items():
        few = settings if count else settings.replace(draws=TRAININGS)
        for method, (start, _) in starts.items():
            yield method, count, trained(start, splits, few, count, steps,
                                         functools.partial(rates, method))
    for method, (start, _) in starts.items():
        once = settings.replace(draws=1)
        yield long(method), 0, trained(start, splits, once, 0, LONG_STEPS,
                                       functools.partial(rates, method))


def long(method: str) -> str:
    """What the long training of a method is called."""
    return f"{method}, {LONG_STEPS:,} steps"


def trained(encoder: Encoder, splits: Splits, settings: Settings, count: int, steps: int,
            rates: Callable[[], tuple[float, float]]) -> Iterator[dict]:
    """The row of training `encoder` and a head for `steps` steps on `count` labels per class (0:
    all)."""
    lr, head_lr = rates()
    scores = few_label_training(encoder, splits, settings,
                                labelled(settings, (lr, head_lr), steps), per_class=count)
    yield row("training", count or "all", scores, chosen=f"rates {lr:g}, {head_lr:g}", steps=steps)


def compare(encoder: Encoder, splits: Splits, settings: Settings, results: Path,
            name: str) -> pd.DataFrame:
    """Every row; the table is written anew after each job, and what stands in it is not done
    again."""
    path = results / f"{name}.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    for method, count, found in jobs(encoder, splits, settings):
        done = [row["labels_per_class"] for row in rows if row["method"] == method]
        if str(count or "all") in done or (count is None and done):
            continue
        began = time.process_time()
        new = [dict(method=method, **values) for values in found]
        rows += [values | dict(labels_per_class=str(values["labels_per_class"]), seed=settings.seed,
                               cpu_seconds=round(time.process_time() - began)) for values in new]
        for values in new:
            print(f"{method}, {values['labels_per_class']} labels per class: {values['mean']:.1%}",
                  flush=True)
        write_atomically(path, as_csv(rows))
    chosen = dict(encoder=encoder.config, meta=encoder.meta, seed=settings.seed,
                  test_images=len(splits.test), per_class=len(splits.train) / len(splits.classes))
    keep(name, chosen, rows, results, settings.device,
         left_out="ImageNet-pretrained weights: Imagenette is a part of ImageNet")
    draw(pd.DataFrame(rows), chosen, results / f"{name}.png")
    return pd.DataFrame(rows)


def number(labels: str) -> int | str:
    """Labels per class as they are drawn: a number, or "all"."""
    return labels if labels == "all" else int(labels)


def draw(table: pd.DataFrame, settings: dict[str, Any], path: Path) -> None:
    """Accuracy against labels per class; `settings` as the record of a comparison keeps them."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    few = [row | {"metric": "test accuracy", "labels_per_class": number(row["labels_per_class"])}
           for row in rows]
    figure = sweeps.label_curve(
        few, settings["per_class"], "How many labels? Imagenette at "
        f"{settings['encoder']['image_size']} pixels, encoder {settings['encoder']['name']} "
        f"({settings['test_images']:,} test images)")
    with atomic_path(path) as target:
        figure.savefig(target, dpi=110)
