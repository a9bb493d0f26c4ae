"""What folders are called: splits under the names that people use, leftovers of a system, and one
spelling of every letter."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

SPLIT_WORDS = {
    "train": "train", "training": "train", "trn": "train", "trainval": "train", "val": "val",
    "valid": "val", "validation": "val", "validate": "val", "dev": "val", "eval": "val",
    "evaluation": "val", "test": "test", "testing": "test", "tst": "test", "holdout": "test",
    "pretext": "pretext", "unlabeled": "pretext", "unlabelled": "pretext",
}
# what may stand beside such a word: training_set, TrainImages, seg_train, train2017
FILLERS = frozenset({
    "data", "dataset", "final", "folder", "image", "images", "img", "imgs", "labeled",
    "labelled", "part", "photo", "photos", "pic", "pics", "picture", "pictures", "samples", "seg",
    "set", "split", "subset"})
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")  # also at a capital: TrainImages
# what a NAS, a memory stick, a trash or a repair of the disk leaves behind; "." begins others
LEFTOVERS = frozenset({
    "@eadir", "@recycle", "@recently-snapshot", "@sharesnap", "@tmp", "#recycle", "#snapshot",
    "$recycle.bin", "recycler", "recycled", "system volume information", "lost+found", "lost.dir",
    "__macosx", "__pycache__"})
REPAIRED = re.compile(r"found\.\d{3}")  # of Windows' chkdsk


def is_leftover(name: str) -> bool:
    """Whether a folder belongs to a system or a program and not to the person."""
    plain = name.casefold()
    return (name.startswith(".") or plain in LEFTOVERS or bool(REPAIRED.fullmatch(plain)))


def shown(name: str | Path) -> str:
    """A name or path as it can be printed and written: each letter in its one form (NFC), and a
    stand-in for bytes that are no UTF-8."""
    text = name.as_posix() if isinstance(name, Path) else name
    return unicodedata.normalize("NFC", os.fsencode(text).decode("utf-8", "replace"))


def split_of(name: str) -> tuple[str, tuple[str, ...]]:
    """The split that a folder's name speaks of ("" for none, or for two), and its other words."""
    words = [part for word in WORD.findall(name) for part in _parted(word.lower())]
    said = [word for word in words if word in SPLIT_WORDS]
    said = [word for word in said if SPLIT_WORDS[word] == "pretext"] or said  # train_unlabeled
    if len(said) != 1:
        return "", tuple(words)
    return SPLIT_WORDS[said[0]], tuple(word for word in words if word not in SPLIT_WORDS)


def _parted(word: str) -> tuple[str, ...]:
    """A word such as "trainset" as its two words."""
    parts = ((start, word.removeprefix(start)) for start in SPLIT_WORDS if word.startswith(start))
    return next((both for both in parts if both[1] in FILLERS), (word,))


def is_plain(name: str) -> bool:
    """Whether a folder's name says no more than "train" or "images"."""
    split, others = split_of(name)
    return FILLERS.issuperset(others) and bool(split or others)


def split_names(names: Iterable[str]) -> dict[str, str]:
    """The split of each folder of one place, "" of those that are none.

    Other words count only if they are fillers, or if folders of two splits share them:
    flowers_train and flowers_test.
    """
    said = {name: split_of(name) for name in names}
    shared: dict[tuple[str, ...], set[str]] = {}
    for split, others in said.values():
        if split:
            shared.setdefault(others, set()).add(split)
    return {name: split if FILLERS.issuperset(others) or len(shared.get(others, ())) > 1 else ""
            for name, (split, others) in said.items()}
