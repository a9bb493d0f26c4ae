"""A folder of images whose labels are in a table: `labels.csv` with the columns file and class."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from helpers.common.errors import UserError
from helpers.common.markup import from_cell
from helpers.common.split import check_classes
from helpers.data.listing import ImageFile, Listing, images_under, shuffle, some

MOST_UNLABELLED = 2_000  # images without a label that are read, a fixed random sample
NAMED = 3  # of many wrong lines
NONE = "-"  # in place of a class: the image shows none of them


def labelled_listing(root: Path, table: Path, classes: Sequence[str] = ()) -> Listing:
    """The images under `root` that a table labels, as training images, and some of the others.

    Args:
        table: CSV with a header; `file` is relative to `root`, an empty `class` or "-" is no label,
            and other columns do not matter.
        classes: the names there are; by default those of the table.

    Raises:
        UserError: no such folder or table, a label for no image, two labels for one image, or a
            class that is unknown or has no image.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root}: name the folder of the images that {table} labels")
    labels = read_labels(table)
    missing = [name for name in labels if Path(name).is_absolute() or ".." in Path(name).parts
               or not (root / name).is_file()]
    if missing:
        raise UserError(f"{table} labels images that are not in {root}: {some(missing, NAMED)}")
    names = _classes(table, labels, classes)
    listing = Listing(root.resolve().name, root, names)
    labelled = {root / name: names.index(label) for name, label in labels.items()}
    listing.images = [ImageFile(path, "train", label) for path, label in labelled.items()]
    others = [path for path in images_under(root, listing) if path not in labelled]
    order = np.random.RandomState(0).permutation(len(others))[:MOST_UNLABELLED]
    listing.images += [ImageFile(others[i], "pretext", -1) for i in order]
    shuffle(listing)
    return listing


def read_labels(table: Path) -> dict[str, str]:
    """File -> class, of the lines that have a class.

    Raises:
        UserError: the table cannot be read, lacks a column or every label, or labels one image
            twice.
    """
    found: dict[str, str] = {}
    for name, label in _rows(table):
        if found.setdefault(name, label) != label:
            raise UserError(f"{table} gives {name} two labels, {found[name]} and {label}: keep one")
    if not found:
        raise UserError(f"{table} has no label: give it lines such as cat/1.jpg,cat")
    return found


def _rows(table: Path) -> Iterator[tuple[str, str]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or "it is no text in UTF-8"
        raise UserError(f"cannot read the labels {table} ({why}): give a CSV file with the "
                        "columns file and class") from None
    lines = text.splitlines()
    head = lines[0] if lines else ""
    rows = csv.DictReader(lines, delimiter=";" if ";" in head and "," not in head else ",")
    if not {"file", "class"} <= set(rows.fieldnames or ()):
        raise UserError(f"{table} begins with {head[:60]!r}: its first line must name the columns "
                        "file and class")
    for row in rows:
        name, label = (from_cell((row[column] or "").strip()) for column in ("file", "class"))
        if name and label not in ("", NONE):
            yield Path(name.replace("\\", "/")).as_posix(), label


def _classes(table: Path, labels: dict[str, str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The classes in order; a UserError unless each label is one of them and each has images."""
    used = sorted(set(labels.values()))
    names = tuple(wanted) or tuple(used)
    check_classes(used, names, str(table))
    empty = [name for name in names if name not in used]
    if empty:
        raise UserError(f"{table} has no image of class {some(empty, NAMED)}: label some, or leave "
                        "the class out of --classes")
    alike = {name.casefold(): name for name in names}
    twins = [name for name in names if alike[name.casefold()] != name]
    if twins:
        raise UserError(f"{table} has the classes {twins[0]} and {alike[twins[0].casefold()]}: "
                        "write them alike")
    if len(names) < 2:
        raise UserError(f"{table} has one class, {names[0]}: at least two are needed")
    return names
