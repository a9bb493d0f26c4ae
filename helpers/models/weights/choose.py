"""Which weights to take: the questions of the notebooks, and everything a person may answer.

An answer is looked for in this order: the setting, the environment variable, a person (a drop-down
where widgets work, else a typed line), the default. A run that nobody watches never waits.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.common.environment import in_notebook, on_colab
from helpers.common.errors import UserError
from helpers.models.encoder import Encoder
from helpers.models.grow import grown
from helpers.models.weights import hub, registry

ASK, AUTO, TRAIN, IMAGENET, FILE = "ask", "auto", "train", "imagenet", "file"
# what yes and no mean from notebook 03 on: where the training of BYOL's encoder began
PRETRAINED, PLAIN = "pretrained backbone", "random start"
KINDS = (AUTO, TRAIN, IMAGENET, FILE, PRETRAINED, PLAIN)
YES = ("yes", "y", "true", "t", "1", "on")
NO = ("no", "n", "false", "f", "0", "off")
LABELS = {AUTO: "the usual encoder", TRAIN: "random weights", IMAGENET: "ImageNet backbone"}
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar")


@dataclass(frozen=True)
class Choice:
    """An answer.

    Args:
        kind: "auto", "train", "pretrained backbone", "random start" (for these see
            `helpers.training.find.chosen_encoder`), "imagenet", "listed" (weights of the manifest)
            or "file".
        name: of the listed weights; "" for the other kinds.
        path: of a file of one's own.
    """

    kind: str
    name: str = ""
    path: Path | None = None

    @classmethod
    def of(cls, name: str) -> Choice:
        """The choice of this name: one of `KINDS`, or the name of listed weights."""
        return cls(name) if name in KINDS else cls("listed", name)

    @property
    def label(self) -> str:
        """What plots and tables call these weights."""
        return LABELS.get(self.kind) or self.name or self.path.name

    @property
    def start(self) -> str:
        """What a training that starts here is remembered by; two files are never taken for one."""
        if self.path is not None:
            return f"{self.path.name} {registry.sha256(self.path)[:8]}"
        return {TRAIN: "scratch", IMAGENET: "imagenet"}.get(self.kind, self.name)

    def encoder(self, name: str, image_size: int, channels: int) -> Encoder | None:
        """The chosen encoder, or None when it is to be found or trained.

        Args:
            name: the architecture wished for. Only ImageNet's weights ask for it (resnet18 stands
                in where there are none for it); the other weights bring their own, but that slim
                and its kinds grow into the larger ones (`helpers.models.grow`).
            image_size, channels: of the images.

        Raises:
            UserError: the weights cannot be had or read.
        """
        if self.kind in (AUTO, TRAIN, PRETRAINED, PLAIN):
            return None
        if self.kind == IMAGENET:
            name = name if name in hub.IMAGENET else "resnet18"
            return _or_upload(hub.IMAGENET[name],
                              lambda: hub.pretrained(name, image_size, channels))
        if self.name:
            _or_upload(self.name, lambda: hub.fetch(self.name))
        encoder, report = hub.named_encoder(self.name or self.path, image_size, channels)
        print(report)
        return grown(encoder, name)


class Asked:
    """A question about weights. In a notebook, let a cell end with it, and the next one take its
    `choice()`: a drop-down goes on with what is preselected, so that "Run all" never waits.

    Args:
        title: what is asked, in one sentence.
        choices: every answer by name, and what it means. The path of a file is an answer, too.
        default: the name that is taken on Enter, and when no input is available.
        variable: an environment variable that answers when the setting is open.
        setting: an answer, or "ask".
        yes_no: the kinds of `Choice` that yes and no (True and False) mean.

    Raises:
        UserError: the setting or the variable is no answer.
    """

    def __init__(self, title: str, choices: dict[str, str], default: str, variable: str,
                 setting: object = ASK, *, yes_no: tuple[str, ...] = ()) -> None:
        self.title, self.choices, self.default = title, choices, default
        self.variable, self.yes_no = variable, yes_no
        self.answer, self.menu, self.button = self._settled(setting), None, None
        if self.answer is None and widgets_work():
            self.menu = self._dropdown()
            self.button = None if on_colab() else self._upload_button()
        elif self.answer is None:
            self.answer = self._typed()

    def choice(self) -> Choice:
        """The answer as it stands now; a file that was not named yet is asked for.

        Raises:
            UserError: a file is wanted and nobody names one.
        """
        answer = self.answer or Choice.of(self.menu.value)
        if answer != Choice(FILE):
            return answer
        return _ask_for_file(self.button.value if self.button else None)

    def _settled(self, setting: object) -> Choice | None:
        """What the setting or the environment answers, None where both leave the question open."""
        given = {"the setting": setting, self.variable: os.environ.get(self.variable)}
        for where, value in given.items():
            if value is None or str(value).strip().lower() in ("", ASK):
                continue
            try:
                return self._understood(str(value))
            except UserError as problem:
                raise UserError(f"{where}: {problem}") from None
        return None

    def _understood(self, text: str) -> Choice:
        """The choice meant by a name, a number from 1, or the path of a file."""
        text = text.strip().strip("'\"")
        word, names = text.lower(), list(self.choices)
        if word.isdecimal() and 1 <= int(word) <= len(names):
            word = names[int(word) - 1]
        if self.yes_no and word in YES + NO:
            return Choice(self.yes_no[word in NO])
        if word in names:
            return Choice.of(word)
        numbered = ", ".join(f"{number} or {name}" for number, name in enumerate(names, 1))
        accepted = f"{'yes or no, ' * bool(self.yes_no)}{numbered}, or the path of a file"
        by_hand = registry.of_file(text)
        if by_hand and not Path(text).is_file():
            return Choice.of(by_hand)
        if "/" in text or os.sep in text or word.endswith(SUFFIXES):
            return Choice(FILE, path=_existing(text, f"or use {accepted}"))
        raise UserError(f"{text!r} is not an answer to {self.title!r}: use {accepted}")

    def _dropdown(self) -> Any:
        """The choices as an ipywidgets drop-down, whose `value` is a name."""
        import ipywidgets

        options = [(f"{name}: {meaning}", name) for name, meaning in self.choices.items()]
        layout = {"width": "max-content", "max_width": "calc(100% - 4px)"}  # 4 px are its margins
        return ipywidgets.Dropdown(options=options, value=self.default, layout=layout)

    def _upload_button(self) -> Any:
        """A button that uploads a file from the person's computer, and then chooses it."""
        import ipywidgets

        button = ipywidgets.FileUpload(
            description="Upload a file", multiple=False,
            tooltip="up to 10 MB, Jupyter's limit; put larger ones on its machine, give the path")
        button.observe(lambda _: setattr(self.menu, "value", FILE), names="value")
        return button

    def _typed(self) -> Choice:
        """What a person types, asked again until it is an answer; else the default."""
        lines = [f"  {number}. {name}: {meaning}"
                 for number, (name, meaning) in enumerate(self.choices.items(), 1)]
        ways = "Yes, no, number" if self.yes_no else "Number"
        prompt = "\n".join([self.title, *lines, f"{ways}, name or a file's path [{self.default}] "])
        while True:
            text = read_line(prompt)
            if text is None:
                print(f"{self.title} No input available, using {self.default} "
                      f"({self.choices[self.default]}); set {self.variable} to choose.")
            if not (text or "").strip():
                return Choice.of(self.default)
            try:
                return self._understood(text)
            except UserError as problem:
                print(f"{problem}, or Enter for {self.default}.")

    def _ipython_display_(self) -> None:
        if self.menu is not None:
            from IPython.display import display

            print(f"{self.title}\nTo take another answer, choose it and run the cells below again:")
            display(*filter(None, (self.menu, self.button)))


def ask_start(setting: object = ASK) -> Asked:
    """Where BYOL starts, the question of notebook 02.

    Args:
        setting: yes (ImageNet's backbone) or no, a name or number of `start_choices()`, the path of
            a file; "ask" leaves it open, and then FEWLABELS_PRETRAINED may answer.
    """
    return Asked("Start from the backbone pretrained on ImageNet?", start_choices(), TRAIN,
                 "FEWLABELS_PRETRAINED", setting, yes_no=(IMAGENET, TRAIN))


def ask_encoder(setting: object = ASK) -> Asked:
    """Which encoder a notebook goes on with, the question from notebook 03 on.

    Args:
        setting: yes (BYOL's encoder whose backbone was pretrained on ImageNet) or no (whose start
            was random), a name or number of `encoder_choices()`, the path of a file; "ask" leaves
            it open, and then FEWLABELS_WEIGHTS may answer.
    """
    return Asked("Which encoder shall we go on with?", encoder_choices(), AUTO,
                 "FEWLABELS_WEIGHTS", setting, yes_no=(PRETRAINED, PLAIN))


def start_choices() -> dict[str, str]:
    """Every answer to `ask_start` and what it means; ImageNet comes first, so that 1 means yes."""
    return {IMAGENET: "yes, the backbone that torchvision trained with ImageNet's labels",
            TRAIN: "no, random weights: BYOL learns everything by itself", **_other_choices()}


def encoder_choices() -> dict[str, str]:
    """Every answer to `ask_encoder` and what it means."""
    return {
        AUTO: "the encoder of notebook 02; where there is none yet, for photographs a listed one",
        TRAIN: "the encoder of notebook 02: the one in the run folder, else one is trained now",
        IMAGENET: "the backbone that torchvision trained with ImageNet's labels, as it is",
        **_other_choices(),
    }


def _other_choices() -> dict[str, str]:
    listed = {name: entry.in_words for name, entry in registry.entries().items()
              if name not in hub.IMAGENET.values()}
    how = "upload it" if on_colab() else "give its path"
    return {**listed, FILE: f"a file of your own ({how})"}


def widgets_work() -> bool:
    """Whether a drop-down would appear: on Colab, and in what a Jupyter server has opened."""
    opened = on_colab() or "JPY_SESSION_NAME" in os.environ
    return opened and in_notebook() and importlib.util.find_spec("ipywidgets") is not None


def read_line(prompt: str) -> str | None:
    """What a person typed, or None when no input is available."""
    try:
        if in_notebook() or sys.stdin.isatty():
            return input(prompt)
    # stdin ended, is closed or missing, or the kernel has none
    except (EOFError, ValueError, AttributeError, NotImplementedError):
        pass
    return None


def _ask_for_file(uploaded: Any = None) -> Choice:
    if uploaded:  # with the button
        return Choice(FILE, path=hub.keep_uploaded(*hub.first_of(uploaded)))
    if on_colab() and in_notebook():
        print("Choose the file in the dialog below.")
        return Choice(FILE, path=hub.upload())
    text = (read_line("Path of the file: ") or "").strip().strip("'\"")
    if not text:
        raise UserError(
            "no file was named: give its path in place of the word file, or choose another answer")
    return Choice(FILE, path=_existing(text, "or choose another answer"))


def _existing(text: str, otherwise: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise UserError(f"no file {text}: check the path, {otherwise}")
    return path


def _or_upload(name: str, get: Callable[[], Any]) -> Any:
    """What `get` makes of listed weights. On Colab a person may upload what no source has."""
    try:
        return get()
    except UserError as problem:
        target = hub.default_folder() / registry.entry(name).file
        if target.exists() or not (on_colab() and in_notebook()):
            raise
        print(f"{problem}.")
        answer = read_line("Upload your own copy of the file now? [yes/No] ")
        if (answer or "").strip().lower() not in YES:
            raise
    hub.upload(target)
    return get()
