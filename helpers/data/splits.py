"""What a loaded dataset is: images without labels, and labelled train, validation and test images.

All images of a dataset lie in one block (often a memory-mapped file) in the order
[pretext | train | validation and test], of which every split is a plain slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.split import check_classes
from helpers.data.folder_names import split_of

MOST = 100_000  # images of a `Whole`; comparing each with each takes hours from there on
UNLABELED = "unlabeled"
ENOUGH = 32  # images that a set to pretrain on needs


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

    def drawn(self, most: int, seed: int = 0) -> Labeled:
        """At most so many of them, drawn at random, in their order."""
        if len(self) <= most:
            return self
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(self), generator=generator)[:most].sort().values
        return Labeled(self.images[rows], self.labels[rows])

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


@dataclass(frozen=True, eq=False)
class Whole:
    """All images once. `whole[rows]` copies those few, and the many stay where they are.

    Attributes:
        blocks: uint8 n x C x H x W each, N images in all.
        labels: int64 N, -1 for none.
        splits: N names: "unlabeled", "train", "val" or "test".
        names: of the N images: their files, or split and number.
    """

    blocks: tuple[Tensor, ...]
    labels: Tensor
    splits: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Tensor:
        """Images by number, uint8: one (C x H x W), or those of n numbers (n x C x H x W)."""
        rows = np.asarray(rows)
        starts = np.cumsum([0, *map(len, self.blocks)])
        block = np.searchsorted(starts, rows, side="right") - 1
        found = [self.blocks[b][row - starts[b]]
                 for b, row in zip(block.flat, rows.flat, strict=True)]
        return torch.stack(found) if rows.ndim else found[0]

    def counts(self) -> dict[str, int]:
        """How many images each split has, where it has any."""
        return {split: int((self.splits == split).sum())
                for split in dict.fromkeys(self.splits.tolist())}

    def each(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """What `function` makes of the images (n x C x H x W to n x D), N x D."""
        return torch.cat([function(block) for block in self.blocks if len(block)])


def everything(splits: Splits, most: int = MOST) -> Whole:
    """The images without a label, then train, val and test.

    Of more than `most` images in all, the last of those without a label are left out.
    """
    labelled = [splits.train, splits.val, splits.test]
    without_label = len(splits.unlabeled) - len(splits.train)
    room = max(0, most - sum(map(len, labelled)))
    loose = splits.unlabeled[:min(without_label, room)]
    blocks = (loose, *(split.images for split in labelled))
    labels = torch.cat([torch.full((len(loose),), -1), *(split.labels for split in labelled)])
    images_of = dict(zip((UNLABELED, "train", "val", "test"), blocks, strict=True))
    files = splits.names or {split: [f"{split} {number}" for number in range(len(own))]
                             for split, own in images_of.items()}
    names = tuple(name for split, own in images_of.items() for name in files[split][:len(own)])
    return Whole(blocks, labels, np.repeat(list(images_of), [len(own) for own in blocks]), names)


def pretext_sets(splits: Splits) -> tuple[Splits, dict[str, Tensor]]:
    """A task and, by name, two sets of equally many images to pretrain on for it.

    A folder with images in `pretext/` or `unlabeled/` has its own: these, and the images of its
    labelled classes. Else half of the classes are the task, and the sets are the images of this
    half and of the other one. Where there is neither there are no sets.
    """
    own = _own_pretext(splits)
    if len(own) >= ENOUGH and len(splits.train) >= ENOUGH:
        task, sets = splits, {"labelled classes": splits.train.images, "own pretext set": own}
    elif len(splits.classes) >= 4:
        task, other = halves(splits)
        sets = {"same classes": task.unlabeled, "other classes": other.unlabeled}
    else:
        return splits, {}
    size = min(map(len, sets.values()))
    return task, {name: images[:size] for name, images in sets.items()}


def _own_pretext(splits: Splits) -> Tensor:
    """The images that lie in a folder's `pretext/`; they come first among the unlabelled."""
    files = splits.names.get("unlabeled", ())
    folders = [PurePosixPath(file).parts[:-1] for file in files]
    inside = [any(split_of(name)[0] == "pretext" for name in names) for names in folders]
    return splits.unlabeled[:sum(inside)]
