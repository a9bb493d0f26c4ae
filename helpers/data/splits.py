"""What a loaded dataset is: images without labels, and labelled train, validation and test images.

All images of a dataset lie in one block (often a memory-mapped file) in the order
[pretext | train | validation and test]. Validation images are moved to the end of the training
rows, in place, so that every split is a plain slice of the block and nothing large is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from helpers.common.errors import UserError

TEST_SEED = 0  # a test split that we have to draw ourselves is the same for every seed


@dataclass(frozen=True, eq=False, repr=False)
class Labeled:
    """Images (uint8, N x C x H x W) and their labels (int64, N). Unpacks as `images, labels`."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.images, self.labels))

    def __repr__(self) -> str:
        return f"Labeled({len(self):,} images, {' x '.join(str(n) for n in self.images.shape[1:])})"


@dataclass(frozen=True, eq=False, repr=False)
class Splits:
    """A dataset, ready for pretraining (`unlabeled`) and for learning from labels.

    Attributes:
        name: the dataset's name, or the name of its folder.
        unlabeled: uint8, M x C x H x W: the training images and all images without labels;
            never an image of `val` or `test`. Those of `train` come last, in the same order.
        train, val, test: labelled images; choices are made on `val`, `test` is read once.
        classes: names of the classes; label i is classes[i].
        notes: what a person should know about how the data was read, one line each.
        names: for a folder, the files of "unlabeled", "train", "val" and "test", relative to it;
            else empty.
    """

    name: str
    unlabeled: Tensor
    train: Labeled
    val: Labeled
    test: Labeled
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """1 for grayscale, 3 for RGB."""
        return self.unlabeled.shape[1]

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return self.unlabeled.shape[-1]

    def __repr__(self) -> str:
        size = " x ".join(str(n) for n in self.unlabeled.shape[1:])
        head = f"{self.name}: {len(self.classes)} classes, {size}"
        rows = [f"{row['split']:>10} {row['images']:>9,} images" for row in describe(self)]
        return "\n".join([head, *rows, *(f"note: {note}" for note in self.notes)])


def describe(splits: Splits) -> list[dict[str, object]]:
    """One row a split, for a table.

    Returns:
        Dicts of split, images, labelled (how many have a label), smallest and largest class
        (images; None without labels) and size ("1 x 16 x 16").
    """
    size = " x ".join(str(n) for n in splits.unlabeled.shape[1:])
    rows: list[dict[str, object]] = [{
        "split": "unlabeled", "images": len(splits.unlabeled), "labelled": 0,
        "smallest class": None, "largest class": None, "size": size
    }]
    for name in ("train", "val", "test"):
        labels = getattr(splits, name).labels
        counts = torch.bincount(labels[labels >= 0], minlength=len(splits.classes))
        rows.append({
            "split": name, "images": len(labels), "labelled": int(counts.sum()),
            "smallest class": int(counts.min()), "largest class": int(counts.max()), "size": size
        })
    return rows


def require(splits: Splits, least: int) -> Splits:
    """`splits`, or a UserError where there are fewer than `least` training images to learn
    anything from."""
    if len(splits.train) < least:
        raise UserError(
            f"{splits.name}: {len(splits.train)} training images with a label are too few for this "
            f"notebook, which needs {least}: add some, or split off less")
    return splits


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of `count` items, the classes in the same proportions as in `labels` (int, N).

    Every class gives at least one item and keeps at least one, where it has two.
    The draw uses NumPy's RandomState, whose stream is frozen: the same on every machine.

    Returns:
        int64, sorted. Its length is `count` unless the classes are too small for that.
    """
    sizes = np.bincount(labels)
    share = sizes * count / max(len(labels), 1)
    take = np.floor(share).astype(int)
    by_remainder = np.argsort(-(share - take), kind="stable")
    take[by_remainder[: count - take.sum()]] += 1
    take = np.minimum(np.maximum(take, 1), np.maximum(sizes - 1, 0))
    random = np.random.RandomState(seed)
    chosen = [random.permutation(np.flatnonzero(labels == c))[:n] for c, n in enumerate(take)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def balanced(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of `count` items of each class (of all that a smaller class has), drawn as in
    `stratified`.

    Returns:
        int64, sorted.
    """
    random = np.random.RandomState(seed)
    chosen = [random.permutation(np.flatnonzero(labels == c))[:count] for c in np.unique(labels)]
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
    chosen = start + (balanced if per_class else stratified)(labels[start:stop].numpy(), count,
                                                             seed)
    border = stop - len(chosen)
    moving = torch.from_numpy(chosen[chosen < border])
    places = torch.from_numpy(np.setdiff1d(np.arange(border, stop), chosen))
    for rows in (images, labels):
        displaced = rows[places]
        rows[places] = rows[moving]
        rows[moving] = displaced
    return (start, border), (border, stop)


def carve(name: str, images: Tensor, labels: Tensor, spans: dict[str, tuple[int, int]],
          classes: tuple[str, ...], *, val: float, test: float, seed: int,
          train: float | None = None, per_class: bool = False, notes: tuple[str,
                                                                            ...] = ()) -> Splits:
    """Make `Splits` of one block; a validation or test part that is missing comes out of train.

    Args:
        images: uint8, N x C x H x W; rows are reordered in place.
        labels: int64, N; -1 for an image without a label.
        spans: first row and row after the last of "train" and, where the data has them, of
            "pretext" (which must end where train begins), "val" and "test".
        val, test: how much to take out: a fraction of the training rows, or a number from 1 on.
        seed: of the validation split; the test split is always the same.
        train: how much of all training rows to keep with labels, in the same way; the rest loses
            its labels and stays in `unlabeled`. None keeps what is left.
        per_class: numbers from 1 on are of each class, not of all rows.

    Raises:
        UserError: there are too few rows for that.
    """
    spans = {"pretext": (spans["train"][0],) * 2, **spans}
    total = spans["train"][1] - spans["train"][0]
    for part, share, part_seed in (("test", test, TEST_SEED), ("val", val, seed)):
        if part not in spans:
            spans["train"], spans[part] = _take_part(name, images, labels, spans["train"], classes,
                                                     part, share, total, part_seed, per_class)
        if spans[part][0] == spans[part][1]:
            raise UserError(f"{name}: too few training images to take a {part} split out of them: "
                            f"give every class more images, or add a {part}/ folder")
    left = spans["train"][1] - spans["train"][0]
    rounding = 2 * len(classes)  # val and test take whole images of every class
    if train is not None and train < 1 and round(train * total) > left + rounding:
        raise UserError(
            f"{name}: train wants {100 * train:.3g}% of the images, and val and test leave "
            f"{100 * left / total:.3g}%: choose a smaller share, or smaller ones for val and test")
    if train is not None and (train >= 1 or round(train * total) < left):
        _, spans["train"] = _take_part(name, images, labels, spans["train"], classes, "train",
                                       train, total, seed, per_class)
    parts = {part: Labeled(images[slice(*spans[part])], labels[slice(*spans[part])])
             for part in ("train", "val", "test")}
    unlabeled = images[spans["pretext"][0]:spans["train"][1]]
    return Splits(name, unlabeled, **parts, classes=tuple(classes), notes=tuple(notes))


def _take_part(name: str, images: Tensor, labels: Tensor, span: tuple[int, int],
               classes: Sequence[str], part: str, amount: float, total: int, seed: int,
               per_class: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """`take_out` of a share or a number, after a look whether every class has as many."""
    each = per_class and amount >= 1
    if each:
        sizes = torch.bincount(labels[slice(*span)], minlength=len(classes))
        # val and test leave one for train
        worst, needed = int(sizes.argmin()), int(amount) + (part != "train")
        if sizes[worst] < needed:
            raise UserError(
                f"{name}: {part} wants {amount:,.0f} images of every class, and class "
                f"{classes[worst]} "
                f"has {int(sizes[worst])} left"
                + (", one of which is for train" if part != "train" else "")
                + ": choose smaller numbers, or leave the class out")
    count = round(amount * total) if amount < 1 else int(amount)
    return take_out(images, labels, span, count, seed, each)


def only_classes(splits: Splits, classes: Sequence[str]) -> Splits:
    """The part of a dataset that has some of its classes; label i is `classes[i]`.

    Unlabelled are the training images of these classes: images whose class nobody knows are left
        out.

    Raises:
        UserError: a class that the dataset does not have, or fewer than two.
    """
    unknown = [name for name in classes if name not in splits.classes]
    if unknown or len(set(classes)) < 2:
        raise UserError(
            f"{splits.name}: {f'no class {unknown[0]}' if unknown else 'fewer than two classes'}: "
            f"choose two or more of {', '.join(splits.classes)}")
    new = torch.full((len(splits.classes) + 1,), -1)  # the last entry is where the label -1 looks
    new[[splits.classes.index(name) for name in classes]] = torch.arange(len(classes))
    parts, names = {}, {}
    for part in ("train", "val", "test"):
        images, labels = getattr(splits, part)
        rows = (new[labels] >= 0).nonzero().flatten()
        parts[part] = Labeled(images[rows], new[labels[rows]])
        if splits.names:
            names[part] = tuple(splits.names[part][row] for row in rows)
    if names:
        names["unlabeled"] = names["train"]
    return Splits(splits.name, parts["train"].images, **parts, classes=tuple(classes),
                  notes=splits.notes, names=names)
