"""Which images to label: strategies against each other, with simulated answers.

    python -m benchmarks.selection FOLDER          photographs, see `benchmarks/imagenette.py`
    python -m benchmarks.selection digits          the embedded digits

In each repetition a strategy chooses among 80 % of the training images, round after round; after
each round a linear probe on the labels so far is judged. `validation` is for choosing a strategy,
`test` for what is reported of it. One row a strategy, budget and repetition in
benchmarks/results/selection-NAME.csv, and what it was measured with beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.photos import data  # noqa: E402
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.common.progress_bar import progress
from helpers.data.loading import load
from helpers.data.splits import Labeled, Splits
from helpers.evaluation.features import extract_features
from helpers.evaluation.probes import score
from helpers.evaluation.selection import AUTO, STRATEGIES, labelled_so_far, probe_of
from helpers.models.weights.checkpoint import load_encoder
from helpers.models.weights.hub import fetch
from helpers.report.collect import KEPT
from helpers.settings import Settings
from helpers.training.released import PHOTOGRAPHS

BUDGETS = (1, 2, 5, 10, 20, 50)  # labels per class, on average
SHARE = 0.8  # of the training images, among which a repetition chooses
Part = tuple[torch.Tensor, torch.Tensor]  # features N x D, labels N


def compared(train: Part, validation: Part, test: Part, classes: int, repetitions: int,
             strategies: list[str]) -> list[dict]:
    """A row for every strategy, repetition and budget."""
    rows = []
    jobs = [(name, seed) for seed in range(repetitions) for name in strategies]
    for name, seed in progress(jobs, "labelling", "runs"):
        order = torch.randperm(len(train[1]), generator=torch.Generator().manual_seed(seed))
        features, answers = (part[order[:int(SHARE * len(order))]] for part in train)
        rounds = labelled_so_far(name, features, answers, classes, BUDGETS, seed)
        for budget, labels in zip(BUDGETS, rounds, strict=True):
            probe = probe_of(features, labels)
            rows.append(dict(strategy=name, labels_per_class=budget, repetition=seed,
                             validation=score(probe, *validation), test=score(probe, *test)))
    return rows


def read(name: str, weights: str) -> tuple[Splits, list[Part]]:
    """The images, and features of train, val and test by the encoder with that name."""
    encoder = load_encoder(fetch(weights)).eval()
    size = encoder.config["image_size"]
    if name == "digits":
        splits = load(name, image_size=size, data_dir=Settings.resolve().data_dir)
    else:
        splits = data.photographs(name, data.settings_for(name, size=size))

    def part(images: Labeled) -> Part:
        return extract_features(encoder, images.images), images.labels

    return splits, [part(each) for each in (splits.train, splits.val, splits.test)]


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection",
                                     description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a folder with train/<class>/ and val/<class>/, or digits")
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--strategies", nargs="+", choices=[*STRATEGIES, AUTO],
                        default=[*STRATEGIES, AUTO])
    parser.add_argument("--results", type=Path, default=KEPT)
    options = parser.parse_args()
    name = "digits" if options.data == "digits" else Path(options.data).resolve().name
    weights = "byol-slim-digits" if name == "digits" else PHOTOGRAPHS["byol"]
    began = time.process_time()
    try:
        splits, parts = read(options.data, weights)
    except UserError as error:
        sys.exit(f"error: {error}")
    rows = compared(*parts, len(splits.classes), options.repetitions, options.strategies)
    facts = dict(command=data.command(), machine=data.machine(),
                 versions={package: version(package) for package in data.PACKAGES},
                 settings=dict(data=name, weights=weights, repetitions=options.repetitions,
                               share=SHARE, images={each: len(getattr(splits, each))
                                                    for each in ("train", "val", "test")}),
                 cpu_seconds=round(time.process_time() - began))
    write_atomically(options.results / f"selection-{name}.csv", data.as_csv(rows))
    write_atomically(options.results / f"selection-{name}.json", json.dumps(facts, indent=1) + "\n")
    table = pd.DataFrame(rows).groupby(["strategy", "labels_per_class"], sort=False)
    print(table[["validation", "test"]].agg(["mean", "std"]).round(3).to_string())


if __name__ == "__main__":
    main()
