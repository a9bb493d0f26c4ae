"""Features (latents) on disk: memory-mapped shards, and what each row is of.

A folder of them holds `latents.json` (what made them), `rows.csv` (file, split, class and mark of
each row) and shards, N x D each, called after what is in them: a shard that is there need not be
made again.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b, sha256
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.files import atomic_path, unwritable, write_atomically
from helpers.common.markup import as_cell, from_cell
from helpers.common.progress_bar import progress
from helpers.data.depth import from_record
from helpers.data.splits import UNLABELED, Splits, Whole, everything
from helpers.models.encoder import Encoder

Describe = Callable[[Tensor], Tensor]
ROWS = 4096  # of a shard
FACTS, TABLE = "latents.json", "rows.csv"
COLUMNS = ("file", "split", "class", "mark")


@dataclass(frozen=True)
class Made:
    """What made the features: with another of these they would be others."""

    weights: str  # name or file, as it was said
    sha256: str  # of the encoder's tensors
    image_size: int
    channels: int
    dtype: str  # float16 or float32


@dataclass(frozen=True)
class Latents:
    """Features of a dataset. `shards` are memory-mapped, in the order of the rows.

    Attributes:
        name: the dataset's.
        split: N names: pretext, train, val, test; labels: int64 N, -1 where there is none.
        marks: int64 N, a number for each image's pixels.
        ranges: as `Splits` has them.
    """

    name: str
    classes: tuple[str, ...]
    made: Made
    shards: list[np.ndarray]
    files: list[str]
    split: np.ndarray
    labels: Tensor
    marks: Tensor
    ranges: dict[str, tuple[float, float]]

    @property
    def width(self) -> int:
        """Numbers in a feature."""
        return self.shards[0].shape[1]

    def part(self, split: str) -> LatentPart:
        """The rows of one split; "unlabeled" has those of pretext and train."""
        wanted = ("pretext", "train") if split == "unlabeled" else (split,)
        rows = np.flatnonzero(np.isin(self.split, wanted))
        return LatentPart(self.shards, rows, self.labels[rows], self.marks[rows])


@dataclass(frozen=True)
class LatentPart:
    """Some rows of the shards, with their labels and marks; read when they are asked for."""

    shards: list[np.ndarray]
    rows: np.ndarray
    labels: Tensor
    marks: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray | slice = slice(None)) -> Tensor:
        """The features of these rows of the part, float32 n x D; read from the disk now."""
        return torch.from_numpy(rows_of(self.shards, self.rows[index]).astype(np.float32))

    def batches(self, size: int, generator: torch.Generator | None = None
                ) -> Iterator[tuple[Tensor, Tensor]]:
        """Features n x D and labels n, `size` at a time; shuffled with a generator."""
        order = torch.arange(len(self)) if generator is None else torch.randperm(
            len(self), generator=generator)
        for index in order.split(size):
            yield self.take(index.numpy()), self.labels[index]


def made_by(encoder: Encoder, words: str, dtype: str = "float16") -> Made:
    """What features of an encoder are made by; `words` name it."""
    digest = sha256()
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return Made(words, digest.hexdigest(), encoder.config["image_size"],
                encoder.config["channels"], dtype)


def in_memory(features: Tensor, labels: Tensor) -> LatentPart:
    """Features N x D that are not on a disk, with labels N, as a part."""
    shards = [shard.numpy() for shard in features.split(ROWS)]
    return LatentPart(shards, np.arange(len(features)), labels, torch.arange(len(features)))


def rows_of(shards: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Some rows of the shards, n x D in their own type; read from the disk now."""
    found = np.empty((len(rows), shards[0].shape[1]), shards[0].dtype)
    for number in np.unique(rows // ROWS):
        here = rows // ROWS == number
        found[here] = shards[number][rows[here] % ROWS]
    return found


def marks_of(images: Tensor) -> Tensor:
    """A number for each image that tells it from all others, int64 N."""
    digests = [blake2b(image.numpy().tobytes(), digest_size=8).digest() for image in images]
    return torch.from_numpy(np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64))


def is_latents(path: str | Path) -> bool:
    """Whether a folder holds features."""
    return Path(path).is_dir() and (Path(path) / FACTS).is_file()


def read_latents(folder: str | Path) -> Latents:
    """What `write_latents` wrote; the features stay on the disk until they are asked for.

    Raises:
        UserError: the folder holds none, or they are not whole.
    """
    folder = Path(folder)
    if not is_latents(folder):
        raise UserError(f"{folder} holds no features: write them with `python -m helpers features "
                        f"IMAGES --out {folder}`")
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        shards = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in facts["shards"]]
        with open(folder / TABLE, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        classes, made = tuple(facts["classes"]), Made(**facts["made"])
        numbers = {name: label for label, name in enumerate(classes)} | {"": -1}
        labels = torch.tensor([numbers[from_cell(row["class"])] for row in rows])
        marks = np.array([int(row["mark"], 16) for row in rows], np.uint64).astype(np.int64)
        found = Latents(facts["name"], classes, made, shards,
                        [from_cell(row["file"]) for row in rows],
                        np.array([row["split"] for row in rows]), labels, torch.from_numpy(marks),
                        from_record(facts["ranges"]))
        if sum(map(len, shards)) != len(rows):
            raise ValueError(f"{len(rows):,} rows and {sum(map(len, shards)):,} features")
    except (OSError, ValueError, KeyError, TypeError, EOFError) as problem:
        why = " ".join(str(problem).split())[:120]
        raise UserError(f"{folder} holds no whole features ({why}): write them again with "
                        "`python -m helpers features`") from None
    return found


def write_latents(folder: str | Path, splits: Splits, made: Made, describe: Describe) -> dict:
    """Write the features of all images of `splits`; what is there of the same images is kept.

    Memory does not grow with the images. Interrupted, the next call goes on.

    Args:
        describe: uint8 n x C x S x S to float32 n x D on the CPU.

    Returns:
        How many were "kept", "computed", and were of images that are no longer there, "dropped".

    Raises:
        UserError: the folder holds other features, or cannot be written.
    """
    folder = Path(folder)
    before = _known(folder, splits.name, made)
    try:
        return _write(folder, splits, made, describe, before)
    except OSError as problem:
        raise unwritable(folder, problem) from problem


def _write(folder: Path, splits: Splits, made: Made, describe: Describe,
           before: Latents | None) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    known = {} if before is None else {mark: row for row, mark in enumerate(before.marks.tolist())}
    whole = everything(splits, most=sys.maxsize)
    names, all_marks, counts = [], [], {"kept": 0, "computed": 0}
    with progress(None, f"features of {splits.name}", "images", total=len(whole)) as bar:
        for rows in torch.arange(len(whole)).split(ROWS):
            images = whole[rows]
            mark = marks_of(images)
            path = folder / f"{_name(mark, made)}.npy"
            if not path.is_file():
                old = torch.tensor([known.get(one, -1) for one in mark.tolist()])
                _write_shard(path, images, old, before, made, describe)
                counts["kept"] += int((old >= 0).sum())
                counts["computed"] += int((old < 0).sum())
            else:
                counts["kept"] += len(images)
            names.append(path.stem)
            all_marks += mark.tolist()
            bar.update(len(images))
    _write_table(folder / TABLE, whole, splits, all_marks)
    write_atomically(folder / FACTS, json.dumps(
        {"name": splits.name, "classes": splits.classes, "made": asdict(made), "shards": names,
         "ranges": splits.ranges}, indent=1))
    for path in folder.glob("*.npy"):  # of images that have changed, and of interrupted writes
        if path.stem not in names:
            with suppress(OSError):  # Windows keeps what is mapped
                path.unlink()
    return counts | {"dropped": len(known.keys() - all_marks)}


def _write_shard(path: Path, images: Tensor, old: Tensor, before: Latents | None, made: Made,
                 describe: Describe) -> None:
    """The features of some images, those that are known (`old` row >= 0) taken over."""
    new = old < 0
    computed = describe(images[new]) if new.any() else None
    width = computed.shape[1] if computed is not None else before.width
    features = np.empty((len(images), width), made.dtype)
    if computed is not None:
        features[new.numpy()] = computed.numpy()
    if before is not None:
        features[(~new).numpy()] = rows_of(before.shards, old[~new].numpy())
    with atomic_path(path) as temporary:
        np.save(temporary, features)


def _known(folder: Path, name: str, made: Made) -> Latents | None:
    """What is there already; None where nothing is.

    Raises:
        UserError: it is of other images, or made in another way.
    """
    if not is_latents(folder):
        return None
    before = read_latents(folder)
    for what, then, now in (("dataset", before.name, name),
                            ("encoder", before.made.sha256[:8], made.sha256[:8]),
                            ("image size", before.made.image_size, made.image_size),
                            ("dtype", before.made.dtype, made.dtype)):
        if then != now:
            raise UserError(f"{folder} holds features of another {what} ({then}, not {now}): name "
                            "another folder, or remove it")
    return before


def _name(marks: Tensor, made: Made) -> str:
    """Of a shard: it changes with the images and with what made the features."""
    digest = blake2b(marks.numpy().tobytes(), digest_size=8)
    digest.update(f"{made.sha256} {made.image_size} {made.dtype}".encode())
    return digest.hexdigest()


def _write_table(path: Path, whole: Whole, splits: Splits, marks: list[int]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="",
                                              encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        numbers = defaultdict(count)
        for name, split, label, mark in zip(whole.names, whole.splits, whole.labels.tolist(),
                                            marks, strict=True):
            split = "pretext" if split == UNLABELED else split
            place = name if splits.names else f"{split}/{next(numbers[split])}"
            label = splits.classes[label] if label >= 0 else ""
            writer.writerow([as_cell(place), split, as_cell(label),
                             f"{mark & (1 << 64) - 1:016x}"])
