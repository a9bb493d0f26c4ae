"""BYOL on real photographs: which recipe learns, and how far it gets on a CPU.

    python benchmarks/imagenette.py search FOLDER            one change at a time, 750 steps each
    python benchmarks/imagenette.py train FOLDER             the suite's own recipe, 60 epochs; run again to go on

FOLDER has train/<class>/ and val/<class>/, as Imagenette (https://github.com/fastai/imagenette) unpacks. Choices are
made on 15 % of train that no training sees; the folder's val is read once, by `train`. Tables, curve and plot go to
benchmarks/results/.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers import plots, pretraining  # noqa: E402
from helpers.batches import BatchLoader  # noqa: E402
from helpers.data import Splits, load  # noqa: E402
from helpers.encoders import Encoder, build  # noqa: E402
from helpers.evaluation import (  # noqa: E402
    effective_rank,
    extract_features,
    few_label_scores,
    knn_accuracy,
    pixel_features,
    spread,
)
from helpers.files import atomic_path, write_atomically  # noqa: E402
from helpers.methods import BYOL  # noqa: E402
from helpers.settings import Settings  # noqa: E402
from helpers.training import fit  # noqa: E402
from helpers.views import PhotoView  # noqa: E402

RESULTS = Path(__file__).parent / "results"
SIDE = 48
# The recipe that a reader of the paper would try, and what it takes to learn within minutes. Each row of the first
# block adds a change to the row before; each of the second makes one change to the end of the first.
PLAIN = dict(lr=1e-3, momentum=0.99, batch=128, size=32, width=24, weight_decay=1e-4, scale=0.2, blur=0.0,
             colour=(0.4, 0.4, 0.2, 0.1), gray=0.2)
STEPS_TO_IT = [("plain", {}), ("+ batches of 64, twice the steps", dict(batch=64)), ("+ rate 2e-3", dict(lr=2e-3)),
               ("+ momentum from 0.9", dict(momentum=0.9)), ("+ 32 channels for 24", dict(width=32))]
ALTERNATIVES = [("momentum from 0.8", dict(momentum=0.8)), ("rate 5e-3", dict(lr=5e-3)),
                ("weak colour changes", dict(colour=(0.2, 0.2, 0.1, 0.02), gray=0.05)),
                ("strong colour changes", dict(colour=(0.8, 0.8, 0.8, 0.2))),
                ("crops from 0.08 of the area", dict(scale=0.08)), ("weight decay 0.05", dict(weight_decay=0.05)),
                ("views of 48 pixels", dict(size=48))]


def photographs(folder: str, settings: Settings) -> Splits:
    """The folder's pictures; its val is kept for the end, so choices are made on the part split off train."""
    splits = load(folder, image_size=settings.image_size, seed=settings.seed, data_dir=settings.data_dir)
    return dataclasses.replace(splits, val=splits.test, test=splits.val, unlabeled=splits.train.images)


def features_knn(bank: torch.Tensor, queries: torch.Tensor, splits: Splits, part: str = "val", k: int = 20) -> float:
    """kNN accuracy of features of `part` with the training pictures' as neighbours."""
    return knn_accuracy(bank, splits.train.labels, queries, getattr(splits, part).labels, k)


def judged(encoder: Encoder, splits: Splits) -> dict[str, float]:
    """kNN on validation, spread and effective rank of an encoder."""
    bank, queries = (extract_features(encoder, part.images) for part in (splits.train, splits.val))
    return dict(knn=features_knn(bank, queries, splits), spread=spread(queries), rank=effective_rank(queries))


def trial(numbers: dict, splits: Splits, pictures: int) -> dict[str, float]:
    """One short run that sees `pictures` pictures, and what its encoder is worth."""
    torch.manual_seed(0)
    view = PhotoView(size=numbers["size"], scale=(numbers["scale"], 1.0), jitter=numbers["colour"],
                     gray=numbers["gray"], blur=numbers["blur"])
    steps = pictures // numbers["batch"]
    encoder = build("slim", channels=3, image_size=SIDE, width=numbers["width"])
    module = BYOL(encoder, (view, view), steps=steps, lr=numbers["lr"], momentum=numbers["momentum"],
                  weight_decay=numbers["weight_decay"])
    loader = BatchLoader(splits.unlabeled, None, batch_size=numbers["batch"], steps=steps)
    began = time.process_time()
    history = fit(module, loader, half=False)
    return dict(steps=steps, cpu_seconds=time.process_time() - began, loss=sum(history.losses[-50:]) / 50,
                **judged(encoder, splits))


def candidates() -> Iterator[tuple[str, dict]]:
    """What to try: (what was changed, all the numbers)."""
    numbers = dict(PLAIN)
    for change, values in STEPS_TO_IT:
        numbers = {**numbers, **values}
        yield change, numbers
    for change, values in ALTERNATIVES:
        yield f"instead: {change}", {**numbers, **values}


def search(options: argparse.Namespace) -> None:
    """Every row of the two blocks; the table is written anew after each, and what stands in it is not run again."""
    settings = Settings.resolve(dataset=options.folder, preset="quick", image_size=SIDE)
    splits, path = photographs(options.folder, settings), RESULTS / "imagenette-search.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(baselines(splits))
    for change, numbers in candidates():
        if change in set(table.change):
            continue
        row = dict(change=change, **trial(numbers, splits, 64 * options.steps))
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        print(f"{change:<34} kNN {row['knn']:.1%}, {row['cpu_seconds']:.0f} s of one core", flush=True)
        write_atomically(path, table.to_csv(index=False, float_format="%.4f", lineterminator="\n"))


def baselines(splits: Splits) -> list[dict]:
    """What costs no training: pixels and random weights."""
    bank, queries = (pixel_features(part.images) for part in (splits.train, splits.val))
    torch.manual_seed(0)
    random = build("slim", channels=3, image_size=SIDE, width=32)
    return [dict(change="raw pixels, averaged to 16 x 16", knn=features_knn(bank, queries, splits)),
            dict(change="random encoder", **judged(random, splits))]


def train(options: argparse.Namespace) -> None:
    """The suite's recipe for some epochs, with its curve, and the folder's val read once."""
    settings = Settings.resolve(dataset=options.folder, preset="quick", image_size=SIDE, seed=options.seed,
                                run_dir=options.out)
    splits = photographs(options.folder, settings)
    steps = round(options.epochs * len(splits.unlabeled) / settings.batch_size)
    run = pretraining.pretrain("byol", splits, settings.replace(pretrain_steps=steps))
    name = f"imagenette-byol-seed{options.seed}"  # the curve begins with the random encoder
    curve = pd.DataFrame(run.monitor).assign(epoch=lambda rows: rows.step * settings.batch_size / len(splits.unlabeled))
    write_atomically(RESULTS / f"{name}-curve.csv", curve.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    random = pretraining.fresh_encoder(splits, settings)
    kinds = {"BYOL": lambda images: extract_features(run.encoder, images),
             "random encoder": lambda images: extract_features(random, images), "raw pixels": pixel_features}
    rows = [row for method, features in kinds.items() for row in final(method, features, splits)]
    table = pd.DataFrame(rows).assign(epochs=options.epochs, seconds=round(run.seconds), seed=options.seed)
    write_atomically(RESULTS / f"{name}.csv", table.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    print(table.to_string(index=False))
    level = features_knn(*(pixel_features(part.images) for part in (splits.train, splits.val)), splits)
    flat = ([0, options.epochs], [level, level])
    figure = plots.curves({"BYOL": (curve.epoch, curve.knn), "raw pixels": flat}, "epochs",
                          "kNN accuracy on validation (%)",
                          f"BYOL on Imagenette at {SIDE} pixels, a CPU, {run.seconds / 60:.0f} minutes", percent=True)
    with atomic_path(RESULTS / f"{name}.png") as target:
        figure.savefig(target, dpi=110)


def final(method: str, features, splits: Splits) -> list[dict]:
    """kNN with all labels and linear probes with few, on the folder's val."""
    bank, queries = (features(part.images) for part in (splits.train, splits.test))
    rows = [dict(method=method, protocol=f"kNN, k = {k}", labels_per_class="all", n=1, std=None,
                 mean=features_knn(bank, queries, splits, "test", k)) for k in (20, 200)]
    for count in (1, 10, 50):
        scores = few_label_scores(bank, splits.train.labels, queries, splits.test.labels, count, draws=5)
        rows.append(dict(method=method, protocol="linear probe", labels_per_class=count, n=len(scores),
                         mean=sum(scores) / len(scores), std=float(pd.Series(scores).std())))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("search", "train"))
    parser.add_argument("folder", help="train/<class>/ and val/<class>/")
    parser.add_argument("--steps", type=int, default=750, help="of 64 pictures, for each trial of the search")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs", help="where the encoder and its checkpoints go")
    options = parser.parse_args()
    {"search": search, "train": train}[options.what](options)


if __name__ == "__main__":
    main()
