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
    """`splits`, or a UserError where it has fewer than `least` training images."""
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

    def each(self, name: str) -> bool:
        """Whether this split's number is of each class."""
        return self.per_class and getattr(self, name) >= 1

    def count(self, name: str, total: int) -> int:
        """The rows of a split out of `total`, or out of each class (see `each`)."""
        amount = getattr(self, name)
        return round(amount * total) if amount < 1 else int(amount)


def carve(name: str, images: Tensor, labels: Tensor, spans: dict[str, tuple[int, int]],
          classes: tuple[str, ...], shares: Shares) -> Splits:
    """Make `Splits` of one block; a validation or test split that is missing comes out of train.

    Args:
        images: uint8, N x C x H x W; rows are reordered in place.
        labels: int64, N; -1 for an image without a label.
        spans: first row and row after the last of "train" and, where the data has them, of
            "pretext" (which must end where train begins), "val" and "test".
        shares: how much to take out for those that are missing.

    Raises:
        UserError: there are too few rows for that.
    """
    spans = {"pretext": (spans["train"][0],) * 2, **spans}
    total = spans["train"][1] - spans["train"][0]

    def take(split: str, seed: int) -> tuple[tuple[int, int], tuple[int, int]]:
        if shares.each(split):
            _check_classes_suffice(name, classes, labels[slice(*spans["train"])], split,
                                   shares.count(split, total))
        return take_out(images, labels, spans["train"], shares.count(split, total), seed,
                        shares.each(split))

    for split, seed in (("test", TEST_SEED), ("val", shares.seed)):
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
    left, wanted = span[1] - span[0], shares.count("train", total)
    if shares.train >= 1:
        return True
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


def only_classes(splits: Splits, classes: Sequence[str]) -> Splits:
    """Some classes of a dataset; label i is `classes[i]`.

    Unlabelled are the training images of these classes: images of unknown class are left out.

    Raises:
        UserError: a class that the dataset does not have, or fewer than two.
    """
    unknown = [name for name in classes if name not in splits.classes]
    if unknown or len(set(classes)) < 2:
        problem = f"no class {unknown[0]}" if unknown else "fewer than two classes"
        raise UserError(
            f"{splits.name}: {problem}: choose two or more of {', '.join(splits.classes)}")
    new = torch.full((len(splits.classes) + 1,), -1)  # the last entry is where the label -1 looks
    new[[splits.classes.index(name) for name in classes]] = torch.arange(len(classes))
    labeled, names = {}, {}
    for split in ("train", "val", "test"):
        images, labels = getattr(splits, split)
        rows = (new[labels] >= 0).nonzero().flatten()
        labeled[split] = Labeled(images[rows], new[labels[rows]])
        if splits.names:
            names[split] = tuple(splits.names[split][row] for row in rows)
    if names:
        names["unlabeled"] = names["train"]
    return Splits(splits.name, labeled["train"].images, **labeled, classes=tuple(classes),
                  notes=splits.notes, names=names)
