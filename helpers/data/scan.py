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
        for line in sorted(self._fingerprints()):
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _fingerprints(self) -> Iterator[str]:
        for image in self.images:
            state = image.path.stat()
            place = image.path.relative_to(self.root).as_posix()
            yield f"{place} {image.split} {image.label} {state.st_size} {state.st_mtime_ns}\n"


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
    folders = {"pretext": [], "train": [], "val": [], "test": []}
    others = []
    for entry in _visible(root, listing):
        split = SPLIT_FOLDERS.get(entry.name.lower()) if entry.is_dir() else None
        if split:
            folders[split].append(entry)
        elif entry.is_dir():
            others.append(entry)
        else:
            listing.ignored += 1
    if folders["train"]:
        if others:
            listing.notes.append(
                f"folders beside train/ were ignored: {_some(e.name for e in others)}")
        _add_labelled(listing, folders)
    else:
        _require_flat(root, folders, others)
        _add_classes(listing, root, "train", others)
    for folder in folders["pretext"]:
        _add(listing, folder, "pretext", -1)
    if classes:
        _keep(listing, classes)
    if listing.unread:
        listing.notes.append(f"{_unread(listing.unread)} left out: {_cure(listing.unread)}")
    if listing.ignored:
        listing.notes.append(f"{listing.ignored} hidden files or files that are not images, "
                             "or that lie outside a class folder, were ignored")
    _shuffle(listing)
    return listing


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


def _require_flat(root: Path, folders: dict[str, list[Path]], classes: list[Path]) -> None:
    if folders["val"] or folders["test"]:
        raise UserError(f"folder {root}: there is a {(folders['val'] + folders['test'])[0].name}/ "
                        "but no train/: put the training images in train/<class>/")
    if not classes:
        raise UserError(
            f"folder {root}: no class folders: put the images in train/<class>/ or <class>/")


def _add_labelled(listing: Listing, folders: dict[str, list[Path]]) -> None:
    for split in ("train", "val", "test"):
        if len(folders[split]) > 1:
            names = _some(folder.name for folder in folders[split])
            raise UserError(f"folder {listing.root}: {names} mean the same: keep one")
        for folder in folders[split]:
            entries = _visible(folder, listing)
            listing.ignored += sum(not entry.is_dir() for entry in entries)
            _add_classes(listing, folder, split, [entry for entry in entries if entry.is_dir()])


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
    found = [ImageFile(path, split, label) for path in _files(folder, listing) if _is_image(path)]
    unread = [path for path in listing.unread if path.is_relative_to(folder)]
    if not found and unread:
        raise UserError(f"folder {folder}: {_unread(unread)} and no others in it: {_cure(unread)}")
    if not found:
        kinds = ", ".join(sorted(kind[1:] for kind in EXTENSIONS))
        raise UserError(
            f"folder {folder}: no images in it: add some ({kinds}) or remove the folder")
    listing.images += found


def _files(folder: Path, listing: Listing) -> Iterator[Path]:
    """Files under `folder`, by name; links are followed, but never round in a circle."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = [Path(place, name) for name in sorted(files)]
        unread = [path for path in visible
                  if not path.name.startswith(".") and path.suffix.lower() in UNREAD]
        listing.unread += unread
        listing.ignored += sum(not _is_image(path) for path in visible) - len(unread)
        yield from visible


def _is_image(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() in EXTENSIONS and path.exists()


def _unread(paths: list[Path]) -> str:
    kinds = sorted({path.suffix[1:].upper() for path in paths})
    return f"{' and '.join(kinds)} images cannot be read here, {len(paths)}"


def _cure(paths: list[Path]) -> str:
    if any(path.suffix.lower() in (".heic", ".heif") for path in paths):
        return "install pillow-heif and start again, or convert them to JPEG"
    return "convert them to JPEG"


def _visible(folder: Path, listing: Listing) -> list[Path]:
    entries = sorted(folder.iterdir())
    listing.ignored += sum(entry.name.startswith(".") and entry.is_file() for entry in entries)
    return [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]


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
