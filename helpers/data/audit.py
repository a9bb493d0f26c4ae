"""What a folder of images holds, before anything is trained on it."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers.data.images import Unreadable, open_image, read_image
from helpers.data.scan import ORDER, ImageFile, scan

PROBE_SIDE = 32  # pixels to which an image is decoded to see whether that works
NAMED = 3  # files that a line names
NO_LABEL = "(no label)"
Groups = tuple[tuple[str, ...], ...]  # names of files, sorted


@dataclass(frozen=True)
class FolderReport:
    """What `folder_report` found; print it for a summary.

    Attributes:
        root: the folder.
        files: one row an image, by name: its split and class in the folder, the part that it was
            drawn for ("train" without a label, too; None for a broken one where splits were given),
            label (None without one), digest (SHA-256, "" of an empty file), width and height in
            pixels and Pillow's mode (None where it is broken), problem ("" where it can be read).
        notes: what else the listing has to say.
    """

    root: Path
    files: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def duplicates(self) -> Groups:
        """Files that are the same, byte by byte."""
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
        named = self.files[self.files["digest"] != ""]
        twice = named[named.duplicated("digest", keep=False)]
        return tuple(sorted(tuple(group["name"]) for _, group in twice.groupby("digest")
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
                ("groups of the same file", self.duplicates),
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
    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which does not matter here
        opened = list(pool.map(lambda file: _open(listing.root, file), listing.images))
    files = pd.DataFrame(opened).sort_values("name", ignore_index=True)
    files["class"] = [listing.classes[label] if label >= 0 else NO_LABEL
                      for label in files["label"]]
    files["label"] = files["label"].where(files["label"] >= 0)
    drawn = {name: split for split, own in (names or {}).items() for name in own}
    parts = files["name"].map(drawn) if names else files["split"]
    files["part"] = parts.replace({"pretext": "train", "unlabeled": "train"})
    return FolderReport(listing.root, files, tuple(listing.notes))


def _open(root: Path, file: ImageFile) -> dict[str, object]:
    """What opening one file gave."""
    found = {"name": file.path.relative_to(root).as_posix(), "split": file.split,
             "label": file.label, "digest": "", "width": None, "height": None, "mode": None,
             "problem": ""}
    try:
        if file.path.stat().st_size:
            found["digest"] = hashlib.sha256(file.path.read_bytes()).hexdigest()
        read_image(file.path, PROBE_SIDE)
        with open_image(file.path) as image:
            found |= {"width": image.width, "height": image.height, "mode": image.mode}
    except (Unreadable, OSError) as problem:
        found["problem"] = getattr(problem, "strerror", None) or str(problem)
    return found


def _listed(title: str, texts: list[str]) -> str:
    """How many there are, and the first few."""
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return f"{title}: {len(texts)}" + (f": {'; '.join(texts[:NAMED])}{more}" if texts else "")
