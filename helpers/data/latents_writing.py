"""Writing features to the disk, see `helpers.data.latents`: a shard at a time, and once each."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.files import atomic_path, unwritable, write_atomically
from helpers.common.markup import as_cell
from helpers.common.progress_bar import progress
from helpers.data import latents
from helpers.data.latents import (
    COLUMNS,
    FACTS,
    SPLITS,
    TABLE,
    Latents,
    Made,
    is_latents,
    marks_of,
    read_latents,
)
from helpers.data.splits import Splits

Describe = Callable[[Tensor], Tensor]


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
    names, all_marks, counts = [], [], {"kept": 0, "computed": 0}
    total = sum(len(images) for _, images, _ in _parts(splits))
    with progress(None, f"features of {splits.name}", "images", total=total) as bar:
        for images in _shards(splits):
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
    _write_table(folder / TABLE, splits, all_marks)
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
        features[(~new).numpy()] = latents.rows_of(before.shards, old[~new].numpy())
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


def _parts(splits: Splits) -> list[tuple[str, Tensor, Tensor]]:
    """Every image once: split, images, labels."""
    free = len(splits.unlabeled) - len(splits.train)
    parts = [("pretext", splits.unlabeled[:free], torch.full((free,), -1))]
    return parts + [(name, *getattr(splits, name)) for name in SPLITS[1:]]


def _shards(splits: Splits) -> Iterator[Tensor]:
    """The images, `latents.ROWS` at a time across the splits."""
    waiting: list[Tensor] = []
    for _, images, _ in _parts(splits):
        start = 0
        while start < len(images):
            piece = images[start:start + latents.ROWS - sum(map(len, waiting))]
            start += len(piece)
            waiting.append(piece)
            if sum(map(len, waiting)) == latents.ROWS:
                yield torch.cat(waiting)
                waiting = []
    if waiting:
        yield torch.cat(waiting)


def _name(marks: Tensor, made: Made) -> str:
    """Of a shard: it changes with the images and with what made the features."""
    digest = blake2b(marks.numpy().tobytes(), digest_size=8)
    digest.update(f"{made.sha256} {made.image_size} {made.dtype}".encode())
    return digest.hexdigest()


def _write_table(path: Path, splits: Splits, marks: Sequence[int]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="",
                                              encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        numbers = iter(marks)
        for name, images, labels in _parts(splits):
            files = _files(splits, name, len(images))
            for place, label in zip(files, labels.tolist(), strict=True):
                label = splits.classes[label] if label >= 0 else ""
                mark = f"{next(numbers) & (1 << 64) - 1:016x}"
                writer.writerow([as_cell(place), name, as_cell(label), mark])


def _files(splits: Splits, split: str, count: int) -> Sequence[str]:
    """Names of the images of a split."""
    if not splits.names:
        return [f"{split}/{row}" for row in range(count)]
    return splits.names["unlabeled" if split == "pretext" else split][:count]
