"""Trainings that are killed at random moments and resumed end with the same weights, bit for bit.

    python -m benchmarks.kills byol --trainings 10 --seed 1

Each training of the digits saves after every step; a SIGKILL ends it three to six times, and the
last start lets it end. Its weights are compared with those of a training that nobody stopped.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from helpers.common.progress_bar import progress
from helpers.data.loading import load
from helpers.data.splits import Splits
from helpers.methods.presets import recipe_for
from helpers.methods.recipes import ClassifierRecipe
from helpers.settings import Settings
from helpers.training import checkpoints, trainer
from helpers.training.finetune import train_classifier
from helpers.training.pretraining import pretrain
from helpers.training.runs import fresh_encoder

METHODS = ("byol", "noise-byol", "dino", "supervised")
STEPS, BATCH_SIZE = 30, 16
LONGEST_DELAY = 0.4  # seconds from the first save that a start makes to its kill
PATIENCE = 60  # seconds in which a start has to save


def train(method: str, splits: Splits, folder: Path) -> None:
    """The training that is killed: it goes on from `folder`, and leaves its weights there."""
    settings = Settings.resolve(dataset="digits", preset="smoke", device="cpu", run_dir=folder,
                                batch_size=BATCH_SIZE, pretrain_steps=STEPS, dino_steps=STEPS)
    if method == "supervised":
        recipe = ClassifierRecipe(steps=STEPS, batch_size=BATCH_SIZE)
        made = train_classifier(fresh_encoder(splits, settings), splits.train,
                                len(splits.classes), settings, recipe, val=splits.val,
                                folder=folder / "supervised", resume=True)
        weights = made.classifier.state_dict()
    else:
        weights = pretrain(splits, settings, recipe_for(method, settings)).encoder.state_dict()
    torch.save(weights, folder / "weights.pt")


def started(method: str, splits: Splits, folder: Path) -> int:
    """The process of a start, a fork: the packages are imported once for all."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with open(folder / "said.txt", "a") as said:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
            train(method, splits, folder)
            status = 0
        finally:
            os._exit(status)
    return child


def saved_at(folder: Path) -> int:
    """When the newest checkpoint was written, in ns; 0 where there is none."""
    return max((path.stat().st_mtime_ns for path in folder.rglob("last.ckpt")), default=0)


def killed(method: str, splits: Splits, folder: Path, delay: float) -> str:
    """Start a training, kill it a while after its first save, and say what it was doing."""
    before, child = saved_at(folder), started(method, splits, folder)
    deadline = time.monotonic() + PATIENCE
    while saved_at(folder) == before and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(delay)
    if os.waitpid(child, os.WNOHANG)[0]:
        return "ended before the kill"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "kills while writing" if list(folder.rglob(".last.*.ckpt")) else "kills between saves"


def ended(method: str, splits: Splits, folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a training that may end.

    Raises:
        RuntimeError: it failed; the message is what it said.
    """
    if os.waitpid(started(method, splits, folder), 0)[1]:
        raise RuntimeError((folder / "said.txt").read_text()[-2000:])
    return torch.load(folder / "weights.pt", weights_only=True)


def compare(method: str, trainings: int, seed: int, splits: Splits, root: Path,
            tick: Callable[[Counter], object] = lambda count: None) -> Counter:
    """How many kills there were, and how many trainings ended with the same weights; `tick` gets
    the counts after each training."""
    dice, count = random.Random(f"{method} {seed}"), Counter()
    (root / "whole").mkdir()
    whole = ended(method, splits, root / "whole")
    for number in range(trainings):
        folder = root / str(number)
        folder.mkdir()
        for _ in range(dice.randint(3, 6)):
            count[killed(method, splits, folder, dice.uniform(0, LONGEST_DELAY))] += 1
        weights = ended(method, splits, folder)
        same = weights.keys() == whole.keys() and all(
            torch.equal(weights[name], whole[name]) for name in whole)
        count["the same weights" if same else "OTHER WEIGHTS"] += 1
        tick(count)
    return count


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 1 where a training came to other weights."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills",
                                     description=__doc__.splitlines()[0])
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--trainings", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    checkpoints.SELDOM = 0.0
    trainer.fit.__kwdefaults__["save_minutes"] = 0.0
    with tempfile.TemporaryDirectory() as root, \
            progress(None, options.method, "trainings", total=options.trainings) as bar:

        def say(count: Counter) -> None:  # at once: what was counted outlasts an early end
            words = ", ".join(f"{number} {what}" for what, number in count.items())
            bar.write(f"{options.method}: {words}")
            bar.update()

        count = compare(options.method, options.trainings, options.seed, load("digits"),
                        Path(root), say)
    return int(bool(count["OTHER WEIGHTS"]))


if __name__ == "__main__":
    sys.exit(main())
