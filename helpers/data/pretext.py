"""Two sets of images to pretrain on, and the task by which they are compared."""

from __future__ import annotations

from pathlib import PurePosixPath

from torch import Tensor

from helpers.data.folder_names import split_of
from helpers.data.splits import Splits, halves

ENOUGH = 32  # images that a set needs


def pretext_sets(splits: Splits) -> tuple[Splits, dict[str, Tensor]]:
    """A task and, by name, two sets of equally many images to pretrain on for it.

    A folder with images in `pretext/` or `unlabeled/` has its own: these, and the images of its
    labelled classes. Else half of the classes are the task, and the sets are the images of this
    half and of the other one. Where there is neither there are no sets.
    """
    own = _own_pretext(splits)
    if len(own) >= ENOUGH and len(splits.train) >= ENOUGH:
        task, sets = splits, {"labelled classes": splits.train.images, "own pretext set": own}
    elif len(splits.classes) >= 4:
        task, other = halves(splits)
        sets = {"same classes": task.unlabeled, "other classes": other.unlabeled}
    else:
        return splits, {}
    size = min(map(len, sets.values()))
    return task, {name: images[:size] for name, images in sets.items()}


def _own_pretext(splits: Splits) -> Tensor:
    """The images that lie in a folder's `pretext/`; they come first among the unlabelled."""
    files = splits.names.get("unlabeled", ())
    folders = [PurePosixPath(file).parts[:-1] for file in files]
    inside = [any(split_of(name)[0] == "pretext" for name in names) for names in folders]
    return splits.unlabeled[:sum(inside)]
