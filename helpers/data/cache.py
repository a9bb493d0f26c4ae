"""Decoded images on disk: written once, whole or not at all, checked and memory-mapped later."""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from helpers.common.files import unwritable

FORMAT = 1  # part of every key: raise it when the decoding or the layout changes
BLOCK, INDEX = "images.npy", "index.json"
PIECE = 256  # images of which the checksum is taken at a time
STALE_SECONDS = 24 * 3600  # a temporary folder this old was left by a process that was killed


class BlockWriter:
    """A .npy file of uint8 images that grows, so that memory stays flat.

    Plain writes rather than a writable memory map: on a full disk a map kills the process.
    """

    def __init__(self, file: BinaryIO, shape: tuple[int, int, int]) -> None:
        self.file, self.shape, self.count, self.checksum = file, shape, 0, 0
        self._write_header()

    def expect(self, count: int) -> None:
        """Raise OSError (ENOSPC) now if `count` images cannot fit on the disk."""
        needed = count * int(np.prod(self.shape))
        free = shutil.disk_usage(os.path.dirname(self.file.name)).free
        if needed > free:
            raise OSError(errno.ENOSPC, f"{needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")

    def append(self, images: np.ndarray) -> None:
        """Write images (uint8, n x C x H x W) behind those before."""
        data = np.ascontiguousarray(images).data.cast("B")
        self.checksum = zlib.crc32(data, self.checksum)
        self.file.write(data)
        self.count += len(images)

    def finish(self) -> dict[str, int]:
        """Write the final number of images into the header; what `verified` compares with later."""
        self.file.seek(0)
        self._write_header()  # NumPy pads it, so that a longer first axis needs no more room
        self.file.flush()
        os.fsync(self.file.fileno())
        return {"images": self.count, "checksum": self.checksum}

    def _write_header(self) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.count, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, header)


Build = Callable[[BlockWriter], dict[str, Any]]


def cached(folder: Path, shape: tuple[int, int, int], build: Build,
           outdated: Callable[[dict[str, Any]], bool] = lambda kept: False
           ) -> tuple[Tensor, dict[str, Any]]:
    """The block of images in `folder`, and its index; built first if it is missing or damaged.

    Args:
        folder: where the finished block is (to be) kept; its name must tell the content apart.
        shape: of one image (C x H x W).
        build: appends every image to the writer and returns what else to keep (JSON types).
        outdated: whether what was kept is to be built anew though it is whole.

    Returns:
        uint8, N x C x H x W, memory-mapped copy-on-write (changing it never changes the file),
        and the dict that `build` returned.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    index = verified(folder, shape)
    again = index is not None and outdated(index["kept"])
    if index is None or again:
        if again:
            shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            print(f"{folder}: the decoded images are damaged or incomplete, decoding again",
                  file=sys.stderr)
        try:
            _write(folder, shape, build)
        except OSError as problem:
            raise unwritable(
                folder.parent, problem, other="choose another data folder",
                room="free some space, choose another data folder or a smaller image size",
            ) from problem
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    images = np.load(folder / BLOCK, mmap_mode="c")
    return torch.from_numpy(images), index["kept"]


def verified(folder: Path, shape: tuple[int, int, int]) -> dict[str, Any] | None:
    """The index of a finished block whose shape, length and checksum are as recorded; else None."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        images = np.load(folder / BLOCK, mmap_mode="r")
        fits = images.shape == (index["images"], *shape) and images.dtype == np.uint8
        whole = fits and "kept" in index and _checksum(images) == index["checksum"]
        return index if whole else None
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _checksum(images: np.ndarray) -> int:
    """In pieces: several GB at once cannot be interrupted, and some zlibs cannot take them."""
    pieces = (images[start:start + PIECE] for start in range(0, len(images), PIECE))
    return functools.reduce(lambda before, piece: zlib.crc32(piece, before), pieces, 0)


def _write(folder: Path, shape: tuple[int, int, int], build: Build) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(folder.parent)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder.parent) as temporary:
        made = Path(temporary, folder.name)
        made.mkdir()
        with open(made / BLOCK, "wb") as file:
            writer = BlockWriter(file, shape)
            kept = build(writer)
            index = {**writer.finish(), "kept": kept}
        (made / INDEX).write_text(json.dumps(index), encoding="utf-8")
        if verified(folder, shape) is None:  # else another process was done before us
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)


def _remove_stale(parent: Path) -> None:
    for left_over in parent.glob(".part-*"):
        if time.time() - left_over.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(left_over, ignore_errors=True)
