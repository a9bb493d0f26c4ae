"""Which weights to take: the questions of the notebooks, and everything a person may answer.

Notebook 02 asks where BYOL starts, the later ones which encoder they go on with. Both know the same
answers: train, ImageNet's backbone, weights of the list by name or number, a file. The later ones
also know "auto".
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.common.environment import on_colab
from helpers.common.errors import UserError
from helpers.common.progress import in_notebook
from helpers.models.encoder import Encoder
from helpers.models.weights import hub as fetching
from helpers.models.weights import prompts
from helpers.models.weights import registry as manifest
from helpers.models.weights.convert import read_weights

WHICH = "Which encoder shall we go on with?"
AUTO, TRAIN, IMAGENET, FILE = "auto", "train", "imagenet", "file"
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar")


@dataclass(frozen=True)
class Choice:
    """An answer.

    Args:
        kind: "auto" (see `helpers.training.find.chosen_encoder`), "train", "imagenet", "listed"
            (weights of the manifest) or "file".
        name: of the listed weights; "" for the other kinds.
        path: of a file of one's own.
    """

    kind: str
    name: str = ""
    path: Path | None = None

    @property
    def label(self) -> str:
        """What plots and tables call these weights."""
        known = {AUTO: "the usual encoder", TRAIN: "random weights", IMAGENET: "ImageNet backbone"}
        return known.get(self.kind) or self.name or self.path.name

    @property
    def start(self) -> str:
        """What a training that starts from these weights is remembered by; two files are never
        taken for one."""
        if self.path is not None:
            return f"{self.path.name} {manifest.sha256(self.path)[:8]}"
        return {TRAIN: "scratch", IMAGENET: "imagenet"}.get(self.kind, self.name)

    def encoder(self, name: str, image_size: int, channels: int) -> Encoder | None:
        """The chosen encoder, or None when it is to be found or trained.

        Args:
            name: the architecture wished for. Only ImageNet's weights ask for it (resnet18 stands
                in where there are none for it); the other weights bring their own.
            image_size, channels: of the images.

        Raises:
            UserError: the weights cannot be had or read.
        """
        if self.kind in (AUTO, TRAIN):
            return None
        if self.kind == IMAGENET:
            return fetching.pretrained(name if name in fetching.IMAGENET else "resnet18",
                                       image_size, channels)
        path = self.path or fetching.fetch(self.name)
        encoder, report = read_weights(path, image_size=image_size, channels=channels)
        print(report)
        return encoder


class Asked:
    """A question that was put. In a notebook, let a cell end with it and the next one take its
    `choice()`.

    Where drop-downs work it shows one and goes on with what is preselected, so that "Run all" never
    waits. Elsewhere a person types the answer, and where nobody is there the default is taken.
    """

    def __init__(self, question: prompts.Question[Choice], choices: dict[str, str],
                 setting: object) -> None:
        self.answer, self.menu, self.title = question.settled(setting), None, question.title()
        if self.answer is None and widgets_work():
            self.menu = dropdown(choices, question.default.kind)
        elif self.answer is None:
            self.answer = question.put()

    def choice(self) -> Choice:
        """The answer as it stands now; a file that was not named yet is asked for.

        Raises:
            UserError: a file is wanted and nobody names one.
        """
        answer = self.answer or _choice(self.menu.value)
        return _ask_for_file() if answer == Choice(FILE) else answer

    def _ipython_display_(self) -> None:
        if self.menu is not None:
            from IPython.display import display

            print(f"{self.title}\nTo take another answer, choose it and run the cells below again:")
            display(self.menu)


def ask_start(setting: object = prompts.ASK) -> Asked:
    """Where BYOL starts: the question of notebook 02, which yes (ImageNet's backbone) and no answer
    too.

    Args:
        setting: yes/no, True/False, a name or number of `start_choices()`, the path of a file;
            "ask" leaves it open, and then FEWLABELS_PRETRAINED may answer.

    Raises:
        UserError: an answer that is none of these, or a file that is not there.
    """
    def parse(text: str) -> Choice | None:
        meant = prompts.parse_yes_no(text)
        return _parse(text, choices) if meant is None else Choice(IMAGENET if meant else TRAIN)

    choices = start_choices()
    return _asked(prompts.PRETRAINED, choices, parse,
                  "Yes, no, number, name or a file's path [no] ",
                  f"yes or no, {prompts.named(choices)}, or the path of a file", TRAIN, "no",
                  "FEWLABELS_PRETRAINED", setting)


def ask_encoder(setting: object = prompts.ASK) -> Asked:
    """Which encoder a notebook goes on with; asked from notebook 03 on.

    Args:
        setting: a name or number of `encoder_choices()`, the path of a file; "ask" leaves it open,
            and then FEWLABELS_WEIGHTS may answer.

    Raises:
        UserError: an answer that is none of these, or a file that is not there.
    """
    choices = encoder_choices()
    return _asked(
        WHICH, choices, lambda text: _parse(text, choices),
        f"Number, name or a file's path [{AUTO}] ",
        f"{prompts.named(choices)}, or the path of a file", AUTO,
        "the encoder of notebook 02, or for a folder of photographs without one the released one",
        "FEWLABELS_WEIGHTS", setting)


def start_choices() -> dict[str, str]:
    """Every answer to `ask_start` and what it means; ImageNet comes first, so that 1 means yes."""
    return {IMAGENET: "yes, the backbone that torchvision trained with ImageNet's labels",
            TRAIN: "no, random weights: BYOL learns everything by itself", **_other_choices()}


def encoder_choices() -> dict[str, str]:
    """Every answer to `ask_encoder` and what it means."""
    return {
        AUTO: "the encoder of notebook 02; where there is none yet, for a folder of photographs "
              "the released one",
        TRAIN: "the encoder of notebook 02: the one in the run folder, else one is trained now",
        IMAGENET: "the backbone that torchvision trained with ImageNet's labels, as it is",
        **_other_choices()
    }


def _other_choices() -> dict[str, str]:
    listed = {name: entry.what for name, entry in manifest.entries().items()
              if name not in fetching.IMAGENET.values()}
    return {
        **listed, FILE: f"a file of your own ({'upload it' if on_colab() else 'give its path'})"
    }


def widgets_work() -> bool:
    """Whether a drop-down would appear: on Colab, and in what a Jupyter server has opened."""
    opened = on_colab() or "JPY_SESSION_NAME" in os.environ
    return opened and in_notebook() and importlib.util.find_spec("ipywidgets") is not None


def dropdown(choices: dict[str, str], default: str) -> Any:
    """The choices as an ipywidgets drop-down, whose `value` is a name."""
    import ipywidgets

    options = [(f"{name}: {meaning}", name) for name, meaning in choices.items()]
    layout = {"width": "max-content", "max_width": "calc(100% - 4px)"}  # 4 pixels are its margins
    return ipywidgets.Dropdown(options=options, value=default, layout=layout)


def _asked(title: str, choices: dict[str, str], parse: Any, last: str, accepted: str, default: str,
           in_words: str, env: str, setting: object) -> Asked:
    prompt = prompts.numbered(title, choices, last)
    return Asked(prompts.Question(prompt, parse, accepted, Choice(default), in_words, env), choices,
                 setting)


def _parse(text: str, choices: dict[str, str]) -> Choice | None:
    """The choice meant by a name, a number or the path of a file."""
    name = prompts.parse_choice(text, list(choices))
    if name:
        return _choice(name)
    return _file(text) if _looks_like_path(text) else None


def _choice(name: str) -> Choice:
    return Choice(name) if name in (AUTO, TRAIN, IMAGENET, FILE) else Choice("listed", name)


def _ask_for_file() -> Choice:
    if on_colab() and in_notebook():
        print("Choose the file in the dialog below.")
        return Choice(FILE, path=fetching.upload(fetching.default_folder() / "uploaded.weights"))
    text = prompts.read_line("Path of the file: ")
    if not (text or "").strip():
        raise UserError(
            "no file was named: give its path in place of the word file, or choose another answer")
    return _file(text)


def _file(text: str) -> Choice:
    path = Path(_bare(text)).expanduser()
    if not path.is_file():
        raise UserError(
            f"no file {path}: check the path of your weights, or give a name of the list")
    return Choice(FILE, path=path)


def _looks_like_path(text: str) -> bool:
    text = _bare(text)
    return os.sep in text or "/" in text or text.lower().endswith(SUFFIXES)


def _bare(text: str) -> str:
    return text.strip().strip("'\"")
