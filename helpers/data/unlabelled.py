"""A folder of images without any class: to pretrain on, or to be labelled by a person."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.files import one_at_a_time
from helpers.data import depth
from helpers.data.folder import HELD_OUT, decoded_listing
from helpers.data.folder_names import shown, split_of
from helpers.data.listing import ImageFile, Listing, images_under, left_out, shuffle, subfolders
from helpers.data.scan import add_images
from helpers.data.splits import Labeled, Splits

MOST_WATCHED = 1_000  # images, which a training is watched by


def has_classes(root: Path) -> bool:
    """Whether two folders beside each other can be classes: not those of images without labels, and
    neither one that is alone nor splits, unless there are classes in them."""
    folders = [folder for folder in subfolders(root, Listing("", root))
               if split_of(folder.name)[0] != "pretext"]
    if len(folders) < 2 or all(split_of(folder.name)[0] for folder in folders):
        return any(map(has_classes, folders))
    return True


def load_unlabelled(root: Path, image_size: int, data_dir: Path) -> Splits:
    """All images under `root`, however deep, as RGB and without a label.

    There are no classes and nothing to test. `HELD_OUT` of the images (`MOST_WATCHED` at most) are
    `val`, by which a training is watched.

    Raises:
        UserError: there is none.
    """
    listing = Listing(shown(root.resolve().name), root)
    add_images(listing, [root], "pretext", -1)
    listing.notes += left_out(listing)
    shuffle(listing)
    images, kept = decoded_listing(listing, image_size, data_dir)
    count = len(images)
    border = count - min(max(1, int(HELD_OUT * count)), MOST_WATCHED)
    none, labels = images[:0], torch.full((count,), -1)
    names = {"unlabeled": tuple(kept["names"][:border]), "val": tuple(kept["names"][border:]),
             "train": (), "test": ()}
    notes = (*listing.notes, *kept["notes"],
             f"no image has a label; {count - border:,} are kept apart to watch a training")
    return Splits(listing.name, images[:border], train=Labeled(none, labels[:0]),
                  val=Labeled(images[border:], labels[border:]), test=Labeled(none, labels[:0]),
                  classes=(), names=names, notes=notes,
                  ranges=depth.from_record(kept["ranges"]))


def load_photos(folder: str | Path, image_size: int,
                data_dir: str | Path = "data") -> tuple[Tensor, tuple[str, ...]]:
    """Every image under a folder that can be read, and its name relative to the folder.

    Returns:
        uint8, N x 3 x S x S, from a cache in `data_dir`; N names.

    Raises:
        UserError: no such folder, or no image in it.
    """
    root, data = Path(folder).expanduser(), Path(data_dir).expanduser()
    if not root.is_dir():
        raise UserError(f"no folder {root}: name the folder of the photos to be labelled")
    listing = Listing(root.resolve().name, root)
    listing.images = [ImageFile(path, "pretext", -1) for path in images_under(root, listing)]
    if not listing.images:
        raise UserError(f"folder {root}: no images in it to be labelled")
    if listing.unread:
        print(f"{root.name}: {len(listing.unread)} images that cannot be read here are left out, "
              f"such as {listing.unread[0].name}: convert them to JPEG", file=sys.stderr)
    with one_at_a_time(data):
        images, kept = decoded_listing(listing, image_size, data)
    return images, tuple(kept["names"])
