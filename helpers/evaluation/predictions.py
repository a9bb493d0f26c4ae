"""What a kept classifier says of images: one tensor of them, or files of any number."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.files import atomic_path, unwritable
from helpers.common.markup import as_cell
from helpers.data.latents import marks_of
from helpers.data.listing import ImageFile
from helpers.data.stream import Chunk, chunks
from helpers.evaluation.features import evaluating, extract_features
from helpers.models.classifier_file import KeptClassifier

COLUMNS = ("file", "class", "probability", "second class", "second probability", "distance",
           "unlike", "note")
SHOWN = 4  # images on either side of a sheet


class Predicted(NamedTuple):
    """Probabilities N x classes and distances N (see `KeptClassifier.distances`), on the CPU."""

    probabilities: Tensor
    distances: Tensor


def predict(classifier: KeptClassifier, images: Tensor) -> Predicted:
    """What a classifier says of images, uint8 N x 3 (or its channels) x S x S."""
    features = extract_features(classifier.encoder, classifier.as_taken(images))
    with evaluating(classifier):
        features = features.to(classifier.bank.device)
        return Predicted(classifier.probabilities(features).cpu(),
                         classifier.distances(features).cpu())


class Extremes:
    """The surest and the least sure images of each predicted class, among all that are added."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self.kept: dict[int, list[tuple[float, Any]]] = {}

    def add(self, images: Tensor, probabilities: Tensor) -> None:
        """Images n x C x S x S with their probabilities, n x classes."""
        for image, sure, label in zip(images, *probabilities.max(1), strict=True):
            rows = self.kept.setdefault(int(label), [])
            rows.append((float(sure), image))
            rows.sort(key=lambda row: -row[0])
            del rows[SHOWN:-SHOWN]
        for label, rows in self.kept.items():  # copies, or the whole chunk would stay
            self.kept[label] = [(sure, image.clone()) for sure, image in rows]

    def rows(self) -> dict[str, tuple[list, list]]:
        """For each class the surest and the least sure; with few images, none is shown twice."""
        found = {}
        for label, rows in sorted(self.kept.items()):
            half = min(SHOWN, -(-len(rows) // 2))
            found[self.classes[label]] = rows[:half], rows[half:][::-1][:SHOWN]
        return found


class Totals(NamedTuple):
    """How many images were classified, how many of them look unlike, and which cannot be read."""

    classified: int
    unlike: int
    broken: dict[Path, str]


def write_predictions(classifier: KeptClassifier, files: Sequence[ImageFile], out: Path,
                      extremes: Extremes | None = None) -> Totals:
    """Classify files into a CSV with the columns `COLUMNS`, which is whole or not there.

    Memory does not grow with their number. An image that cannot be read has a line with the reason.

    Raises:
        UserError: not one image can be read, or `out` cannot be written.
    """
    classified, unlike, broken = 0, 0, {}
    try:
        with atomic_path(out) as temporary, open(temporary, "w", newline="",
                                                 encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for chunk in _chunks_for(classifier, files):
                predicted = predict(classifier, chunk.images) if chunk.files else None
                writer.writerows([as_cell(cell) for cell in row]
                                 for row in _rows(classifier, chunk, predicted))
                broken |= chunk.broken
                if predicted:
                    classified += len(chunk.files)
                    unlike += int((predicted.distances > classifier.seen.threshold).sum())
                    if extremes:
                        extremes.add(chunk.images, predicted.probabilities)
            if not classified:
                name, why = next(iter(broken.items()))
                raise UserError(f"none of the {len(files):,} images can be read, {name}: {why}")
    except OSError as problem:
        raise unwritable(out, problem) from None
    return Totals(classified, unlike, broken)


def _chunks_for(classifier: KeptClassifier, files: Sequence[ImageFile]) -> Iterator[Chunk]:
    """Files as a classifier takes them."""
    return chunks(files, classifier.image_size, "classifying", classifier.seen.ranges)


def _rows(classifier: KeptClassifier, chunk: Chunk, predicted: Predicted | None) -> Iterator:
    if predicted:
        pairs = predicted.probabilities.topk(2, dim=1)
        for file, (first, second), labels, distance in zip(
                chunk.files, pairs.values.tolist(), pairs.indices.tolist(),
                predicted.distances.tolist(), strict=True):
            best, next_best = (classifier.classes[label] for label in labels)
            unlike = "yes" if distance > classifier.seen.threshold else "no"
            yield (_text(file.path), best, f"{first:.4f}", next_best, f"{second:.4f}",
                   f"{distance:.4f}", unlike, "")
    for path, why in chunk.broken.items():
        yield (_text(path), *[""] * 6, f"could not be read: {why}")


def _text(path: Path) -> str:
    """A file's name; bytes that are no text are replaced."""
    return os.fsencode(path).decode("utf-8", "replace")


def labelled_predictions(classifier: KeptClassifier, images: Sequence[ImageFile]
                         ) -> tuple[Tensor, Tensor, dict[str, int]]:
    """Probabilities N x classes and labels N of files with labels.

    Files that the classifier was trained on are left out.

    Returns:
        The two, and how many were "seen in training" and how many "unreadable".
    """
    seen, found, labels = set(classifier.seen.marks.tolist()), [], []
    left_out = {"seen in training": 0, "unreadable": 0}
    for chunk in _chunks_for(classifier, images):
        left_out["unreadable"] += len(chunk.broken)
        marks = marks_of(chunk.images).tolist() if chunk.files else []
        new = [row for row, mark in enumerate(marks) if mark not in seen]
        left_out["seen in training"] += len(marks) - len(new)
        if new:
            found.append(predict(classifier, chunk.images[new]).probabilities)
            labels += [chunk.files[row].label for row in new]
    if not found:
        raise UserError("not one image is left to judge by: " + ", ".join(
            f"{count:,} {what}" for what, count in left_out.items() if count))
    return torch.cat(found), torch.tensor(labels), left_out
