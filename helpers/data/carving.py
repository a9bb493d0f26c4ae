"""One block of images divided into train, validation and test, in place.

Validation images are moved to the end of the training rows, so that every split is a plain slice of
the block and nothing large is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.data.splits import Labeled, Splits

CHUNK = 256  # rows that change places at a time
TEST_SEED = 0  # a test split that we have to draw ourselves is the same for every seed


def stratified(labels: np.ndarray, count: int, seed: int, per_class: bool = False) -> np.ndarray:
    """Indices of `count` items, the classes in the same proportions as in `labels` (int, N), or of
    `count` items of each class, all of a smaller one.

    In proportion every class gives at least one item and keeps at least one, where it has two.
    The draw uses NumPy's RandomState, whose stream is frozen: the same on every machine.

    Returns:
        int64, sorted; fewer than `count` if the classes are too small for that.
    """
    sizes = np.bincount(labels)
    take = np.full(len(sizes), count)
    if not per_class:
        share = sizes * count / max(len(labels), 1)
        take = np.floor(share).astype(int)
        by_remainder = np.argsort(-(share - take), kind="stable")
        take[by_remainder[: count - take.sum()]] += 1
        take = np.minimum(np.maximum(take, 1), np.maximum(sizes - 1, 0))
    random = np.random.RandomState(seed)
    chosen = [random.permutation(np.flatnonzero(labels == c))[:n] for c, n in enumerate(take)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def take_out(images: Tensor, labels: Tensor, span: tuple[int, int], count: int, seed: int,
             per_class: bool = False) -> tuple[tuple[int, int], tuple[int, int]]:
    """Move a stratified sample of the rows of `span` to the end of the span, in place.

    Only about 2 x `count` rows are touched: in a copy-on-write memory map the rest stays on disk.

    Args:
        per_class: `count` is of each class, not of all rows.

    Returns:
        The spans (first row, row after the last) of what stays and of the sample.
    """
    start, stop = span
    chosen = start + stratified(labels[start:stop].numpy(), count, seed, per_class)
    border = stop - len(chosen)
    moving = torch.from_numpy(chosen[chosen < border])
    places = torch.from_numpy(np.setdiff1d(np.arange(border, stop), chosen))
    for some, others in zip(places.split(CHUNK), moving.split(CHUNK), strict=True):
        for rows in (images, labels):
            displaced = rows[some]
            rows[some] = rows[others]
            rows[others] = displaced
    return (start, border), (border, stop)


@dataclass(frozen=True)
class Shares:
    """How many of the labelled training images a missing split takes, as a fraction or a number.

    Attributes:
        val, test: how much to take out: below 1 a fraction of the training rows, else a number.
        seed: of the validation split; the test split is always the same.
        train: how much of all training rows to keep with labels, in the same way; the rest loses
            its labels and stays in `unlabeled`. None keeps what is left.
        per_class: numbers from 1 on are of each class, not of all rows.
    """

    val: float
    test: float
    seed: int
    train: float | None = None
    per_class: bool = False


def carve(name: str, images: Tensor, labels: Tensor, spans: dict[str, tuple[int, int]],
          classes: tuple[str, ...], shares: Shares) -> Splits:
    """Make `Splits` of one block; a validation or test split that is missing comes out of train.

    Args:
        images: uint8, N x C x H x W; rows are reordered in place.
        labels: int64, N; -1 for an image without a label.
        spans: first row and row after the last of "train" and, where the data has them, of
            "pretext" (which must end where train begins), "val" and "test".
        shares: how much to take out for those that are missing; 0 leaves them empty.

    Raises:
        UserError: there are too few rows for that.
    """
    spans = {"pretext": (spans["train"][0],) * 2, **spans}
    total = spans["train"][1] - spans["train"][0]

    def take(split: str, seed: int) -> tuple[tuple[int, int], tuple[int, int]]:
        amount = getattr(shares, split)
        count = round(amount * total) if amount < 1 else int(amount)
        each = shares.per_class and amount >= 1
        if each:
            _check_classes_suffice(name, classes, labels[slice(*spans["train"])], split, count)
        return take_out(images, labels, spans["train"], count, seed, each)

    for split, seed in (("test", TEST_SEED), ("val", shares.seed)):
        if split not in spans and not getattr(shares, split):
            spans[split] = (spans["train"][1],) * 2
            continue
        if split not in spans:
            spans["train"], spans[split] = take(split, seed)
        if spans[split][0] == spans[split][1]:
            raise UserError(f"{name}: too few training images to take a {split} split out of them: "
                            f"give every class more images, or add a {split}/ folder")
    if shares.train is not None and _wants_fewer(name, shares, spans["train"], total, len(classes)):
        _, spans["train"] = take("train", shares.seed)
    labeled = {split: Labeled(images[slice(*spans[split])], labels[slice(*spans[split])])
               for split in ("train", "val", "test")}
    unlabeled = images[spans["pretext"][0]:spans["train"][1]]
    return Splits(name, unlabeled, **labeled, classes=tuple(classes))


def _wants_fewer(name: str, shares: Shares, span: tuple[int, int], total: int,
                 classes: int) -> bool:
    """Whether train keeps fewer labels than are left; a UserError where it wants more."""
    if shares.train >= 1:
        return True
    left, wanted = span[1] - span[0], round(shares.train * total)
    if wanted > left + 2 * classes:  # val and test take whole images of every class
        raise UserError(
            f"{name}: train wants {100 * shares.train:.3g}% of the images, and val and test leave "
            f"{100 * left / total:.3g}%: choose a smaller share, or smaller ones for val and test")
    return wanted < left


def _check_classes_suffice(name: str, classes: Sequence[str], labels: Tensor, split: str,
                           count: int) -> None:
    """A UserError unless every class has `count` images left, and one for train beside them."""
    sizes = torch.bincount(labels, minlength=len(classes))
    worst, kept = int(sizes.argmin()), split != "train"
    if sizes[worst] < count + kept:
        one = ", one of which is for train" if kept else ""
        raise UserError(
            f"{name}: {split} wants {count:,} images of every class, and class {classes[worst]} "
            f"has {int(sizes[worst])} left{one}: choose smaller numbers, or leave the class out")
