"""What a loaded dataset is: images without labels, and labelled train, validation and test images.

All images of a dataset lie in one block (often a memory-mapped file) in the order
[pretext | train | validation and test], of which every split is a plain slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.split import check_classes


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
        ranges: what became black and white in images of more than 8 bits, by "integer" and "float";
            see `helpers.data.depth`.
    """

    name: str
    unlabeled: Tensor
    train: Labeled
    val: Labeled
    test: Labeled
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

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
    """One row a split: split, images, labelled (how many have a label), smallest and largest class
    (images; None without labels) and size ("1 x 16 x 16")."""
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
            "smallest class": int(counts.min()) if len(counts) else None,
            "largest class": int(counts.max()) if len(counts) else None, "size": size
        })
    return rows


def require(splits: Splits, least: int) -> Splits:
    """`splits`, or a UserError where it has fewer than `least` training images."""
    if len(splits.train) < least:
        raise UserError(
            f"{splits.name}: {len(splits.train)} training images with a label are too few for this "
            f"notebook, which needs {least}: add some, or split off less")
    return splits


def only_classes(splits: Splits, classes: Sequence[str]) -> Splits:
    """Some classes of a dataset; label i is `classes[i]`.

    Unlabelled are the training images of these classes: images of unknown class are left out.

    Raises:
        UserError: a class that the dataset does not have, or fewer than two.
    """
    classes = check_classes(classes, splits.classes, splits.name)
    if len(set(classes)) < 2:
        raise UserError(f"{splits.name}: fewer than two classes: choose two or more of "
                        f"{', '.join(splits.classes)}")
    return _with_classes(splits, classes)


def halves(splits: Splits) -> tuple[Splits, Splits]:
    """The first half of the classes and the others, as `only_classes` gives them."""
    cut = len(splits.classes) // 2
    first, second = splits.classes[:cut], splits.classes[cut:]
    return _with_classes(splits, first), _with_classes(splits, second)


def _with_classes(splits: Splits, classes: Sequence[str]) -> Splits:
    """`only_classes`, whatever their number."""
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
                  notes=splits.notes, names=names, ranges=splits.ranges)
