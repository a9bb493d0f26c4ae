"""Which encoder to go on with: the question of notebooks 02 to 04, and everything a person may answer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import prompts
from helpers.checkpoints import fetching, manifest
from helpers.checkpoints.foreign import read_weights
from helpers.colab import on_colab
from helpers.encoders import Encoder
from helpers.errors import UserError
from helpers.progress import in_notebook

QUESTION = "Which encoder shall we go on with?"
TRAIN, IMAGENET, FILE = "train", "imagenet", "file"
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar")


@dataclass(frozen=True)
class Choice:
    """An answer to the question.

    Args:
        kind: "train", "imagenet", "listed" (weights of the manifest) or "file".
        name: of the listed weights; "" for the other kinds.
        path: of a file of one's own.
    """

    kind: str
    name: str = ""
    path: Path | None = None

    def encoder(self, name: str, image_size: int, channels: int) -> Encoder | None:
        """The chosen encoder, or None when one is to be trained.

        Args:
            name: the architecture; only the ImageNet weights ask for it, the others bring their own.
            image_size, channels: of the pictures.

        Raises:
            UserError: the weights cannot be had or read.
        """
        if self.kind == TRAIN:
            return None
        if self.kind == IMAGENET:
            return fetching.pretrained(name, image_size, channels)
        path = self.path or fetching.fetch(self.name)
        encoder, report = read_weights(path, image_size=image_size, channels=channels)
        print(report)
        return encoder


def choices() -> dict[str, str]:
    """Every answer and what it means."""
    listed = {name: entry.what for name, entry in manifest.entries().items()
              if name not in fetching.IMAGENET.values()}
    how = f"a file of your own ({'upload it' if on_colab() else 'give its path'})"
    return {TRAIN: "train one now, at the size of the preset",
            IMAGENET: "the backbone that torchvision trained with ImageNet's labels", **listed, FILE: how}


def choose_backbone(setting: str | None = prompts.ASK, env: str | None = "FEWLABELS_WEIGHTS",
                    default: str = TRAIN) -> Choice:
    """Ask which encoder to use, or take the answer from `setting` or the environment.

    Args:
        setting: a name of `choices()`, its number, a path of a file, or "ask".
        env: the environment variable that answers when `setting` is "ask".
        default: taken on Enter, and when nobody is there to answer.

    Raises:
        UserError: an answer that is none of these, or a file that is not there.
    """
    for given in (setting, os.environ.get(env) if env else None):
        if given and str(given).strip().lower() != prompts.ASK:
            if _looks_like_path(str(given)):
                return _file(str(given))
            break
    answer = prompts.ask_choice(QUESTION, choices(), default, setting, env)
    if answer == FILE:
        return _ask_for_file()
    return Choice(answer) if answer in (TRAIN, IMAGENET) else Choice("listed", answer)


def dropdown(default: str = TRAIN) -> Any:
    """The same choice as an ipywidgets drop-down; give its `.value` to `choose_backbone` in the next cell."""
    import ipywidgets

    options = [(f"{name}: {meaning}", name) for name, meaning in choices().items()]
    return ipywidgets.Dropdown(options=options, value=default, layout={"width": "max-content"})


def _ask_for_file() -> Choice:
    if on_colab() and in_notebook():
        print("Choose the file in the dialog below.")
        return Choice(FILE, path=fetching.upload(fetching.default_folder() / "uploaded.weights"))
    text = prompts._read("Path of the file: ")  # knows whether anybody is there to type
    if not (text or "").strip():
        raise UserError("no file was named: set FEWLABELS_WEIGHTS to its path, or choose another answer")
    return _file(text)


def _file(text: str) -> Choice:
    path = Path(text.strip().strip("'\"")).expanduser()
    if not path.is_file():
        raise UserError(f"no file {path}: give the path of your weights, or one of {', '.join(choices())}")
    return Choice(FILE, path=path)


def _looks_like_path(text: str) -> bool:
    text = text.strip().strip("'\"")
    return os.sep in text or text.lower().endswith(SUFFIXES)
