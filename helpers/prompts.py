"""Questions put to a person, which never hold up a run that nobody watches.

An answer is looked for in this order: the setting, the environment variable, a person, the default.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

from helpers.errors import UserError
from helpers.progress import in_notebook

T = TypeVar("T")
ASK = "ask"
YES = ("yes", "y", "true", "t", "1", "on")
NO = ("no", "n", "false", "f", "0", "off")
YES_NO = "yes or no (also y/n, True/False, 1/0)"


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
    return _answer(prompt, parse_yes_no, YES_NO, default, "yes" if default else "no", setting, env)


def ask_choice(question: str, choices: dict[str, str], default: str, setting: str | None = ASK,
               env: str | None = None) -> str:
    """Answer a question with a few named choices; returns the name.

    Args:
        question: one sentence.
        choices: name -> what it means, shown as a numbered list.
        default: the name taken on Enter, and when nobody is there to answer.
        setting: a name, its number (from 1) or a prefix that only one name has; "ask" leaves it open.
        env: an environment variable that answers when the setting is open.

    Raises:
        UserError: the setting or the environment variable is none of the choices.
    """
    if default not in choices:
        raise ValueError(f"the default {default!r} is not among {list(choices)}")
    lines = [f"  {number}. {name}: {meaning}" for number, (name, meaning) in enumerate(choices.items(), 1)]
    prompt = "\n".join([question, *lines, f"Number or name [{default}] "])
    accepted = ", ".join(f"{number} or {name}" for number, name in enumerate(choices, 1))
    return _answer(prompt, lambda text: parse_choice(text, list(choices)), accepted, default, default,
                   setting, env)


def ask_pretrained(setting: bool | str | None = ASK, default: bool = False) -> bool:
    """Whether the backbone starts from ImageNet weights: `setting`, FEWLABELS_PRETRAINED, or a person."""
    return ask_yes_no("Start from the backbone pretrained on ImageNet?", default=default, setting=setting)


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


def _answer(prompt: str, parse: Callable[[str], T | None], accepted: str, default: T, default_text: str,
            setting: object, env: str | None) -> T:
    given = {"the setting": setting, env: os.environ.get(env) if env else None}
    for where, value in given.items():
        if value is None or str(value).strip().lower() in ("", ASK):
            continue
        answer = parse(str(value))
        if answer is None:
            raise UserError(f"{where} answers {str(value)!r} to {_first_line(prompt)!r}: use {accepted}")
        return answer
    return _ask_person(prompt, parse, accepted, default, default_text, env)


def _ask_person(prompt: str, parse: Callable[[str], T | None], accepted: str, default: T, default_text: str,
                env: str | None) -> T:
    while True:
        text = _read(prompt)
        if text is None:
            hint = f" (set {env} to choose)" if env else ""
            print(f"{_first_line(prompt)} Nobody is here to answer, so: {default_text}{hint}.")
            return default
        if not text.strip():
            return default
        answer = parse(text)
        if answer is not None:
            return answer
        print(f"{text.strip()!r} is not an answer here: type {accepted}, or Enter for {default_text}.")


def _read(prompt: str) -> str | None:
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


def _first_line(prompt: str) -> str:
    return prompt.splitlines()[0].split(" [")[0]
