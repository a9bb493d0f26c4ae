"""Weights by name: from the disk if they are there, else from the first source that has them."""

from __future__ import annotations

import importlib
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from helpers.common.download import Failed
from helpers.common.environment import in_notebook, on_colab
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.models.encoder import Encoder
from helpers.models.weights import registry, transfer
from helpers.models.weights.convert import Report, read_weights
from helpers.models.weights.layouts import find_encoders
from helpers.models.weights.registry import Entry, check_hash, lock_hash
from helpers.models.weights.safe_read import read_tensors

UPLOADED = "uploaded.weights"
WAITS = (2.0, 8.0)  # seconds before the second and the third attempt at one source
IMAGENET = {
    "resnet18": "imagenet-resnet18", "resnet34": "imagenet-resnet34",
    "resnet50": "imagenet-resnet50", "resnet101": "imagenet-resnet101",
    "vit_base": "imagenet-vit-base",
}


def default_folder() -> Path:
    """Where fetched weights are kept: FEWLABELS_WEIGHTS_DIR, else `weights` in the run folder."""
    runs = Path(os.environ.get("FEWLABELS_RUN_DIR") or "runs")
    return Path(os.environ.get("FEWLABELS_WEIGHTS_DIR") or runs / "weights").expanduser()


def fetch(name: str, folder: str | Path | None = None) -> Path:
    """The file of the weights called `name`, downloaded if it is not there.

    What arrives is checked (whether it holds an encoder, then its hash) before it gets its name,
    and its hash is locked. An interrupted download is continued by the next call.

    Args:
        name: of an entry of `weights/manifest.json`.
        folder: keeps the files (None: `default_folder()`).

    Raises:
        UserError: unknown name, no source has the file, or it is not the recorded one.
    """
    entry = registry.entry(name)
    folder = Path(folder).expanduser() if folder else default_folder()
    path = at_hand(name, folder)
    if path:
        return _checked_again(entry, path, folder)
    try:
        return _download(entry, folder)
    except OSError as problem:
        why = problem.strerror or problem
        raise UserError(f"cannot use the folder {folder} ({why}): choose another") from None


def at_hand(name: str, folder: str | Path | None = None) -> Path | None:
    """The file of the weights called `name`, where it is in the repository, in `folder` (see
    `fetch`) or in the current one, under its own name or its makers'; else None."""
    entry = registry.entry(name)
    places = (Path(folder) if folder else default_folder(), Path.cwd())
    by_hand = (place / file for place in places for file in entry.files)
    return registry.kept(entry) or next((path for path in by_hand if path.is_file()), None)


def weights_file(words: str | Path) -> Path:
    """The file that a person means: one at this path, else released weights of this name, which
    are fetched where they are not here.

    Raises:
        UserError: it is neither.
    """
    text, path = str(words), Path(words).expanduser()
    if path.is_file() or path.suffix or path.name != text:
        return path
    return fetch(text)


def named_encoder(words: str | Path, image_size: int | None = None,
                  channels: int | None = None) -> tuple[Encoder, Report]:
    """The encoder in the file that a person means, and the report on it; see `weights_file` and
    `read_weights`. Listed weights bring the size that images are enlarged to."""
    entry = registry.entries().get(str(words))
    path = weights_file(words)
    input_size = entry.input_size if entry and not Path(words).is_file() else None
    return read_weights(path, image_size=image_size or input_size, channels=channels,
                        input_size=input_size)


def for_channels(encoder: Encoder, words: str | Path, channels: int) -> Encoder:
    """`encoder`, or the weights that `words` name as `named_encoder` folds them for images of so
    many channels; it says so on standard error."""
    if encoder.config["channels"] == channels:
        return encoder
    folded, report = named_encoder(words, encoder.config["image_size"], channels)
    print(report, file=sys.stderr)
    return folded


def pretrained(name: str, image_size: int, channels: int = 3,
               folder: str | Path | None = None) -> Encoder:
    """An encoder with torchvision's ImageNet weights, for images of `channels` (1 or 3) x
    `image_size` x `image_size`.

    Args:
        name: one of `IMAGENET`.
        folder: as for `fetch`.

    Raises:
        UserError: there are no such weights for `name`, or they cannot be had here.
    """
    if name not in IMAGENET:
        raise UserError(
            f"there are no ImageNet weights for {name!r}: choose {', '.join(IMAGENET)}, or train "
            "from scratch (answer no)")
    try:
        path = fetch(IMAGENET[name], folder)
    except UserError as problem:
        raise UserError(f"{problem}; or train from scratch (answer no)") from None
    return read_weights(path, image_size=image_size, channels=channels)[0]


def upload(target: str | Path | None = None) -> Path:
    """Let a person upload one file in Colab's dialog and keep it as `target`.

    Args:
        target: None is as for `keep_uploaded`.

    Raises:
        UserError: this is not Colab, nothing was uploaded, or the file holds no weights.
    """
    target = Path(target or default_folder() / UPLOADED)
    if not (on_colab() and in_notebook()):
        raise UserError(f"files can be uploaded on Colab only: put yours at {target} instead")
    uploaded = importlib.import_module("google.colab.files").upload()
    if not uploaded:
        raise UserError(f"nothing was uploaded: run the cell again, or put the file at {target}")
    name, content = next(iter(uploaded.items()))
    for copy in uploaded:  # Colab also leaves a copy where the notebook runs
        if Path(copy).resolve() != target.resolve():
            Path(copy).unlink(missing_ok=True)
    return keep_uploaded(name, content, target)


def first_of(uploaded: Any) -> tuple[str, bytes]:
    """Name and content of the first file in the value of an ipywidgets `FileUpload`, which has them
    by name in version 7 and in a row in 8."""
    file = next(iter(uploaded.values())) if isinstance(uploaded, dict) else uploaded[0]
    return file.get("name") or file["metadata"]["name"], bytes(file["content"])


def keep_uploaded(name: str, content: bytes, target: Path | None = None) -> Path:
    """Keep an uploaded file, which was called `name`, as `target`.

    Args:
        target: None is `UPLOADED` in the `default_folder()`.

    Raises:
        UserError: the file holds no weights.
    """
    target = target or default_folder() / UPLOADED
    write_atomically(target, content)
    try:
        read_tensors(target)
    except UserError as problem:
        target.unlink()
        raise UserError(f"{name}: {problem}") from None
    return target


def _checked_again(entry: Entry, path: Path, folder: Path) -> Path:
    """`path`; a UserError where it has changed since its hash was recorded."""
    wrong = check_hash(entry, path, folder)
    if wrong:
        raise UserError(
            f"{path} is not the recorded {entry.name}: {wrong}; move it away and run again to "
            f"fetch it (what was fetched before is recorded in {folder / registry.LOCK})")
    if path.parent == folder and entry.name not in registry.lock(folder):  # put there by hand
        _check_structure(path)
        lock_hash(folder, entry.name, path, "by hand")
    return path


def _download(entry: Entry, folder: Path) -> Path:
    target, arriving = folder / entry.file, folder / "incoming" / entry.file
    arriving.parent.mkdir(parents=True, exist_ok=True)
    problems = []
    for source in entry.sources:
        try:
            _attempts(entry, source, arriving, folder)
        except Failed as problem:
            problems.append(f"{transfer.title(source)}: {problem}")
            continue
        os.replace(arriving, target)
        with suppress(OSError):  # a partial download from another source is still in there
            arriving.parent.rmdir()
        lock_hash(folder, entry.name, target, transfer.title(source))
        return target
    with suppress(OSError):  # leave no empty folders
        arriving.parent.rmdir()
        folder.rmdir()
    raise UserError(
        f"{entry.name} cannot be fetched ({'; '.join(problems)}): try later, take other weights "
        f"(`python -m helpers weights list`), or put your own copy at {target}")


def _attempts(entry: Entry, source: dict[str, str], arriving: Path, folder: Path) -> None:
    """Get a checked file to `arriving`; tried again, after a while, where that may help."""
    for wait in (*WAITS, None):
        try:
            transfer.download_from(source, arriving, entry.most_bytes)
            _check_arrival(entry, arriving, folder)
            return
        except Failed as problem:
            if wait is None or not problem.again:
                raise
            time.sleep(wait)


def _check_arrival(entry: Entry, arriving: Path, folder: Path) -> None:
    """Remove what arrived and raise `Failed`, unless it is the recorded file of an encoder."""
    try:
        _check_structure(arriving)
        wrong, again = check_hash(entry, arriving, folder), False
    except UserError as problem:
        wrong = str(problem).replace(f"{arriving} ", "").partition(": ")[0]
        again = "damaged" in wrong or "not a whole" in wrong  # cut off on the way, perhaps
    if wrong:
        arriving.unlink(missing_ok=True)
        raise Failed(f"what came is not it: {wrong}", again=again)


def _check_structure(path: Path) -> None:
    if not find_encoders(set(read_tensors(path))):
        raise UserError(f"{path} holds no encoder that is known here: use another file")
