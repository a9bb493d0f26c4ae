"""What a folder of images holds, before anything is trained on it."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from helpers.data.images import Unreadable, read_image
from helpers.data.scan import ORDER, ImageFile, scan

PROBE_SIDE = 32  # pixels to which an image is decoded to see whether that works
NAMED = 3  # files that a line names
Group = tuple[str, ...]


@dataclass(frozen=True)
class FolderReport:
    """What `folder_report` found; print it for a summary.

    Attributes:
        root: the folder.
        counts: (split, class) to the number of image files; the class is "" for images without a
            label.
        sizes: (width, height) to how many.
        modes: Pillow's mode ("RGB", "L", ...) to how many.
        broken: name to the reason why it cannot be read.
        duplicates: groups of names whose files are the same, byte by byte; a group is sorted.
        leaks: those of them that lie in more than one of train (or without a label beside it), val
            and test.
        conflicts: those of them that have more than one label.
        notes: what else the listing has to say.
    """

    root: Path
    counts: dict[tuple[str, str], int]
    sizes: dict[tuple[int, int], int]
    modes: dict[str, int]
    broken: dict[str, str]
    duplicates: tuple[Group, ...]
    leaks: tuple[Group, ...]
    conflicts: tuple[Group, ...]
    notes: tuple[str, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row a class, with a column for each split that the folder has."""
        splits = [split for split in ORDER if any(own == split for own, _ in self.counts)]
        classes = sorted({name for _, name in self.counts})
        return [{"class": name or "(no label)",
                 **{split: self.counts.get((split, name), 0) for split in splits}}
                for name in classes]

    def __str__(self) -> str:
        shapes = sorted(self.sizes, key=lambda size: size[0] * size[1])
        lines = [f"{self.root}: {sum(self.counts.values()):,} images"]
        if shapes:
            smallest, largest = (f"{width} x {height}" for width, height in
                                 (shapes[0], shapes[-1]))
            modes = ", ".join(f"{mode} ({n:,})" for mode, n in Counter(self.modes).most_common())
            lines.append(f"sizes from {smallest} to {largest} pixels, modes {modes}")
        broken = [f"{name} ({why})" for name, why in self.broken.items()]
        lines.append(f"broken: {len(broken)}{_few(broken)}")
        for title, groups in (
                ("groups of the same file", self.duplicates),
                ("with different labels", self.conflicts),
                ("across train or unlabelled, val and test", self.leaks)):
            lines.append(f"{title}: {len(groups)}{_few([' = '.join(group) for group in groups])}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


@dataclass(frozen=True)
class Opened:
    """What opening one file gave.

    Attributes:
        name: relative to the folder.
        file: its split and label.
        digest: SHA-256 of an image file that is not empty, else "".
        size: width and height in pixels.
        mode: Pillow's.
        problem: why it cannot be read, or "".
    """

    name: str
    file: ImageFile
    digest: str
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    problem: str = ""


def folder_report(root: Path | str, classes: Sequence[str] = (),
                  names: Mapping[str, Sequence[str]] | None = None) -> FolderReport:
    """Open every image under `root` once and say what is there; nothing is changed.

    Args:
        classes: only these classes, if given.
        names: the files of each split as they were drawn (`Splits.names`), which decide what leaks;
            without them it is the folders' own splits, and a folder without val/ and test/ has no
            leaks.

    Raises:
        UserError: the folder has no classes, an empty class, or a class that train lacks.
    """
    listing = scan(Path(root), classes=classes)
    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which does not matter here
        opened = list(pool.map(lambda file: _open(listing.root, file), listing.images))
    drawn = {name: split for split, own in (names or {}).items() for name in own}

    def split_of(one: Opened) -> str | None:
        # None for a broken one, which no split has
        split = drawn.get(one.name) if names else one.file.split
        return "train" if split in ("pretext", "unlabeled") else split

    def label_of(one: Opened) -> int | None:
        return one.file.label if one.file.label >= 0 else None

    def class_of(one: Opened) -> str:
        return "" if label_of(one) is None else listing.classes[one.file.label]

    whole = [one for one in opened if not one.problem]
    groups = _same_files(opened)
    return FolderReport(
        root=listing.root,
        counts=dict(Counter((one.file.split, class_of(one)) for one in opened)),
        sizes=dict(Counter(one.size for one in whole)),
        modes=dict(Counter(one.mode for one in whole)),
        broken={one.name: one.problem for one in sorted(opened, key=lambda one: one.name)
                if one.problem},
        duplicates=tuple(_names(group) for group in groups),
        leaks=_differing(groups, split_of),
        conflicts=_differing(groups, label_of),
        notes=tuple(listing.notes))


def _open(root: Path, file: ImageFile) -> Opened:
    name, digest = file.path.relative_to(root).as_posix(), ""
    try:
        if file.path.stat().st_size:
            digest = hashlib.sha256(file.path.read_bytes()).hexdigest()
        read_image(file.path, PROBE_SIDE)
        with Image.open(file.path) as image:
            return Opened(name, file, digest, image.size, image.mode)
    except Unreadable as problem:
        return Opened(name, file, digest, problem=str(problem))
    except OSError as problem:
        return Opened(name, file, "", problem=problem.strerror or str(problem))


def _same_files(opened: Sequence[Opened]) -> list[list[Opened]]:
    """The groups of two and more files with the same bytes, sorted by name."""
    same = defaultdict(list)
    for one in sorted(opened, key=lambda one: one.name):
        if one.digest:
            same[one.digest].append(one)
    return [group for group in same.values() if len(group) > 1]


def _differing(groups: Sequence[Sequence[Opened]],
               what: Callable[[Opened], object]) -> tuple[Group, ...]:
    """The groups whose images differ in something; those that have None of it do not count."""
    return tuple(_names(group) for group in groups
                 if len({what(one) for one in group} - {None}) > 1)


def _names(group: Sequence[Opened]) -> Group:
    return tuple(one.name for one in group)


def _few(texts: list[str]) -> str:
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return f": {'; '.join(texts[:NAMED])}{more}" if texts else ""
