"""Features (latents) on disk: memory-mapped shards, and what each row is of.

A folder of them holds `latents.json` (what made them), `rows.csv` (file, split, class and mark of
each row) and shards, N x D each, called after what is in them: a shard that is there need not be
made again.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.markup import from_cell
from helpers.data.depth import from_record
from helpers.models.encoder import Encoder

ROWS = 4096  # of a shard
FACTS, TABLE = "latents.json", "rows.csv"
COLUMNS = ("file", "split", "class", "mark")
SPLITS = ("pretext", "train", "val", "test")


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
        split: N names of `SPLITS`; labels: int64 N, -1 where there is none.
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
