"""Watching a training without labels: is it learning, and has it collapsed?

The loss cannot tell. It falls just as well when the network gives every image the same answer.
"""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from helpers.data.splits import Labeled, Splits
from helpers.evaluation.collapse import collapsed, effective_rank, spread, young
from helpers.evaluation.features import extract_features
from helpers.evaluation.probes import knn_accuracy
from helpers.training.callbacks import History
from helpers.training.distributed import from_first, is_first
from helpers.training.errors import no_number

ENOUGH = 32  # images from which a low rank says something: that of n images is at most n - 1
RANKED = 1024  # images for rank and spread, if there are so many; more cost time and tell no more
LIMIT = 4096  # images of either kind that a look takes
LOOKING = 0.03  # the share of the work that looking may be
# and what it may be in short trainings, which are looked at a dozen times all the same
MOST_LOOKING = 0.15
FEWEST = 64  # images of either kind that a look takes even then
CAUSES = """
- a learning rate that is too high, or views that are too strong
- a predictor or target that was left out, a target momentum of 1 or 0 from the start
- batches too small for batch normalisation"""


class Monitor(Callback):
    """kNN accuracy on validation, spread and effective rank: at the start, every `every` steps, at
    the end.

    Spread and rank are those of the validation images, with training ones where these are fewer
    than `RANKED`. `rows` holds one dict per look: step, knn, spread, rank, dimensions, and the
    `signs` of the module's last step where it has some (see `helpers.methods.dino`). A spread below
    0.1 or a rank below 2 means that all images have (nearly) one representation: a collapse. It is
    reported once, and not from fewer than `ENOUGH` images, nor while the running statistics of
    batch normalisation, with which the encoder is looked at, are still young.

    Args:
        train, val: labelled images; at most `limit` of each are used. The labels never reach the
            training.
        every: steps between two looks, see `looks_every`. The last one before the end is left out
            if it would be closer to it than half of that.
        stop: whether a collapse ends the training, which is ended at once when it is resumed so.
    """

    def __init__(self, train: Labeled, val: Labeled, every: int, stop: bool = False,
                 limit: int = LIMIT) -> None:
        self.train, self.val, self.every, self.stop, self.limit = train, val, max(
            1, every), stop, limit
        self.rows: list[dict[str, float]] = []
        self.collapsed_at: int | None = None  # the step

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not self.rows:
            self.look(trainer, module)
        elif self.stop and self.collapsed_at is not None:
            self.report(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        step, left = trainer.global_step, trainer.max_steps - trainer.global_step
        if left == 0 or (step % self.every == 0 and left >= self.every / 2):
            self.look(trainer, module)

    def look(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Measure the encoder as it is now and add a row; of several processes the first one
        measures.

        Raises:
            UserError: the loss or the features are no numbers any more.
        """
        for callback in trainer.callbacks:
            if isinstance(callback, History):
                callback.read()  # before the features: it knows the step at which it went wrong
        row = from_first(self.measure(trainer.global_step, module) if is_first() else None)
        if math.isnan(row["rank"]):
            raise no_number("the features are no numbers any more", row["step"])
        self.rows.append(row)
        enough = min(self.limit, len(self.train) + len(self.val)) >= ENOUGH
        first = trainer.global_step > 0 and self.collapsed_at is None
        if first and enough and collapsed(row) and not young(module.encoder):
            self.collapsed_at = row["step"]
            self.report(trainer)

    def report(self, trainer: pl.Trainer) -> None:
        """Say where the collapse was, and end the training if it is to be ended."""
        row = next(row for row in self.rows if row["step"] == self.collapsed_at)
        if is_first():
            print(
                f"collapse at step {row['step']}: spread {row['spread']:.3f}, effective rank "
                f"{row['rank']:.1f} "
                f"of {row['dimensions']}; usual causes: {CAUSES}"
                + "\nThe training ends here." * self.stop)
        trainer.should_stop = trainer.should_stop or self.stop

    def measure(self, step: int, module: pl.LightningModule) -> dict[str, float]:
        """The row of the encoder as it is now."""
        bank = extract_features(module.encoder, self.train.images[:self.limit])
        queries = extract_features(module.encoder, self.val.images[:self.limit])
        some = torch.cat([queries, bank[:max(0, min(RANKED, self.limit) - len(queries))]])
        signs = {name: value.item() for name, value in getattr(module, "signs", {}).items()}
        return dict(
            step=step, dimensions=some.shape[1], spread=spread(some), rank=effective_rank(some),
            knn=knn_accuracy(bank, self.train.labels[:self.limit], queries,
                             self.val.labels[:self.limit]), **signs)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "collapsed_at": self.collapsed_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.collapsed_at = list(state["rows"]), state.get("collapsed_at")


def looks_every(splits: Splits, batch_size: int, steps: int, limit: int = LIMIT) -> int:
    """Steps between two looks: an epoch, or as many as keep looking cheap, but at most a twelfth of
    the training.

    In forward passes, a look costs one for each image it takes, and a step on one image about
    eight: two views, each through the online network forward and backward (three) and through the
        target (one).
    """
    images = min(limit, len(splits.train.images)) + min(limit, len(splits.val.images))
    cheap = images / (8 * batch_size * LOOKING)
    return max(1, min(steps // 12, math.ceil(max(cheap, len(splits.unlabeled) / batch_size))))


def images_for_looks(batch_size: int, steps: int) -> int:
    """How many images of either kind a look may take so that the looks at a short training stay a
    small part of it.

    A training of thousands of steps gets `LIMIT`; see `looks_every` for what is counted.
    """
    looks = min(steps, 12) + 1
    return min(LIMIT, max(FEWEST, int(MOST_LOOKING * 8 * batch_size * steps / looks / 2)))
