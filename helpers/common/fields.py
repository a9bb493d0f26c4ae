"""Checking named values against the types of a dataclass: each complaint is one line.

A type may carry limits: `Annotated[float, Range(0, 1)]`.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from helpers.common.errors import UserError

WORDS = {"none": None, "null": None, "true": True, "false": False}
KINDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false",
         dict: "a table of names and values"}


@dataclass(frozen=True)
class Range:
    """Limits of a number; `above` excludes the lower one."""

    low: float = 0.0
    high: float = math.inf
    above: bool = False

    def check(self, name: str, value: Any) -> None:
        """Raises UserError if the value lies outside."""
        low = value > self.low if self.above else value >= self.low
        if not (low and value <= self.high):
            raise UserError(f"{name} must be {self}, not {value!r}")

    def __str__(self) -> str:
        begin = f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        return begin if self.high == math.inf else f"{begin} and at most {self.high:g}"


@dataclass(frozen=True)
class Ascending:
    """Of a pair: the second number is not below the first."""

    def check(self, name: str, value: Any) -> None:
        """Raises UserError if the pair falls."""
        if value[0] > value[1]:
            raise UserError(f"{name} goes from low to high, not {list(value)!r}")


def checked(name: str, value: Any, hint: Any) -> Any:
    """`value` as the type `hint` asks for: int, float, str, bool, dict, Literal, pairs, optional.

    Raises:
        UserError: it is of another type or outside of its limits.
    """
    kind, arguments = get_origin(hint), get_args(hint)
    if kind is Annotated:
        value = checked(name, value, arguments[0])
        for limit in arguments[1:]:
            limit.check(name, value)
        return value
    if kind in (Union, types.UnionType):
        inner = next(one for one in arguments if one is not type(None))
        return None if value is None else checked(name, value, inner)
    if kind is Literal:
        if value not in arguments:
            raise UserError(f"{name} must be one of {', '.join(arguments)}, not {value!r}"
                            + did_you_mean(value, arguments))
        return value
    if kind is tuple:
        if not isinstance(value, list | tuple) or len(value) != len(arguments):
            raise UserError(f"{name} must be {len(arguments)} numbers, not {value!r}")
        return tuple(checked(name, one, part)
                     for one, part in zip(value, arguments, strict=True))
    return _plain(name, value, kind or hint)


def _plain(name: str, value: Any, kind: type) -> Any:
    accepted = (int, float) if kind is float else kind
    wrong = isinstance(value, bool) and kind is not bool
    if wrong or not isinstance(value, accepted) or value in (math.inf, -math.inf) \
            or value != value:
        raise UserError(f"{name} must be {KINDS[kind]}, not {value!r}")
    return kind(value)


def takes_several(hint: Any) -> bool:
    """Whether a value of this type is several numbers."""
    return get_origin(hint) is tuple or any(takes_several(part) for part in get_args(hint))


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """A question for the nearest known name, or nothing if none is near."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f": did you mean {close[0]}?" if close else ""


def check_names(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raises UserError for the first name that is not known, with the nearest or all of them."""
    known = list(known)
    for name in given:
        if name not in known:
            near = did_you_mean(name, known) or f": choose among {', '.join(known)}"
            raise UserError(f"{what} has no field {name!r}{near}")


def value_of(text: Any) -> Any:
    """The value that a text stands for: a number, true, false, none, or the text itself.

    Numbers such as 1e-3 are text for YAML, so what a file says goes through here as well.
    """
    if isinstance(text, list | tuple):
        return [value_of(one) for one in text]
    if isinstance(text, Mapping):
        return {name: value_of(one) for name, one in text.items()}
    if not isinstance(text, str):
        return text
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def number_of(name: str, value: Any, kind: str, least: float,
              most: float = math.inf) -> int | float:
    """A number or its text as an "int" or a "float" from `least` on and below `most`.

    Raises:
        UserError: it is none, and names it as `name`.
    """
    try:
        number = int(value) if kind == "int" else float(value)
    except (ValueError, OverflowError):
        number = -1
    rounded = kind == "int" and not isinstance(value, str) and value != number
    if rounded or isinstance(value, bool) or not least <= number < most:
        wanted = "whole number" if kind == "int" else "number"
        bound = "above zero" if least else "from zero on"
        upper = "" if most == math.inf else f" and below {most:,}"
        raise UserError(f"{name} must be a {wanted} {bound}{upper}, not {value!r}")
    return number
