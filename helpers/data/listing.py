"""What was found in a folder: its images, and everything beside them, named or counted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.common.errors import UserError
from helpers.data.folder_names import is_leftover, shown
from helpers.data.images import EXTENSIONS, UNREAD

ORDER = ("pretext", "train", "val", "test")
OF_AN_ARCHIVE = 10_000  # images that an archive is taken to hold before it is unpacked


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
    leftovers: dict[str, int] = field(default_factory=dict)  # names of folders -> files in them
    unlisted: list[str] = field(default_factory=list)  # with the reason
    unread: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def key(self, image_size: int, version: int) -> str:
        """Ten hex digits that change with any file's name, size or time, and with how it is
        decoded."""
        digest = hashlib.blake2b(f"{version} {image_size} {self.classes}".encode(), digest_size=5)
        lines = []
        for image in self.images:
            place, state = image.path.relative_to(self.root).as_posix(), (0, 0)
            with suppress(OSError):  # decoding will say why
                found = image.path.stat()
                state = found.st_size, found.st_mtime_ns
            lines.append(f"{place} {image.split} {image.label} {state[0]} {state[1]}\n")
        digest.update("".join(sorted(lines)).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def name_of(self, image: ImageFile) -> str:
        """An image's place in the folder, as it can be printed and written."""
        return shown(image.path.relative_to(self.root))

    def failed(self, problem: OSError) -> None:
        """Keep in mind what could not be looked at."""
        place = Path(os.path.relpath(problem.filename, self.root))
        self.unlisted.append(f"{shown(place)} ({problem.strerror})")


def entries_of(folder: Path) -> list[Path]:
    """What lies in a folder, by name.

    Raises:
        UserError: it cannot be listed.
    """
    try:
        return sorted(folder.iterdir())
    except NotADirectoryError:
        return []
    except OSError as problem:
        raise UserError(f"folder {shown(folder)}: it cannot be listed ({problem.strerror}): change "
                        "its permissions, or try again where a disk failed") from problem


def count_files(folder: str | Path) -> int:
    """How many files there are under a folder; 0 where there is none."""
    return sum(len(files) for *_, files in os.walk(folder))


def files_in(folder: Path) -> str:
    count = count_files(folder)
    return f" ({_files(count)})" if count else ""


def _files(count: int) -> str:
    return f"{count:,} file{'s' * (count != 1)}"


def subfolders(folder: Path, listing: Listing) -> list[Path]:
    """The folders in a folder, by name; its files are counted as ignored."""
    folders = []
    for entry in entries_of(folder):
        if not os.path.isdir(entry):
            listing.ignored += 1
        elif is_leftover(entry.name):
            _leave(entry, listing)
        else:
            folders.append(entry)
    return folders


def _leave(folder: Path, listing: Listing) -> None:
    """Leave out what a system or a program keeps for itself."""
    count = count_files(folder)
    listing.leftovers[folder.name] = listing.leftovers.get(folder.name, 0) + count


def has_image_name(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS | UNREAD


def images_under(folder: Path, listing: Listing) -> Iterator[Path]:
    """The images under `folder`, by name; links are followed, but never round in a circle."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=listing.failed):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in filter(is_leftover, folders):
            _leave(Path(place, name), listing)
        folders[:] = sorted(name for name in folders if not is_leftover(name))
        for path in (Path(place, name) for name in sorted(files)):
            kind = "" if path.name.startswith(".") else path.suffix.lower()
            if kind in UNREAD:
                listing.unread.append(path)
            elif kind in EXTENSIONS and _is_there(path, listing):
                yield path
            elif kind not in EXTENSIONS:
                listing.ignored += 1


def _is_there(path: Path, listing: Listing) -> bool:
    """Whether a name leads to a file; a dead link is ignored, and what a disk refuses is named."""
    try:
        path.stat()
    except FileNotFoundError:
        listing.ignored += 1
    except OSError as problem:
        listing.failed(problem)
    else:
        return True
    return False


def left_out(listing: Listing) -> list[str]:
    """What was found and not listed, a note each reason."""
    notes = []
    if listing.unread:
        notes.append(unread_text(listing.unread, "left out"))
    if listing.unlisted:
        notes.append(f"{len(listing.unlisted)} that could not be looked at, left out: "
                     f"{some(listing.unlisted)}")
    count = sum(listing.leftovers.values())
    if count:
        names = some(sorted(map(shown, listing.leftovers)))
        notes.append(f"what a system or a program keeps for itself was left out: {names} "
                     f"({_files(count)})")
    if listing.ignored:
        notes.append(f"{listing.ignored} hidden files or files that are not images, "
                     "or that lie outside a class folder, were ignored")
    return notes


def unread_text(paths: list[Path], what: str) -> str:
    kinds = {path.suffix[1:].upper() for path in paths}
    cure = "convert them to JPEG"
    if kinds & {"HEIC", "HEIF"}:
        cure = f"install pillow-heif and start again, or {cure}"
    return (f"{' and '.join(sorted(kinds))} images cannot be read here, {len(paths)} {what}: "
            f"{cure}")


def shuffle(listing: Listing) -> None:
    """Split by split, in a fixed random order: the first n of each are a fair sample."""
    random = np.random.RandomState(0)
    ordered = []
    for split in ORDER:
        members = sorted((p for p in listing.images if p.split == split),
                         key=lambda p: p.path.as_posix())
        ordered += [members[i] for i in random.permutation(len(members))]
    listing.images = ordered


def some(names: Iterable[str], most: int = 5) -> str:
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
