"""How a person wants a folder of classes split: which classes, how many images for which split."""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from helpers.common.errors import UserError

COMMA = re.compile(r"\s*,\s*")
DEFAULT = "auto"  # val and test: 15 % each of the labelled images; train: all that is left


@dataclass(frozen=True)
class Split:
    """The choices for one folder. Make it with `Split.of(...)`; `Split()` changes nothing.

    `train`, `val` and `test` are None (the default), a share of the labelled images (below 1), or a
    number of images of each class (from 1 on). Images of the chosen classes that none of them takes
    stay without a label, for pretraining. No `classes` means all of them.
    """

    train: float | None = None
    val: float | None = None
    test: float | None = None
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, *, train: object = DEFAULT, val: object = DEFAULT, test: object = DEFAULT,
           classes: str | Sequence[str] = "all") -> Split:
        """Choices as a person writes them: "auto", 0.15, "15%" or 20; classes as "cat, dog", "all".

        Raises:
            UserError: a share or number that is none, or shares that leave nothing for a split.
        """
        given = {"train": train, "val": val, "test": test}
        amounts = {name: _amount(name, value) for name, value in given.items()}
        shares = {name: value for name, value in amounts.items()
                  if value is not None and value < 1}
        total = sum(shares.values())
        if total > 1 + 1e-9 or (total > 1 - 1e-9 and len(shares) < 3):
            left = [name for name in amounts if name not in shares]
            sums = " + ".join(f"{name} {100 * value:g}%" for name, value in shares.items())
            none = f", which leaves none for {left[0]}" if left else ""
            raise UserError(
                f"{sums} is {100 * total:g}% of the images{none}: choose smaller shares")
        return cls(**amounts, classes=_names(classes))

    @property
    def mark(self) -> str:
        """What tells this split from others in a folder's name; "" for the usual one."""
        return "" if self == Split() else hashlib.sha256(repr(self).encode()).hexdigest()[:6]

    def __str__(self) -> str:
        amounts = {"train": self.train, "val": self.val, "test": self.test}
        said = [f"{name} {amount_text(value)}" for name, value in amounts.items()
                if value is not None]
        if self.classes:
            said.append(f"classes {', '.join(self.classes)}")
        return "; ".join(said) or "the folder's own, or 15% each for val and test"


def amount_text(value: float) -> str:
    """A share or a number per class, for people."""
    return f"{100 * value:.3g}%" if value < 1 else f"{value:,.0f} of every class"


def check_classes(wanted: Iterable[str], known: Sequence[str], where: str) -> tuple[str, ...]:
    """The wanted classes as they are known; names with commas are put together again.

    Raises:
        UserError: one is not known; it suggests the nearest name.
    """
    plain = {COMMA.sub(", ", name): name for name in known}
    rest, found = list(wanted), []
    while rest:
        # the longest name that the next words make: "tench", "Tinca tinca"
        sizes = (size for size in range(len(rest), 0, -1)
                 if COMMA.sub(", ", ", ".join(rest[:size])) in plain)
        size = next(sizes, 0)
        if not size:
            raise _unknown_class(rest[0], known, where)
        found.append(plain[COMMA.sub(", ", ", ".join(rest[:size]))])
        del rest[:size]
    return tuple(dict.fromkeys(found))


def _unknown_class(name: str, known: Sequence[str], where: str) -> UserError:
    lower = {one.lower(): one for one in reversed(known)}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.4)
    hint = f"did you mean {lower[close[0]]!r}? " if close else ""
    more = f" and {len(known) - 12} more" if len(known) > 12 else ""
    return UserError(f"{where}: no class {name!r}; {hint}"
                     f"choose among {', '.join(known[:12])}{more}")


def share_of(name: str, value: object, default: float) -> float:
    """A share from 0 to below 1 as a person writes it: "auto" (the default), 0.02, "2%" or 0.

    Raises:
        UserError: it is none.
    """
    if _is_default(value):
        return default
    number = _number(value)
    if 0 <= number < 1:
        return number
    raise UserError(
        f"{name} is {value!r}: give auto, a share of the images such as 0.02 or 2%, or 0 for none")


def _is_default(value: object) -> bool:
    return value is None or str(value).strip().lower() in (DEFAULT, "")


def _number(value: object) -> float:
    """A number or a percentage; not a number (NaN) for any other text."""
    text = str(value).strip()
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return float("nan")


def _amount(name: str, value: object) -> float | None:
    if _is_default(value):
        return None
    number, percent = _number(value), str(value).strip().endswith("%")
    if 0 < number < 1 or (number >= 1 and number.is_integer() and not percent):
        return number
    raise UserError(
        f"{name} is {value!r}: give auto, a share of the images such as 0.15 or 15%, or a number "
        "of images of every class such as 20")


def _names(classes: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str):
        classes = [] if classes.strip().lower() in ("all", DEFAULT) else classes.split(",")
    names = (unicodedata.normalize("NFC", name.strip()) for name in classes)
    return tuple(dict.fromkeys(name for name in names if name))
