"""A dataset by its name, or the images of a folder, as `Splits`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.common.environment import locate, need_drive, places_of
from helpers.common.errors import UserError
from helpers.common.files import one_at_a_time
from helpers.common.names import DATASETS, DEFAULT_IMAGE_SIZE, dataset_named, unquoted
from helpers.common.split import Split
from helpers.data.archive import unpacked
from helpers.data.arrays import digits
from helpers.data.folder import load_folder
from helpers.data.splits import Splits, only_classes
from helpers.data.unlabelled import has_classes, load_unlabelled

if TYPE_CHECKING:
    from helpers.settings import Settings

FOLDER_SIZE = 96
SMALLEST, LARGEST = 8, 1024


def load_for(settings: Settings, labelled: bool = True) -> Splits:
    """What `load` gives for the dataset, size, seed and split of some settings."""
    return load(settings.dataset, image_size=settings.image_size, seed=settings.seed,
                data_dir=settings.data_dir, split=settings.split, labelled=labelled)


def load(name_or_folder: str | Path, *, image_size: int | None = None, seed: int = 0,
         data_dir: str | Path = "data", split: Split | None = None,
         labelled: bool = True) -> Splits:
    """A dataset by name, or the images of a folder.

    Args:
        name_or_folder: one of `DATASETS`, or a folder of `train/<class>/` with, optionally, `val/`,
            `test/` and `pretext/` or `unlabeled/` beside it, or a folder of `<class>/`; or a zip
            file of one.
        image_size: height and width in pixels (8 to 1024); None for the dataset's own.
        seed: of the validation split (0 to 2**32 - 1); the test split does not depend on it.
        data_dir: where downloads and decoded images are kept.
        split: which classes, and how a folder is divided; a named dataset has its own division.
        labelled: False: a folder without classes will do, a flat one or `unlabeled/` alone. It has
            no labelled image then.

    Raises:
        UserError: an unknown name, a failed download, or a folder that cannot be used or split so.
    """
    split = split or Split()
    name = name_or_path(name_or_folder)
    size = DEFAULT_IMAGE_SIZE.get(name, FOLDER_SIZE) if image_size is None else image_size
    check_size(size)
    if name in DATASETS and split != Split(classes=split.classes):
        raise UserError(
            f"{name} has its own train, val and test images: leave these at auto, they are for "
            "folders")
    if name == "digits":
        splits = digits(size, seed)
        return only_classes(splits, split.classes) if split.classes else splits
    folder = Path(data_dir).expanduser()
    with one_at_a_time(folder):  # of the processes of a cluster, all of which need the same images
        if name not in DATASETS:
            root = Path(name)
            root = unpacked(root, folder) if root.is_file() else root
            if not labelled and split == Split() and not has_classes(root):
                return load_unlabelled(root, size, folder)
            return load_folder(root, size, seed, folder, split)
        from helpers.data import named

        splits = named.READERS[name](size, seed, folder)
    return only_classes(splits, split.classes) if split.classes else splits


def check_size(size: int) -> None:
    """A UserError unless images can have this side, in pixels."""
    if not SMALLEST <= size <= LARGEST:
        raise UserError(
            f"image size {size}: choose a number of pixels from {SMALLEST} to {LARGEST}")


def name_or_path(name_or_folder: str | Path) -> str:
    """A name of `DATASETS`, or the path of a folder or zip file that exists.

    Raises:
        UserError: it is neither.
    """
    text = unquoted(name_or_folder)
    path = Path(text).expanduser()
    name = dataset_named(text)
    if name:
        return name
    need_drive(path)
    found = locate(path)
    if found is not None and (found.is_dir() or found.suffix.lower() == ".zip"):
        return str(found)
    if found is not None:
        raise UserError(
            f"dataset {text}: this is a file and no zip; unpack it if it is an archive, and name "
            "the folder")
    close = difflib.get_close_matches(text.lower(), DATASETS, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    looked = " or ".join(map(str, places_of(path)))
    raise UserError(f"dataset {text}: no such name or folder (nothing is at {looked}); {hint}"
                    f"choose one of {', '.join(DATASETS)}, or a folder of train/<class>/")
