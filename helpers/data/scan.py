"""Which images a folder holds, of which split and class each is; nothing is opened here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from helpers.common.errors import UserError
from helpers.common.split import check_classes
from helpers.data.folder_names import is_leftover, is_plain, shown, split_names, split_of
from helpers.data.images import EXTENSIONS
from helpers.data.listing import (
    ORDER,
    ImageFile,
    Listing,
    entries_of,
    files_in,
    has_image_name,
    images_under,
    left_out,
    shuffle,
    some,
    subfolders,
    unread_text,
)


def scan(root: Path, name: str | None = None, classes: Sequence[str] = ()) -> Listing:
    """List `train/<class>/` with `val/`, `test/`, `pretext/` or `unlabeled/`, or a folder of
    `<class>/`.

    Args:
        classes: the only ones to list; all of them by default. What has no label is listed in any
            case.

    Raises:
        UserError: no classes, an empty class or split, a class that train lacks, or fewer than two
            chosen ones.
    """
    listing = Listing(name or shown(root.resolve().name), root)
    inside = _unwrapped(root, listing)
    folders = _by_split(inside, listing)
    _check_folders(inside, folders)
    if folders["train"]:
        if folders[""]:
            beside = [f"{shown(one.name)}{files_in(one)}" for one in folders[""]]
            listing.notes.append(f"folders beside train/ were ignored: {some(beside)}")
        for split in ("train", "val", "test"):
            for folder in folders[split]:
                inner = _undoubled(folder)
                _add_classes(listing, inner, split, subfolders(inner, listing))
    else:
        _add_classes(listing, inside, "train", folders[""])
    for folder in folders["pretext"]:
        add_images(listing, [folder], "pretext", -1)
    if classes:
        _keep(listing, classes)
    listing.notes += left_out(listing)
    shuffle(listing)
    return listing


def _by_split(root: Path, listing: Listing) -> dict[str, list[Path]]:
    """The folders in `root` by the split that each is, "" for none.

    Where images lie in train/ itself and in other folders, all of them are classes: there are
    people who sort vehicles.
    """
    found = subfolders(root, listing)
    splits = split_names(folder.name for folder in found)
    labelled = [one for one in found if splits[one.name] in ("train", "val", "test")]
    others = [one for one in found if not splits[one.name]]
    if labelled and any(map(_is_flat, others)) and all(map(_is_flat, labelled)):
        names = ", ".join(f"{shown(one.name)}/" for one in labelled)
        listing.notes.append(f"{names} taken as classes: they hold images and no class folders")
        splits |= {one.name: "" for one in labelled}
    folders: dict[str, list[Path]] = {split: [] for split in (*ORDER, "")}
    for folder in found:
        folders[splits[folder.name]].append(folder)
    return folders


def _is_flat(folder: Path) -> bool:
    """Whether images lie in the folder itself, and no folders beside them."""
    entries = [entry for entry in entries_of(folder) if not is_leftover(entry.name)]
    return not any(map(os.path.isdir, entries)) and any(has_image_name(entry) for entry in entries)


def _unwrapped(root: Path, listing: Listing) -> Path:
    """The innermost of folders around everything: photos/photos/train/ is photos/train/."""
    inside = root
    while True:
        entries = [entry for entry in entries_of(inside) if not is_leftover(entry.name)]
        folders = [entry for entry in entries if os.path.isdir(entry)]
        if (len(folders) != 1 or any(map(has_image_name, entries)) or split_of(folders[0].name)[0]
                or not any(map(os.path.isdir, entries_of(folders[0])))):
            break
        listing.ignored += len(entries) - 1
        inside = folders[0]
    if inside != root:
        listing.notes.append(f"everything lies in {shown(inside.relative_to(root))}/, which is "
                             "taken for the folder")
    return inside


def _undoubled(folder: Path) -> Path:
    """The folder of the classes of train/train/<class>/, train/images/<class>/ or
    cats_train/cats_train/<class>/."""
    while True:
        entries = [entry for entry in entries_of(folder) if not is_leftover(entry.name)]
        if (len(entries) != 1
                or not (is_plain(entries[0].name) or entries[0].name == folder.name)
                or not any(map(os.path.isdir, entries_of(entries[0])))):
            return folder
        folder = entries[0]


def _check_folders(root: Path, folders: dict[str, list[Path]]) -> None:
    held_out = folders["val"] + folders["test"]
    if not folders["train"] and held_out:
        raise UserError(f"folder {root}: there is a {held_out[0].name}/ but no train/: "
                        "put the training images in train/<class>/")
    if not folders["train"] and not folders[""]:
        raise UserError(
            f"folder {root}: no class folders: put the images in train/<class>/ or <class>/; "
            "without any, they can be learned from (`python -m helpers pretrain byol --dataset "
            "FOLDER`)")
    for split in ("train", "val", "test"):
        if len(folders[split]) > 1:
            names = some(folder.name for folder in folders[split])
            raise UserError(f"folder {root}: {names} mean the same: keep one")


def _keep(listing: Listing, classes: Sequence[str]) -> None:
    """Leave out the images of all other classes."""
    classes = check_classes(classes, listing.classes, f"folder {listing.root}")
    if len(classes) < 2:
        raise UserError(
            f"folder {listing.root}: one class chosen ({classes[0]}), at least 2 are needed: "
            f"choose more of {some(listing.classes, 12)}")
    kept = tuple(name for name in listing.classes if name in classes)
    label = {listing.classes.index(name): number for number, name in enumerate(kept)} | {-1: -1}
    listing.images = [replace(one, label=label[one.label])
                      for one in listing.images if one.label in label]
    if len(kept) < len(listing.classes):
        listing.notes.append(
            f"{len(kept)} of {len(listing.classes)} classes were chosen: {some(kept)}")
    listing.classes = kept


def _add_classes(listing: Listing, folder: Path, split: str, classes: list[Path]) -> None:
    places: dict[str, list[Path]] = {}  # two spellings of one name are one class
    for entry in sorted(classes):
        places.setdefault(shown(entry.name), []).append(entry)
    names = tuple(sorted(places))
    if split == "train":
        if len(names) < 2:
            raise UserError(
                f"folder {folder}: one class folder ({some(names)}), at least 2 are needed: "
                "without classes its images can only be learned from (`python -m helpers pretrain`)"
                if names else f"folder {folder}: no class folders: add {folder.name}/<class>/")
        listing.classes = names
    if not names:
        raise UserError(f"folder {folder}: no class folders: add {folder.name}/<class>/ "
                        f"or remove {folder.name}/")
    unknown = sorted(set(names) - set(listing.classes))
    if unknown:
        raise UserError(f"folder {folder}: train has no class {some(unknown)}: "
                        "add it to train or remove it here")
    for name in names:
        add_images(listing, places[name], split, listing.classes.index(name))


def add_images(listing: Listing, folders: list[Path], split: str, label: int) -> None:
    """Add every image under `folders`, however deep; a UserError where there is none."""
    unread, unlisted = len(listing.unread), len(listing.unlisted)
    found = [ImageFile(path, split, label)
             for folder in folders for path in images_under(folder, listing)]
    listing.images += found
    if found:
        return
    where = f"folder {shown(folders[0])}"
    if len(listing.unlisted) > unlisted:
        raise UserError(f"{where}: no images found, as it could not be read: "
                        f"{some(listing.unlisted[unlisted:])}: change its permissions, or try "
                        "again where a disk failed")
    if len(listing.unread) > unread:
        raise UserError(f"{where}: {unread_text(listing.unread[unread:], 'and no others in it')}")
    kinds = ", ".join(sorted(kind[1:] for kind in EXTENSIONS))
    raise UserError(f"{where}: no images in it: add some ({kinds}) or remove the folder")


