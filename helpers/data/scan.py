"""Which images a folder holds, of which split and class each is; nothing is opened here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from helpers.common.errors import UserError
from helpers.common.split import check_classes
from helpers.data.images import EXTENSIONS, UNREAD

# Names that people give these folders; case does not matter.
SPLIT_FOLDERS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "pretext": "pretext", "unlabeled": "pretext", "unlabelled": "pretext",
}
ORDER = ("pretext", "train", "val", "test")


@dataclass(frozen=True)
class ImageFile:
    """A file, its split (one of `ORDER`), and its label (-1 = none)."""

    path: Path
    split: str
    label: int


@dataclass
class Listing:
    """What was found under `root`; `images` are in the order in which they are to be stored."""

    name: str
    root: Path
    classes: tuple[str, ...] = ()
    images: list[ImageFile] = field(default_factory=list)
    ignored: int = 0
    unread: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def key(self, image_size: int, version: int) -> str:
        """Ten hex digits that change with any file's name, size or time, and with how it is
        decoded."""
        digest = hashlib.blake2b(f"{version} {image_size} {self.classes}".encode(), digest_size=5)
        lines = []
        for image in self.images:
            state, place = image.path.stat(), image.path.relative_to(self.root).as_posix()
            lines.append(f"{place} {image.split} {image.label} {state.st_size} "
                         f"{state.st_mtime_ns}\n")
        digest.update("".join(sorted(lines)).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def scan(root: Path, name: str | None = None, classes: Sequence[str] = ()) -> Listing:
    """List `train/<class>/` with `val/`, `test/`, `pretext/` or `unlabeled/`, or a folder of
    `<class>/`.

    Args:
        classes: the only ones to list; all of them by default. What has no label is listed in any
            case.

    Raises:
        UserError: no classes, an empty class or split, a class that train lacks, or fewer than two
            chosen ones.
    """
    listing = Listing(name or root.resolve().name, root)
    folders = {split: [] for split in (*ORDER, "")}
    for folder in _subfolders(root, listing):
        folders[SPLIT_FOLDERS.get(folder.name.lower(), "")].append(folder)
    _check_folders(root, folders)
    if folders["train"]:
        if folders[""]:
            listing.notes.append(
                f"folders beside train/ were ignored: {_some(e.name for e in folders[''])}")
        for split in ("train", "val", "test"):
            for folder in folders[split]:
                _add_classes(listing, folder, split, _subfolders(folder, listing))
    else:
        _add_classes(listing, root, "train", folders[""])
    for folder in folders["pretext"]:
        _add(listing, folder, "pretext", -1)
    if classes:
        _keep(listing, classes)
    if listing.unread:
        listing.notes.append(_unread(listing.unread, "left out"))
    if listing.ignored:
        listing.notes.append(f"{listing.ignored} hidden files or files that are not images, "
                             "or that lie outside a class folder, were ignored")
    _shuffle(listing)
    return listing


def _check_folders(root: Path, folders: dict[str, list[Path]]) -> None:
    held_out = folders["val"] + folders["test"]
    if not folders["train"] and held_out:
        raise UserError(f"folder {root}: there is a {held_out[0].name}/ but no train/: "
                        "put the training images in train/<class>/")
    if not folders["train"] and not folders[""]:
        raise UserError(
            f"folder {root}: no class folders: put the images in train/<class>/ or <class>/")
    for split in ("train", "val", "test"):
        if len(folders[split]) > 1:
            names = _some(folder.name for folder in folders[split])
            raise UserError(f"folder {root}: {names} mean the same: keep one")


def _subfolders(folder: Path, listing: Listing) -> list[Path]:
    """The folders in a folder, by name; its files are counted as ignored."""
    entries = sorted(folder.iterdir())
    listing.ignored += sum(not entry.is_dir() for entry in entries)
    return [entry for entry in entries
            if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))]


def _keep(listing: Listing, classes: Sequence[str]) -> None:
    """Leave out the images of all other classes."""
    check_classes(classes, listing.classes, f"folder {listing.root}")
    if len(classes) < 2:
        raise UserError(
            f"folder {listing.root}: one class chosen ({classes[0]}), at least 2 are needed: "
            f"choose more of {_some(listing.classes, 12)}")
    kept = tuple(name for name in listing.classes if name in classes)
    label = {listing.classes.index(name): number for number, name in enumerate(kept)} | {-1: -1}
    listing.images = [replace(one, label=label[one.label])
                      for one in listing.images if one.label in label]
    if len(kept) < len(listing.classes):
        listing.notes.append(
            f"{len(kept)} of {len(listing.classes)} classes were chosen: {_some(kept)}")
    listing.classes = kept


def _add_classes(listing: Listing, folder: Path, split: str, classes: list[Path]) -> None:
    names = tuple(sorted(entry.name for entry in classes))
    if split == "train":
        if len(names) < 2:
            raise UserError(
                f"folder {folder}: {len(names)} class folders found, at least 2 are needed "
                f"({folder.name}/<class>/)")
        listing.classes = names
    if not names:
        raise UserError(f"folder {folder}: no class folders: add {folder.name}/<class>/ "
                        f"or remove {folder.name}/")
    unknown = sorted(set(names) - set(listing.classes))
    if unknown:
        raise UserError(f"folder {folder}: train has no class {_some(unknown)}: "
                        "add it to train or remove it here")
    for name in names:
        _add(listing, folder / name, split, listing.classes.index(name))


def _add(listing: Listing, folder: Path, split: str, label: int) -> None:
    """Add every image under `folder`, however deep."""
    before = len(listing.unread)
    found = [ImageFile(path, split, label) for path in _images(folder, listing)]
    unread = listing.unread[before:]
    if not found and unread:
        raise UserError(f"folder {folder}: {_unread(unread, 'and no others in it')}")
    if not found:
        kinds = ", ".join(sorted(kind[1:] for kind in EXTENSIONS))
        raise UserError(
            f"folder {folder}: no images in it: add some ({kinds}) or remove the folder")
    listing.images += found


def _images(folder: Path, listing: Listing) -> Iterator[Path]:
    """The images under `folder`, by name; links are followed, but never round in a circle."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place, name) for name in sorted(files)):
            kind = "" if path.name.startswith(".") else path.suffix.lower()
            if kind in UNREAD:
                listing.unread.append(path)
            elif kind in EXTENSIONS and path.exists():
                yield path
            else:
                listing.ignored += 1


def _unread(paths: list[Path], what: str) -> str:
    kinds = {path.suffix[1:].upper() for path in paths}
    cure = "convert them to JPEG"
    if kinds & {"HEIC", "HEIF"}:
        cure = f"install pillow-heif and start again, or {cure}"
    return (f"{' and '.join(sorted(kinds))} images cannot be read here, {len(paths)} {what}: "
            f"{cure}")


def _shuffle(listing: Listing) -> None:
    """Split by split, in a fixed random order: the first n of each are a fair sample."""
    random = np.random.RandomState(0)
    ordered = []
    for split in ORDER:
        members = sorted((p for p in listing.images if p.split == split),
                         key=lambda p: p.path.as_posix())
        ordered += [members[i] for i in random.permutation(len(members))]
    listing.images = ordered


def _some(names: Iterable[str], most: int = 5) -> str:
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
