"""Questions put to a person, which never hold up a run that nobody watches.

An answer is looked for in this order: the setting, the environment variable, a person, the default.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from helpers.common.errors import UserError
from helpers.common.progress import in_notebook

T = TypeVar("T")
ASK = "ask"
YES = ("yes", "y", "true", "t", "1", "on")
NO = ("no", "n", "false", "f", "0", "off")
PRETRAINED = "Start from the backbone pretrained on ImageNet?"
YES_NO = "yes or no (also y/n, True/False, 1/0)"


@dataclass(frozen=True)
class Question(Generic[T]):
    """A question with everything needed to put it, and to understand the answer.

    Args:
        prompt: what a person is shown; its first line says what is asked.
        parse: an answer's text to its meaning, None for one that is none; a UserError says why not.
        accepted: the answers, in words.
        default: taken on Enter, and when nobody is there to answer.
        default_text: the default in words.
        env: an environment variable that answers when the setting is open.
    """

    prompt: str
    parse: Callable[[str], T | None]
    accepted: str
    default: T
    default_text: str
    env: str | None = None

    def answer(self, setting: object = ASK) -> T:
        """The setting's answer, else the environment's, a person's, the default.

        Raises:
            UserError: the setting or the environment variable is none of the answers.
        """
        settled = self.settled(setting)
        return self.put() if settled is None else settled

    def settled(self, setting: object = ASK) -> T | None:
        """What the setting or the environment answers, None where both leave the question open."""
        given = {"the setting": setting, self.env: os.environ.get(self.env) if self.env else None}
        for where, value in given.items():
            if value is None or str(value).strip().lower() in ("", ASK):
                continue
            answer = self.parse(str(value))
            if answer is None:
                raise UserError(
                    f"{where} answers {str(value)!r} to {self.title()!r}: use {self.accepted}")
            return answer
        return None

    def put(self) -> T:
        """What a person answers, asked again until it is an answer; the default when nobody is
        there."""
        while True:
            text = read_line(self.prompt)
            if text is None:
                hint = f" (set {self.env} to choose)" if self.env else ""
                print(f"{self.title()} Nobody is here to answer, so: {self.default_text}{hint}.")
                return self.default
            if not text.strip():
                return self.default
            try:
                answer = self.parse(text)
                problem = f"{text.strip()!r} is not an answer here:"
            except UserError as error:
                answer, problem = None, f"{error};"
            if answer is not None:
                return answer
            print(f"{problem} type {self.accepted}, or Enter for {self.default_text}.")

    def title(self) -> str:
        """What is asked, in one sentence."""
        return self.prompt.splitlines()[0].split(" [")[0]


def ask_yes_no(question: str, *, default: bool, setting: bool | str | None = ASK,
               env: str | None = "FEWLABELS_PRETRAINED") -> bool:
    """Answer a yes/no question.

    Args:
        question: one sentence, without the choices.
        default: taken on Enter, and when nobody is there to answer.
        setting: True/False, yes/no, y/n, 1/0 in any case; "ask" (or None, "") leaves it open.
        env: an environment variable that answers when the setting is open.

    Raises:
        UserError: the setting or the environment variable is none of the choices.
    """
    prompt = f"{question} [{'Yes/no' if default else 'yes/No'}] "
    return Question(prompt, parse_yes_no, YES_NO, default, "yes" if default else "no",
                    env).answer(setting)


def numbered(question: str, choices: dict[str, str], last: str) -> str:
    """A prompt of several lines: the question, every choice with its number and meaning, and
    `last`."""
    lines = [
        f"  {number}. {name}: {meaning}" for number, (name,
                                                      meaning) in enumerate(choices.items(), 1)
    ]
    return "\n".join([question, *lines, last])


def named(choices: dict[str, str]) -> str:
    """The answers to such a prompt, in one line."""
    return ", ".join(f"{number} or {name}" for number, name in enumerate(choices, 1))


def parse_yes_no(text: str) -> bool | None:
    """True or False for an accepted spelling, None for anything else."""
    word = text.strip().strip("'\"").lower()
    return True if word in YES else False if word in NO else None


def parse_choice(text: str, names: list[str]) -> str | None:
    """The name meant by an exact name, a number from 1, or a prefix of only one name; else None."""
    word = text.strip().strip("'\"").lower()
    exact = [name for name in names if name.lower() == word]
    if exact:
        return exact[0]
    if word.isdecimal():
        return names[int(word) - 1] if 1 <= int(word) <= len(names) else None
    begins = [name for name in names if name.lower().startswith(word)]
    return begins[0] if word and len(begins) == 1 else None


def read_line(prompt: str) -> str | None:
    """What a person typed, or None when nobody can type anything."""
    if not in_notebook() and not _at_terminal():
        return None
    try:
        return input(prompt)
    except (EOFError, NotImplementedError):  # a kernel without stdin raises a NotImplementedError
        return None


def _at_terminal() -> bool:
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:  # stdin was closed
        return False
