"""Labelling by hand: the table of labels, rounds of images to ask about, the accuracy so far."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.fields import number_of
from helpers.common.files import write_atomically
from helpers.common.markup import as_cell
from helpers.data.labels import COLUMNS, NONE, Line, label_lines
from helpers.evaluation.cross_validation import cross_validation
from helpers.evaluation.judge import judged
from helpers.evaluation.selection import AUTO, NO_CLASS, NOT_ASKED, select, suited

SKIP, UNDO = "s", "u"  # keys; the one for none of the classes is its name
KEYS = "1234567890abcdefghijklmnopqrtvwxyz"  # of classes, all but the two above


class LabelTable:
    """Labels of some files in a CSV file `file,class`, which is written whole at every change.

    Args:
        path: of the table; one that is there is gone on with.
        files: N names of images, as the table has them.
        classes: the names that a label may have, beside "-" for none of them.

    Attributes:
        labels: int64 N, a class number each; `NOT_ASKED`, or `NO_CLASS` for "-" and skipped images.

    Raises:
        UserError: fewer than two classes, one that cannot be told from another, or a table with an
            unknown class, a label for no image or two for one.
    """

    def __init__(self, path: Path, files: Sequence[str], classes: Sequence[str]) -> None:
        self.path, self.files, self.classes = path, tuple(files), tuple(classes)
        if len(set(classes)) < len(classes) or len(classes) < 2 or {NONE, ""} & set(classes):
            raise UserError(f"classes must be two or more different names other than {NONE!r}, "
                            f"not {', '.join(classes) or 'none'}")
        self.labels = torch.full((len(files),), NOT_ASKED)
        self.order: list[int] = []  # rows in the order of the answers
        self.named: dict[int, str] = {}  # row -> what the table says
        row_of = {name: row for row, name in enumerate(self.files)}
        for line, name, label in self._lines():
            if name not in row_of:
                raise UserError(f"{path}, line {line}: there is no image {name}: remove the line")
            if self.named.get(row_of[name], label) != label:
                raise UserError(f"{path}, line {line}: a second label for {name}: keep one")
            if label not in (*classes, NONE):
                raise UserError(f"{path}, line {line}: there is no class {label!r}: choose "
                                f"{', '.join(classes)}, or {NONE} for none of them")
            self._put(row_of[name], label)

    def answer(self, row: int, label: str) -> None:
        """Give an image a class, or "-" for none of them."""
        self._put(row, label)
        self._write()

    def skip(self, row: int) -> None:
        """Leave an image out for now; the table does not know of it."""
        self._put(row, None)

    def undo(self) -> int | None:
        """Take the last answer back, also that of an earlier day; returns the image's row."""
        if not self.order:
            return None
        row = self.order.pop()
        self.labels[row] = NOT_ASKED
        if self.named.pop(row, None) is not None:
            self._write()
        return row

    def _put(self, row: int, label: str | None) -> None:
        known = label in self.classes
        self.labels[row] = self.classes.index(label) if known else NO_CLASS
        if row in self.order:
            self.order.remove(row)
        self.order.append(row)
        if label is not None:
            self.named[row] = label

    def _lines(self) -> list[Line]:
        """The lines of the table; none where there is no file, or an empty one."""
        if not self.path.exists() or not self.path.stat().st_size:
            return []
        columns, lines = label_lines(self.path)
        if columns != COLUMNS:
            raise UserError(f"{self.path} is no table of labels made here: its first line must be "
                            "file,class, and other columns would be lost")
        return lines

    def _write(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((as_cell(self.files[row]), as_cell(self.named[row]))
                         for row in self.order if row in self.named)
        write_atomically(self.path, text.getvalue().encode("utf-8", "surrogateescape"))


def cross_validated(features: Tensor, labels: Tensor, seed: int = 0) -> dict[str, Any] | None:
    """How good the linear probe on the labels so far is, as `judged` says it; None where
    `cross_validation` cannot tell.

    The labelled images are no random sample unless they were chosen at random: those in doubt are
    harder than the others, typical ones easier.

    Args:
        features, labels: N x D, N; negative labels are not known.
    """
    found = cross_validation(features, labels, seed=seed)
    return found and judged(found.logits.softmax(1), found.labels)


def keys_of(classes: Sequence[str]) -> dict[str, str]:
    """Key -> class: a name of one character is its own key, the others take what is free."""
    own = {name: name for name in classes if len(name) == 1 and name not in (SKIP, UNDO, NONE)}
    free = iter([key for key in KEYS if key not in own])
    keys = ((own.get(name) or next(free, None), name) for name in classes)
    return {key: name for key, name in keys if key}


class Rounds:
    """Asks about some images, judges the labels so far, and chooses the next images by them.

    Attributes:
        batch, at: the rows of this round, and how many of them are done.
        history: a dict for each round: labels, strategy, accuracy, low, high (None where not
            known).
    """

    def __init__(self, table: LabelTable, features: Tensor, size: int = 10, strategy: str = AUTO,
                 seed: int = 0) -> None:
        self.table, self.features = table, features
        self.size = number_of("images in a round", size, "int", 1)
        self.strategy, self.seed, self.history = strategy, seed, []
        self.keys = keys_of(table.classes)
        self._choose()

    @property
    def current(self) -> int | None:
        """The row that is asked about; None when every image was."""
        return self.batch[self.at] if self.at < len(self.batch) else None

    def press(self, key: str) -> None:
        """What a key means; one without a meaning does nothing."""
        if key in self.keys or key == NONE:
            self.answer(self.keys.get(key, NONE))
        elif key == SKIP:
            self.skip()
        elif key == UNDO:
            self.undo()

    def answer(self, label: str) -> None:
        """Give the current image a class, or "-"."""
        self._done(lambda row: self.table.answer(row, label))

    def skip(self) -> None:
        """Leave the current image out for now."""
        self._done(self.table.skip)

    def undo(self) -> None:
        """Ask about the last image once more."""
        row = self.table.undo()
        if row is None:
            return
        if self.at and self.batch[self.at - 1] == row:
            self.at -= 1
        else:
            self.batch.insert(self.at, row)

    def rehearse(self, answers: Tensor, rounds: int) -> None:
        """Answer some rounds as a person would who knows the class numbers N of all images."""
        for _ in range(rounds):
            for row in self.batch[self.at:]:
                self.answer(self.table.classes[answers[row]])

    def _done(self, do: Callable[[int], None]) -> None:
        if self.current is None:
            return
        do(self.current)
        self.at += 1
        if self.current is None:
            self._judge()
            self._choose()

    def _judge(self) -> None:
        found = cross_validated(self.features, self.table.labels, self.seed)
        known = int((self.table.labels >= 0).sum())
        told = {name: found and found[name] for name in ("accuracy", "low", "high")}
        self.history.append(dict(labels=known, strategy=self.chosen_by, **told))

    def _choose(self) -> None:
        labels, classes = self.table.labels, len(self.table.classes)
        self.chosen_by = suited(labels, classes) if self.strategy == AUTO else self.strategy
        asked = int((labels != NOT_ASKED).sum())
        self.batch = select(self.chosen_by, self.features, labels, classes, self.size,
                            self.seed + asked)
        self.at = 0
