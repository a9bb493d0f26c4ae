"""What the parsers of all commands share: words, numbers, and the options that many have."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any, NoReturn

from helpers.common.errors import UserError
from helpers.common.names import DATASETS
from helpers.common.split import DEFAULT, Split
from helpers.common.startup import nothing_is_garbage

DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "32", "bf16", "fp16")
A_DATASET = f"{', '.join(DATASETS)}, or a folder of images"
PARTS = ("train", "val", "test")


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line; what it has parsed knows the command's own parser."""

    def parse_known_args(self, *arguments: Any) -> tuple[argparse.Namespace, list[str]]:
        found, others = super().parse_known_args(*arguments)
        if "parser" not in found:  # that of a command comes before the one around it
            found.parser = self
        return found, others

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see `{self.prog} --help`)")


def later(module: str, function: str) -> Callable[[argparse.Namespace], int | None]:
    """A command of this room, imported when it is run."""

    def command(options: argparse.Namespace) -> int | None:
        with nothing_is_garbage():
            home = importlib.import_module(f"helpers.cli.{module}")
        return getattr(home, function)(options)

    return command


def count(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def add_device(command: argparse.ArgumentParser, trains: bool = False) -> None:
    """--device and --workers, and for what trains --precision."""
    command.add_argument("--device", choices=DEVICES, help="default: a GPU where there is one")
    command.add_argument("--workers", type=positive, metavar="N",
                         help="threads that decode images; default: one a core")
    if trains:
        command.add_argument("--precision", choices=PRECISIONS,
                             help="default: half precision where the device has it and it pays")


def add_save_every(command: argparse.ArgumentParser) -> None:
    """--save-every, of a training with checkpoints."""
    command.add_argument("--save-every", type=positive, default=0, metavar="EPOCHS",
                         help="keep a checkpoint of each such epoch, epoch-0020.ckpt; evaluate "
                         "takes them; default: the newest two only")


def add_split_options(command: argparse.ArgumentParser, classes: bool = True) -> None:
    """How a folder is divided, as notebook 08 asks for it."""
    group = command.add_argument_group(
        "split", "of a folder without val/ or test/: a share such as 15%% or 0.15, or a number of "
        "images of every class such as 20")
    for part in PARTS:
        group.add_argument(f"--split-{part}", metavar="AMOUNT", default=DEFAULT,
                           help="default: what is left" if part == "train" else "default: 15%%")
    if classes:
        group.add_argument("--classes", metavar="NAMES",
                           help="only these, such as cat,dog; default: all")


def refuse_split(options: argparse.Namespace, why: str) -> None:
    """A UserError where such options were given and mean nothing."""
    if split_of(options) != Split():
        raise UserError(f"{why}: leave out --split-{', --split-'.join(PARTS)} and --classes")


def split_of(options: argparse.Namespace) -> Split:
    """What the options of `add_split_options` say."""
    amounts = {part: getattr(options, f"split_{part}", DEFAULT) for part in PARTS}
    return Split.of(**amounts, classes=getattr(options, "classes", None) or "all")
