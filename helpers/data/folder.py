"""Any folder of images as `Splits`: listed, decoded in parallel into a cache, and split."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from helpers.common.errors import UserError
from helpers.common.machine import workers
from helpers.common.progress_bar import progress
from helpers.common.split import Split, amount_text
from helpers.data import depth
from helpers.data.cache import BlockWriter, cached
from helpers.data.carving import Shares, carve
from helpers.data.images import Unreadable, extremes, read_image
from helpers.data.listing import ORDER, ImageFile, Listing
from helpers.data.scan import scan
from helpers.data.splits import Splits

FORMAT = 4  # part of every key: raise it when the decoding, or what is kept with it, changes
CHUNK = 256  # images in memory at a time
HELD_OUT = 0.15  # of the training images, for each of val and test that the folder lacks
MOST_HELD_OUT = 10_000  # of them: they are moved in memory, which must not grow with the folder
NAMED = 5  # unreadable images that a note names


def load_folder(root: Path, image_size: int, seed: int, data_dir: Path,
                split: Split | None = None) -> Splits:
    """The images under `root` as RGB; see `helpers.data.scan.scan` for the layouts.

    A missing val/ or test/ is taken out of train, each 15 % of it (10,000 at most) and every class
    in proportion, or as `split` says; nothing on disk is moved. An image that cannot be read is
    skipped and named in the notes.
    """
    split = split or Split()
    listing = scan(root, classes=split.classes)
    for name in ("val", "test"):
        if getattr(split, name) is not None and any(one.split == name for one in listing.images):
            raise UserError(
                f"folder {root}: it has a {name}/ folder, which is taken as it is: leave {name} "
                f"at auto, or name a folder without {name}/")
    return load_listing(listing, image_size, seed, data_dir, held_out=HELD_OUT, split=split)


def load_listing(listing: Listing, image_size: int, seed: int, data_dir: Path, held_out: float,
                 split: Split | None = None) -> Splits:
    """Decode (or find decoded) the images of a listing and split them.

    Args:
        held_out: share of the training images for val, and for test, where `split` says nothing;
            with 0 they are empty where the listing has none.
    """
    split = split or Split()
    images, kept = decoded_listing(listing, image_size, data_dir)
    labels = torch.tensor(kept["labels"])
    spans = {name: tuple(span) for name, span in kept["spans"].items()}
    start, stop = spans["train"]
    held_out = min(held_out, MOST_HELD_OUT / (stop - start))
    shares = Shares(val=split.val or held_out, test=split.test or held_out, train=split.train,
                    per_class=True, seed=seed)
    # divided just as the images are, so that every image keeps its file's name
    rows = carve(listing.name, torch.arange(len(images)), labels.clone(), spans, listing.classes,
                 shares)
    rows_of = {"unlabeled": rows.unlabeled, "train": rows.train.images, "val": rows.val.images,
               "test": rows.test.images}
    names = {name: tuple(kept["names"][row] for row in found.tolist())
             for name, found in rows_of.items()}
    splits = carve(listing.name, images, labels, spans, listing.classes, shares)
    notes = (*listing.notes, *kept["notes"], *_notes(spans, shares))
    return replace(splits, names=names, notes=notes,
                   ranges=depth.from_record(kept["ranges"]))


def held_out_share(listing: Listing) -> float:
    """`HELD_OUT`, or 0 where most classes are too small: an image for each part that is missing,
    and one to learn from."""
    labels = Counter(image.label for image in listing.images if image.split == "train")
    missing = {"val", "test"} - {image.split for image in listing.images}
    return HELD_OUT if median(labels.values()) > len(missing) else 0


def decoded_listing(listing: Listing, image_size: int,
                    data_dir: Path) -> tuple[torch.Tensor, dict[str, Any]]:
    """The images of a listing, decoded or found decoded, and what was kept with them."""
    folder = data_dir / "cache" / f"{listing.name}-{listing.key(image_size, FORMAT)}"
    return cached(folder, (3, image_size, image_size),
                  lambda writer: decode(listing, image_size, writer),
                  lambda kept: _mended_since(kept, listing.root, image_size))


def _mended_since(kept: dict[str, Any], root: Path, image_size: int) -> bool:
    """Whether an image that could not be read can be now: a disk answers again, a plug-in was
    installed."""
    files = [ImageFile(root / name, "", -1) for name in kept["broken"]]
    return any(isinstance(pixels, np.ndarray)
               for chunk in decoded(files, image_size) for _, pixels in chunk)


def _notes(spans: dict[str, tuple[int, int]], shares: Shares) -> list[str]:
    """What was taken out of the training images, in words."""
    notes = []
    for name, amount in (("val", shares.val), ("test", shares.test)):
        if name not in spans and not amount:
            notes.append(f"no {name}/ folder, and too few labels to keep some apart for it")
        elif name not in spans:
            of = "of the training images are" if amount < 1 else "are"
            same = ", the same for every seed" if name == "test" else ""
            notes.append(
                f"no {name}/ folder: {amount_text(amount)} {of} kept apart for it{same}")
    if shares.train is not None:
        notes.append(f"{amount_text(shares.train)} keep their labels for training; the rest is "
                     "only for pretraining")
    return notes


def decode(listing: Listing, image_size: int, writer: BlockWriter) -> dict[str, Any]:
    """Write every image that can be read; return labels, spans of the splits, notes and names."""
    written: list[ImageFile] = []
    broken: dict[ImageFile, str] = {}
    writer.expect(len(listing.images))
    bar = progress(None, f"decoding {listing.name}", "images", total=len(listing.images))
    with warnings.catch_warnings(), bar:
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which we do not use
        ranges = _ranges(listing.images)
        for chunk in decoded(listing.images, image_size, ranges):
            good = [(image, pixels) for image, pixels in chunk if isinstance(pixels, np.ndarray)]
            broken |= {image: pixels for image, pixels in chunk if isinstance(pixels, str)}
            if good:
                writer.append(np.stack([pixels for _, pixels in good]))
            written += [image for image, _ in good]
            bar.update(len(chunk))
    notes = [broken_note({listing.name_of(image): why for image, why in broken.items()})
             ] if broken else []
    for note in notes:
        print(f"{listing.name}: {note}", file=sys.stderr)
    _require_every_class(listing, written, notes)
    return {
        "labels": [image.label for image in written], "spans": spans_of(written),
        "notes": notes + depth.in_words(ranges),
        "ranges": ranges,
        "names": [listing.name_of(image) for image in written],
        "broken": [image.path.relative_to(listing.root).as_posix() for image in broken]
    }


def _ranges(found: list[ImageFile]) -> depth.Ranges:
    """What is black and white in images of more than 8 bits, the same in all of them."""
    deep = [image.path for image in found if image.path.suffix.lower() not in depth.SHALLOW]
    with ThreadPoolExecutor(workers()) as pool:
        return depth.common_ranges(filter(None, pool.map(extremes, deep)))


def decoded(found: list[ImageFile], image_size: int, ranges: depth.Ranges = depth.USUAL
            ) -> Iterator[list[tuple[ImageFile, np.ndarray | str]]]:
    """Chunks of images with their pixels (uint8, 3 x size x size), or why there are none.

    Threads are enough: Pillow lets go of Python's lock while it decodes and resizes.
    """
    def one(image: ImageFile) -> tuple[ImageFile, np.ndarray | str]:
        try:
            return image, read_image(image.path, image_size, ranges)
        except Unreadable as problem:
            return image, str(problem)

    remaining = iter(found)
    with ThreadPoolExecutor(workers()) as pool:
        while chunk := list(islice(remaining, CHUNK)):
            yield list(pool.map(one, chunk))


def spans_of(written: list[ImageFile]) -> dict[str, tuple[int, int]]:
    """First row and row after the last of every split that has images, in the order of storage."""
    spans, start = {}, 0
    for split in ORDER:
        count = sum(image.split == split for image in written)
        if count:
            spans[split] = (start, start + count)
        start += count
    return spans


def broken_note(broken: dict[str, str]) -> str:
    """One line that counts the skipped images and names the first few, with the reason."""
    named = ", ".join(f"{name} ({why})" for name, why in islice(broken.items(), NAMED))
    more = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
    plural = "image" if len(broken) == 1 else "images"
    return f"{len(broken)} {plural} could not be read, skipped: {named}{more}"


def _require_every_class(listing: Listing, written: list[ImageFile], notes: list[str]) -> None:
    """Every folder that had images must have one that can be read."""
    wanted = {(image.split, image.label) for image in listing.images}
    missing = sorted(wanted - {(image.split, image.label) for image in written})
    if missing:
        split, label = missing[0]
        what = f"class {listing.classes[label]} of {split}" if label >= 0 else split
        raise UserError(
            f"folder {listing.root}: no image of {what} can be read: {'; '.join(notes)}")
