"""What a folder of images holds, before anything is trained on it: counts, sizes, copies, broken
files."""

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

from helpers.data import images as images
from helpers.data.scan import ORDER, ImageFile, scan

LOOK = 32  # side to which an image is decoded to see whether that works, in pixels
NAMED = 3  # files that a line names


@dataclass(frozen=True)
class FolderReport:
    """What `folder_report` found; print it for a summary.

    Attributes:
        root: the folder.
        counts: (part, class) to the number of image files; the class is "" for images without a
            label.
        sizes: (width, height) to how many.
        modes: Pillow's mode ("RGB", "L", ...) to how many.
        broken: name to the reason why it cannot be read.
        copies: groups of names whose files are the same, byte by byte; a group's names are sorted.
        leaks: those of them that lie in more than one of train (or without a label beside it), val
            and test.
        torn: those of them that have more than one label.
        notes: what else the listing has to say.
    """

    root: Path
    counts: dict[tuple[str, str], int]
    sizes: dict[tuple[int, int], int]
    modes: dict[str, int]
    broken: dict[str, str]
    copies: tuple[tuple[str, ...], ...]
    leaks: tuple[tuple[str, ...], ...]
    torn: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row a class, with a column for each part that the folder has."""
        parts = [part for part in ORDER if any(own == part for own, _ in self.counts)]
        names = sorted({name for _, name in self.counts})
        return [{
            "class": name or "(no label)",
            **{part: self.counts.get((part, name), 0)
               for part in parts}
        }
                for name in names]

    def __str__(self) -> str:
        shapes = sorted(self.sizes, key=lambda size: size[0] * size[1])
        lines = [f"{self.root}: {sum(self.counts.values()):,} images"]
        if shapes:
            lines.append(
                f"sizes from {shapes[0][0]} x {shapes[0][1]} to {shapes[-1][0]} x {shapes[-1][1]} "
                "pixels, "
                f"modes {', '.join(f'{mode} ({n:,})' for mode, n in Counter(self.modes).most_common())}"
            )
        lines.append(
            f"broken: {len(self.broken)}{_few([f'{name} ({why})' for name, why in self.broken.items()])}"
        )
        for title, groups in (("groups of the same file", self.copies), ("with different labels",
                                                                         self.torn),
                              ("across train or unlabelled, val and test", self.leaks)):
            lines.append(f"{title}: {len(groups)}{_few([' = '.join(group) for group in groups])}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def folder_report(root: Path | str, classes: Sequence[str] = (),
                  names: Mapping[str, Sequence[str]] | None = None) -> FolderReport:
    """Open every image under `root` (of some `classes`, if given) once and say what is there;
    nothing is changed.

    Args:
        names: the files of each part as they were drawn (`Splits.names`), which decide what leaks;
            without them it is the folders' own parts, and a folder without val/ and test/ has no
            leaks.

    Raises:
        UserError: the folder has no classes, an empty class, or a class that train lacks.
    """
    listing = scan(Path(root), classes=classes)
    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which does not matter here
        looks = list(pool.map(_look, listing.images))
    files = [image.path.relative_to(listing.root).as_posix() for image in listing.images]
    drawn = {name: part for part, own in (names or {}).items() for name in own}

    def part(name: str, one: ImageFile) -> str | None:
        own = drawn.get(name) if names else one.part  # None for a broken one, which no part has
        return "train" if own in ("pretext", "unlabeled") else own

    same = defaultdict(list)
    for name, image, (digest, _, _, _) in zip(files, listing.images, looks, strict=True):
        same[digest].append((name, image))
    groups = sorted((sorted(group, key=lambda pair: pair[0]) for digest, group in same.items()
                     if digest and len(group) > 1), key=lambda group: group[0][0])
    only = [tuple(name for name, _ in group) for group in groups]
    return FolderReport(
        listing.root,
        dict(
            Counter((image.part, listing.classes[image.label] if image.label >= 0 else "")
                    for image in listing.images)),
        dict(Counter(size for _, size, _, why in looks if not why)),
        dict(Counter(mode for _, _, mode, why in looks if not why)),
        {name: why
         for name, (_, _, _, why) in sorted(zip(files, looks, strict=True))
         if why}, tuple(only), _differing(groups, part),
        _differing(groups, lambda _, one: one.label if one.label >= 0 else None),
        tuple(listing.notes))


def _look(image: ImageFile) -> tuple[str, tuple[int, int], str, str]:
    """The file's hash, the image's size and mode, and "" or why it cannot be read."""
    try:
        digest = hashlib.sha256(
            image.path.read_bytes()).hexdigest() if image.path.stat().st_size else ""
        images.read(image.path, LOOK)
        with Image.open(image.path) as image:
            return digest, image.size, image.mode, ""
    except images.Unreadable as problem:
        return digest, (0, 0), "", str(problem)
    except OSError as problem:
        return "", (0, 0), "", problem.strerror or str(problem)


def _differing(groups: list[list[tuple[str, ImageFile]]],
               what: Callable[[str, ImageFile], object]) -> tuple[tuple[str, ...], ...]:
    """The groups whose images differ in something; those that have None of it do not count."""
    return tuple(tuple(name for name, _ in group) for group in groups
                 if len({what(*one) for one in group} - {None}) > 1)


def _few(texts: list[str]) -> str:
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return f": {'; '.join(texts[:NAMED])}{more}" if texts else ""
