"""Datasets that torchvision can find and read: STL-10, CIFAR-10, Fashion-MNIST, Imagenette.

Their validation images are a tenth of the training images; the test images are the published ones.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets.utils import extract_archive

from helpers.common.download import download
from helpers.common.errors import UserError
from helpers.data.arrays import CHUNK, resize
from helpers.data.cache import FORMAT, BlockWriter, cached
from helpers.data.carving import Shares, carve
from helpers.data.folder import load_listing
from helpers.data.scan import scan
from helpers.data.splits import Splits

HELD_OUT = 0.1  # of the training images, for validation
STL10_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship",
                 "truck")
# Side of the shorter edge -> name in torchvision, archive and its md5
# (https://github.com/fastai/imagenette).
IMAGENETTE = {160: ("160px", "imagenette2-160", "e793b78cc4c9e9a4ccc0c1155377a412"),
              320: ("320px", "imagenette2-320", "3df6f0d01a2c9592104656642f5e78a3"),
              9999: ("full", "imagenette2", "fe2fc210e6bb7c5664d602c3cd71e612")}
IMAGENETTE_URL = "https://s3.amazonaws.com/fast-ai-imageclas/"
IMAGENETTE_IMAGES = 13_394
Archive = tuple[str, Path, str]  # address, file, md5
# images (uint8, N x C x H x W each): without a label, if there are any, for training, for testing;
# labels of all of them, names of the classes
Blocks = tuple[list[torch.Tensor], list[int], list[str]]


def _torchvision(name: str, source: type, parts: tuple[Any, Any], data_dir: Path,
                 archives: list[Archive], unpacked: tuple[Path, ...] = ()) -> list[Any]:
    """Two parts of a torchvision dataset: as they lie on disk, else from archives that are
    downloaded first.

    Args:
        source: torchvision's class; `parts` are what it calls training and test images.
        unpacked: files that torchvision would trust without a checksum; made anew from the
            archives.
    """
    try:
        return [source(data_dir, part) for part in parts]
    except Exception:  # missing, incomplete or damaged: torchvision and pickle raise all sorts
        pass
    for archive in archives:
        download(*archive, name)
    try:
        for path in unpacked:
            path.unlink(missing_ok=True)
        return [source(data_dir, part, download=True) for part in parts]
    except Exception as problem:
        files = ", ".join(str(path) for _, path, _ in archives)
        why = " ".join(str(problem).split()) or type(problem).__name__
        raise UserError(
            f"{name}: unpacking {files} failed, {why}: free some disk space and run again, "
            "or use the dataset digits") from problem


def stl10(image_size: int, seed: int, data_dir: Path) -> Splits:
    """STL-10: 105,000 unlabeled images (5,000 of them the training images), 8,000 test images.

    Source: https://cs.stanford.edu/~acoates/stl10/
    """
    source = datasets.STL10
    archive = (source.url, data_dir / source.filename, source.tgz_md5)

    def read() -> Blocks:
        train, test = _torchvision("stl10", source, ("train", "test"), data_dir, [archive])
        # Mapped, as 2.8 GB need not pass through memory at once; columns come first in the file.
        file = data_dir / source.base_folder / source.train_list[2][0]
        pretext = np.memmap(file, np.uint8, "c").reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)
        labels = [-1] * len(pretext) + train.labels.tolist() + test.labels.tolist()
        blocks = [torch.from_numpy(part) for part in (pretext, train.data, test.data)]
        return blocks, labels, list(STL10_CLASSES)

    return _kept("stl10", 3, image_size, seed, data_dir, read)


def cifar10(image_size: int, seed: int, data_dir: Path) -> Splits:
    """CIFAR-10: 50,000 training and 10,000 test images of 32 x 32.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html
    """
    source = datasets.CIFAR10
    archive = (source.url, data_dir / source.filename, source.tgz_md5)

    def read() -> Blocks:
        train, test = _torchvision("cifar10", source, (True, False), data_dir, [archive])
        # [N, H, W, 3] -> [N, 3, H, W]
        blocks = [torch.from_numpy(part.data).permute(0, 3, 1, 2) for part in (train, test)]
        return blocks, train.targets + test.targets, train.classes

    return _kept("cifar10", 3, image_size, seed, data_dir, read)


def fashion_mnist(image_size: int, seed: int, data_dir: Path) -> Splits:
    """Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28, grayscale.

    Source: https://github.com/zalandoresearch/fashion-mnist
    """
    source = datasets.FashionMNIST
    raw = data_dir / "FashionMNIST" / "raw"
    archives = [(source.mirrors[0] + file, raw / file, md5) for file, md5 in source.resources]
    unpacked = tuple(path.with_suffix("") for _, path, _ in archives)

    def read() -> Blocks:
        train, test = _torchvision("fashion-mnist", source, (True, False), data_dir, archives,
                                   unpacked)
        blocks = [part.data[:, None] for part in (train, test)]  # [N, H, W] -> [N, 1, H, W]
        return blocks, train.targets.tolist() + test.targets.tolist(), train.classes

    return _kept("fashion-mnist", 1, image_size, seed, data_dir, read)


def _kept(name: str, channels: int, image_size: int, seed: int, data_dir: Path,
          read: Callable[[], Blocks]) -> Splits:
    """Splits of a dataset whose images are resized once, into a file: 60,000 images of 224 pixels
    are 9 GB there, and memory holds only those that change places for validation."""
    def build(writer: BlockWriter) -> dict[str, Any]:
        blocks, labels, classes = read()
        writer.expect(sum(map(len, blocks)))
        for chunk in (chunk for block in blocks for chunk in block.split(CHUNK)):
            writer.append(resize(chunk.contiguous(), image_size).numpy())
        border = len(labels) - len(blocks[-1])  # where the test images begin
        return {"labels": labels, "border": border, "classes": classes}

    images, kept = cached(data_dir / "cache" / f"{name}-{_key(image_size)}",
                          (channels, image_size, image_size), build)
    start = kept["labels"].count(-1)
    border = kept.get("border") or sum(kept["sizes"][:2])  # sizes: STL-10's of earlier versions
    spans = {"pretext": (0, start), "train": (start, border), "test": (border, len(images))}
    return carve(name, images, torch.tensor(kept["labels"]), spans,
                 tuple(kept.get("classes", STL10_CLASSES)),
                 Shares(val=HELD_OUT, test=0, seed=seed))


def _key(image_size: int) -> str:
    return hashlib.blake2b(f"{FORMAT} {image_size}".encode(), digest_size=5).hexdigest()


def imagenette(image_size: int, seed: int, data_dir: Path) -> Splits:
    """Imagenette, ten easy classes of ImageNet: 9,469 training images.

    Its validation images are our test images. The smallest of the three published sizes that is
    large enough is taken.
    Source: https://github.com/fastai/imagenette
    """
    size, folder, md5 = next(IMAGENETTE[side] for side in sorted(IMAGENETTE) if image_size <= side)
    root = data_dir / folder
    if not root.is_dir():
        archive = data_dir / f"{folder}.tgz"
        download(IMAGENETTE_URL + archive.name, archive, md5, "imagenette")
        _unpack(archive, root)
    listing = scan(root, name="imagenette")
    try:
        synonyms = datasets.Imagenette(data_dir, "train", size).classes
        listing.classes = tuple(names[0] for names in synonyms)
    except (KeyError, FileNotFoundError) as problem:
        why = (f"it has the class {problem}" if isinstance(problem, KeyError)
               else "it has a class without JPEGs")
        raise UserError(
            f"imagenette: {root} is not what Imagenette's archive holds, {why}: remove {root} "
            "to unpack it again, or load it as a folder") from problem
    listing.images = [replace(image, split="test") if image.split == "val" else image
                      for image in listing.images]
    if len(listing.images) < IMAGENETTE_IMAGES:
        listing.notes.append(f"{len(listing.images):,} of {IMAGENETTE_IMAGES:,} images found: "
                             f"remove {root} to unpack it again")
    return load_listing(listing, image_size, seed, data_dir, held_out=HELD_OUT)


def _unpack(archive: Path, root: Path) -> None:
    """Unpack beside `root` first: torchvision takes a folder of that name for whole."""
    try:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=root.parent) as temporary:
            extract_archive(archive, temporary)
            Path(temporary, root.name).rename(root)
    except Exception as problem:
        why = " ".join(str(problem).split()) or type(problem).__name__
        raise UserError(
            f"imagenette: unpacking {archive} failed, {why}: free some disk space and run again, "
            "or use the dataset digits") from problem


READERS = {"stl10": stl10, "cifar10": cifar10, "imagenette": imagenette,
           "fashion-mnist": fashion_mnist}
