"""Few photographs, a CNN or a ViT? And what does an encoder change that was pretrained on others?

    python -m benchmarks.small_set FOLDER          photographs, see `benchmarks/imagenette.py`

Five classes with 750 labelled images: 120 of each to train on, 30 to choose by. All networks get
the same images, views and steps; the CNNs have the recipe's rate, the ViT the one of DINO's ViTs.
They are judged on the test images of these classes. One row a training in
benchmarks/results/small-set.csv, written after each, and what it was measured with beside it; a
training that is in the file is not made again.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.photos import data  # noqa: E402
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.common.split import Split
from helpers.data.loading import load
from helpers.data.splits import Labeled, Splits
from helpers.evaluation.features import extract_features
from helpers.evaluation.predictors import chosen_probe
from helpers.evaluation.probes import label_subsets, score
from helpers.methods.presets import FINE_TUNING
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import Encoder, build
from helpers.models.weights.hub import named_encoder
from helpers.report.collect import KEPT
from helpers.settings import Settings
from helpers.training.finetune import train_classifier

SIDE, CLASSES, TRAIN, VAL = 96, 5, 120, 30  # pixels, and images of each class
EPOCHS, BATCH, SEEDS = 15, 32, 3
PRETRAINED = "byol-fine-imagenette"
# about as many weights as the others, and as many tokens as such images have patches of 16 pixels
SMALL_VIT = dict(name="vit_tiny", width=128, depth=6, heads=4, patch_size=16)
NETWORKS = {"slim_fine": dict(name="slim_fine"), "ViT, 6 blocks": SMALL_VIT,
            "MobileNetV3-Small": dict(name="mobilenet_v3_small")}
RATES = {"ViT, 6 blocks": 5e-4}  # the others take the recipe's own
FROZEN, TUNED = f"{PRETRAINED}, linear probe", f"{PRETRAINED}, fine-tuned"


def small_set(splits: Splits) -> Splits:
    """The small set: so many images of each class for training and for validation."""
    def some(part: Labeled, each: int) -> Labeled:
        (rows,) = label_subsets(part.labels, each, 1, 0)
        return Labeled(part.images[rows], part.labels[rows])

    # a folder's val/ is the test here, and what is split off train/ is for choices
    train, val = some(splits.train, TRAIN), some(splits.test, VAL)
    return replace(splits, unlabeled=train.images, train=train, val=val, test=splits.val, names={})


def trained(name: str, encoder: Encoder, recipe: ClassifierRecipe, splits: Splits,
            settings: Settings, seed: int) -> dict:
    """A row: one training, judged on validation and test."""
    weights = sum(weight.numel() for weight in encoder.parameters())
    run = train_classifier(encoder, splits.train, len(splits.classes), settings, recipe, seed=seed,
                           title=f"{name}, seed {seed}, rate {recipe.lr:g}")
    return dict(network=name, weights=weights, seed=seed, rate=recipe.lr, steps=recipe.steps,
                validation=run.score(splits.val), test=run.score(splits.test), seconds=run.seconds)


def fresh(name: str, seed: int) -> Encoder:
    """One of `NETWORKS`, with random weights."""
    torch.manual_seed(seed)
    return build(**NETWORKS[name], image_size=SIDE)


def jobs(epochs: int, seeds: int) -> list[tuple[str, int, ClassifierRecipe]]:
    """Network, seed and recipe of every training."""
    steps = -(-epochs * TRAIN * CLASSES // BATCH)
    usual = ClassifierRecipe(steps=steps, batch_size=BATCH)
    recipes = {TUNED: usual.replace(**FINE_TUNING)}
    recipes |= {name: usual.replace(lr=RATES.get(name, usual.lr)) for name in NETWORKS}
    return [(name, seed, recipe) for seed in range(seeds) for name, recipe in recipes.items()]


def measured(splits: Splits, settings: Settings, results: Path, epochs: int,
             seeds: int) -> list[dict]:
    """All rows, those that the file has and the others."""
    rows = pd.read_csv(results).to_dict("records") if results.exists() else []
    pretrained, _ = named_encoder(PRETRAINED, SIDE)
    pretrained.eval()

    def add(row: dict) -> None:
        rows.append(row)
        write_atomically(results, data.as_csv(rows))

    if not any(row["network"] == FROZEN for row in rows):
        began = time.perf_counter()
        train, val, test = ((extract_features(pretrained, part.images), part.labels)
                            for part in (splits.train, splits.val, splits.test))
        probe = chosen_probe(*train, *val)
        add(dict(network=FROZEN, weights=sum(map(torch.numel, pretrained.parameters())), seed=0,
                 rate=0.0, steps=0, validation=score(probe, *val), test=score(probe, *test),
                 seconds=time.perf_counter() - began))
    for name, seed, recipe in jobs(epochs, seeds):
        if any((row["network"], row["seed"]) == (name, seed) for row in rows):
            continue
        encoder = copy.deepcopy(pretrained) if name == TUNED else fresh(name, seed)
        add(trained(name, encoder, recipe, splits, settings, seed))
    return rows


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small_set",
                                     description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of train/<class>/ and val/<class>/")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="trainings of each network")
    parser.add_argument("--results", type=Path, default=KEPT)
    options = parser.parse_args()
    try:
        settings = data.settings_for(options.folder, size=SIDE)
        names = sorted(path.name for path in Path(options.folder, "train").iterdir())[:CLASSES]
        splits = small_set(load(options.folder, image_size=SIDE, data_dir=settings.data_dir,
                                split=Split.of(classes=names)))
        rows = measured(splits, settings, options.results / "small-set.csv", options.epochs,
                        options.seeds)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    facts = dict(command=data.command(), machine=data.machine(),
                 versions={package: version(package) for package in data.PACKAGES},
                 settings=dict(data=Path(options.folder).resolve().name, size=SIDE,
                               classes=list(splits.classes), epochs=options.epochs, batch=BATCH,
                               images={each: len(getattr(splits, each))
                                       for each in ("train", "val", "test")}))
    write_atomically(options.results / "small-set.json", json.dumps(facts, indent=1) + "\n")
    table = pd.DataFrame(rows).groupby(["network", "rate"], sort=False)
    print(table[["validation", "test", "seconds"]].mean().round(3).to_string())


if __name__ == "__main__":
    main()
