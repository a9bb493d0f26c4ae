"""A folder of images whose labels are in a table: `labels.csv` with the columns file and class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers.common.errors import UserError
from helpers.common.markup import from_cell
from helpers.common.split import check_classes
from helpers.data.folder_names import shown
from helpers.data.listing import ImageFile, Listing, images_under, shuffle, some

MOST_UNLABELLED = 2_000  # images without a label that are read, a fixed random sample
NAMED = 3  # of many wrong lines
NONE = "-"  # in place of a class: the image shows none of them
COLUMNS = ["file", "class"]


class Line(NamedTuple):
    """A line of a table of labels: its number in the file, and what it says."""

    number: int
    file: str
    label: str


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
    listing = Listing(root.resolve().name, root)
    images = list(images_under(root, listing))
    paths = _paths_of(labels, root, images)
    missing = [name for name in labels if name not in paths]
    if missing:
        raise UserError(f"{table} labels images that are not in {root}: "
                        f"{some(map(shown, missing), NAMED)}: change these lines")
    listing.classes = _classes(table, labels, classes)
    labelled = _label_of_each(table, labels, paths)
    listing.images = [ImageFile(path, "train", listing.classes.index(label))
                      for path, label in labelled.items()]
    others = [path for path in images if path not in labelled]
    order = np.random.RandomState(0).permutation(len(others))[:MOST_UNLABELLED]
    listing.images += [ImageFile(others[i], "pretext", -1) for i in order]
    shuffle(listing)
    return listing


def _paths_of(names: Iterable[str], root: Path, images: Sequence[Path]) -> dict[str, Path]:
    """The file of each name that has one; its letters may be spelled in another form."""
    by_look = {shown(path.relative_to(root)): path for path in images}
    found = {}
    for name in names:
        inside = not Path(name).is_absolute() and ".." not in Path(name).parts
        path = root / name if inside and (root / name).is_file() else by_look.get(shown(name))
        if path is not None:
            found[name] = path
    return found


def _label_of_each(table: Path, labels: dict[str, str], paths: dict[str, Path]) -> dict[Path, str]:
    """The class of each file; a UserError where two spellings of its name differ in it."""
    found: dict[Path, str] = {}
    for name, label in labels.items():
        if found.setdefault(paths[name], label) != label:
            raise _two_labels(table, shown(name), found[paths[name]], label)
    return found


def read_labels(table: Path) -> dict[str, str]:
    """File -> class, of the lines that have a class.

    Raises:
        UserError: the table cannot be read, lacks a column or every label, or labels one image
            twice.
    """
    found: dict[str, str] = {}
    for line in label_lines(table)[1]:
        name, label = line.file.strip(), line.label.strip()
        if not name or label in ("", NONE):
            continue
        if any("\udc80" <= letter <= "\udcff" for letter in label):  # bytes that are no UTF-8
            raise UserError(f"{table}, line {line.number}: the class is no text in UTF-8: save the "
                            "table as CSV in UTF-8")
        name, label = Path(name.replace("\\", "/")).as_posix(), shown(label)
        if found.setdefault(name, label) != label:
            raise _two_labels(table, shown(name), found[name], label)
    if not found:
        raise UserError(f"{table} has no label: give it lines such as cat/1.jpg,cat")
    return found


def label_lines(table: Path) -> tuple[list[str], list[Line]]:
    """The columns of a table and its lines, in their order, as they are.

    Bytes that are no UTF-8 are kept as `os.fsdecode` keeps those of a file's name.

    Raises:
        UserError: the table cannot be read, lacks a column, or has a line of too many or too few
            fields.
    """
    try:
        text = table.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as problem:
        raise UserError(f"cannot read the labels {table} ({problem.strerror}): give a CSV file "
                        "with the columns file and class") from None
    head = text.partition("\n")[0].strip()
    semicolons = ";" in head and "," not in head
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if semicolons else ",")
    try:
        rows = [(reader.line_num, [from_cell(cell) for cell in cells]) for cells in reader if cells]
    except csv.Error as problem:
        raise UserError(f"{table}, line {reader.line_num}: this is no CSV ({problem}): save the "
                        "table as CSV in UTF-8") from None
    columns = [name.strip() for name in rows[0][1]] if rows else []
    if not set(COLUMNS) <= set(columns):
        raise UserError(f"{table} begins with {head[:60]!r}: its first line must name the columns "
                        "file and class")
    return columns, [_line(table, columns, *row) for row in rows[1:]]


def _line(table: Path, columns: list[str], number: int, cells: list[str]) -> Line:
    """A line of the table; a UserError where its fields cannot be told."""
    file, label = map(columns.index, COLUMNS)
    if len(cells) <= max(file, label) or any(cells[len(columns):]):
        raise UserError(f"{table}, line {number}: it has {len(cells)} fields for "
                        f"{len(columns)} columns: put names with a comma in quotes")
    return Line(number, cells[file], cells[label])


def _two_labels(table: Path, name: str, first: str, second: str) -> UserError:
    return UserError(f"{table} gives {name} two labels, {first} and {second}: keep one")


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
