"""What a folder of images holds, before anything is trained on it."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.common.machine import workers
from helpers.data.folder_names import shown
from helpers.data.images import Unreadable, open_image, read_image
from helpers.data.listing import ORDER, ImageFile
from helpers.data.scan import scan
from helpers.transforms.functional import GRAY

PROBE_SIDE = 32  # pixels to which an image is decoded to see whether that works
NAMED = 3  # files that a line names
NO_LABEL = "(no label)"
LOOK_SIDE = 16  # pixels to which images are shrunk to be compared
ALIKE = 0.995  # correlation of two images' pixels from which one is taken for a copy of the other
PLAIN = 3  # standard deviation of an image's pixels below which there is nothing to compare
MOST_COMPARED = 20_000  # images of a folder: the time grows with their square
BLOCK = 1024
Groups = tuple[tuple[str, ...], ...]  # names of files, sorted


@dataclass(frozen=True)
class FolderReport:
    """What `folder_report` found; print it for a summary.

    Attributes:
        root: the folder.
        files: one row an image, by name: its split and class in the folder, the part that it was
            drawn for ("train" without a label, too; None for a broken one where splits were given),
            label (None without one), image (a number that copies share: the same file, or the same
            pixels in another size or format; -1 of an empty file), width and height in pixels and
            Pillow's mode (None where it is broken), problem ("" where it can be read).
        notes: what else the listing has to say.
    """

    root: Path
    files: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def duplicates(self) -> Groups:
        """Files that are the same, byte by byte or to the eye (resized, saved again)."""
        return self._same()

    @property
    def conflicts(self) -> Groups:
        """Those of them that have more than one label."""
        return self._same("label")

    @property
    def leaks(self) -> Groups:
        """Those of them that lie in more than one of train (or without a label), val and test."""
        return self._same("part")

    def _same(self, but: str | None = None) -> Groups:
        """Groups of the same file, all of them or those that differ in a column."""
        named = self.files[self.files["image"] >= 0]
        twice = named[named.duplicated("image", keep=False)]
        return tuple(sorted(tuple(group["name"]) for _, group in twice.groupby("image")
                            if but is None or group[but].nunique() > 1))

    def rows(self) -> list[dict[str, object]]:
        """One row a class, with the number of images in each split that the folder has."""
        table = pd.crosstab(self.files["class"], self.files["split"])
        return table[[split for split in ORDER if split in table]].reset_index().to_dict("records")

    def __str__(self) -> str:
        lines = [f"{self.root}: {len(self.files):,} images"]
        readable = self.files[self.files["problem"] == ""]
        if len(readable):
            pixels = readable["width"] * readable["height"]
            smallest, largest = (
                f"{readable['width'][row]:.0f} x {readable['height'][row]:.0f}"
                for row in (pixels.idxmin(), pixels.idxmax()))
            modes = ", ".join(f"{mode} ({count:,})"
                              for mode, count in readable["mode"].value_counts().items())
            lines.append(f"sizes from {smallest} to {largest} pixels, modes {modes}")
        broken = self.files[self.files["problem"] != ""]
        lines.append(_listed("broken", [f"{one.name} ({one.problem})"
                                        for one in broken.itertuples(index=False, name="File")]))
        for title, groups in (
                ("groups of the same image", self.duplicates),
                ("with different labels", self.conflicts),
                ("across train or unlabelled, val and test", self.leaks)):
            lines.append(_listed(title, [" = ".join(group) for group in groups]))
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


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
    with ThreadPoolExecutor(workers()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which does not matter here
        opened = list(pool.map(lambda file: _open(listing.root, file), listing.images))
    files = pd.DataFrame(opened).sort_values("name", ignore_index=True)
    files["class"] = [listing.classes[label] if label >= 0 else NO_LABEL
                      for label in files["label"]]
    files["label"] = files["label"].where(files["label"] >= 0)
    drawn = {name: split for split, own in (names or {}).items() for name in own}
    parts = files["name"].map(drawn) if names else files["split"]
    files["part"] = parts.replace({"pretext": "train", "unlabeled": "train"})
    files["image"] = _copies(files.pop("digest"), files.pop("look"))
    notes = listing.notes
    if len(files) > MOST_COMPARED:
        notes = [*notes, f"the first {MOST_COMPARED:,} images were compared by their pixels, the "
                 "others byte by byte"]
    return FolderReport(listing.root, files, tuple(notes))


def _copies(digests: pd.Series, looks: pd.Series) -> np.ndarray:
    """A number for each image, the same for copies; -1 for an empty file."""
    number = np.where(digests == "", -1, pd.factorize(digests)[0])
    compared = [row for row, look in enumerate(looks[:MOST_COMPARED]) if look is not None]
    if not compared:
        return number
    pixels = np.stack([looks[row] for row in compared])
    for start in range(0, len(pixels), BLOCK):
        near = pixels[start:start + BLOCK] @ pixels.T > ALIKE
        for one, other in zip(*near.nonzero(), strict=True):
            first, second = sorted((number[compared[start + one]], number[compared[other]]))
            if first != second:
                number[number == second] = first
    return number


def _look(pixels: np.ndarray) -> np.ndarray | None:
    """An image's brightness (of 3 x S x S) as a vector of length 1 without its mean; None of a
    plain one. JPEG keeps few numbers of the colours."""
    factor = pixels.shape[1] // LOOK_SIDE
    gray = np.tensordot(GRAY, pixels, 1)
    small = gray.reshape(LOOK_SIDE, factor, LOOK_SIDE, factor).mean((1, 3)).ravel()
    small -= small.mean()
    return None if small.std() < PLAIN else (small / np.linalg.norm(small)).astype(np.float32)


def _open(root: Path, file: ImageFile) -> dict[str, object]:
    """What opening one file gave."""
    found = {"name": shown(file.path.relative_to(root)), "split": file.split,
             "label": file.label, "digest": "", "look": None, "width": None, "height": None,
             "mode": None, "problem": ""}
    try:
        if file.path.stat().st_size:
            found["digest"] = hashlib.sha256(file.path.read_bytes()).hexdigest()
        found["look"] = _look(read_image(file.path, PROBE_SIDE))
        with open_image(file.path) as image:
            found |= {"width": image.width, "height": image.height, "mode": image.mode}
    except (Unreadable, OSError) as problem:
        found["problem"] = getattr(problem, "strerror", None) or str(problem)
    return found


def _listed(title: str, texts: list[str]) -> str:
    """How many there are, and the first few."""
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return f"{title}: {len(texts)}" + (f": {'; '.join(texts[:NAMED])}{more}" if texts else "")
