"""Texts: names of classes, files and weights, which anybody may have chosen, and columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

# what Markdown or HTML gives a meaning within a line; "_" has one at the edge of a word alone
MARKS = re.compile(r"""[&<>"`*\[\]|\\!~$]|(?<!\w)_|_(?!\w)""")
# A page that sets formulas looks for dollars and for backslashes before a word, whether they were
# escaped or not: a wide dollar is none, and an invisible sign parts a backslash from its word.
NO_FORMULA = {"$": "&#65284;", "\\": "&#92;&#8288;"}
COLUMNS = 100  # of a printed line
FORMULA = ("=", "+", "-", "@")  # with these a spreadsheet begins a formula


def escaped(text: object) -> str:
    """A name as one line that Markdown, HTML and SVG show as it is: nothing in it has a meaning,
    to a page that sets formulas neither."""
    line = " ".join(str(text).split())
    return MARKS.sub(lambda mark: NO_FORMULA.get(mark[0], f"&#{ord(mark[0])};"), line)


def as_cell(value: object) -> object:
    """A cell of a CSV file: a text that a spreadsheet would compute gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and _computed(value) else value


def from_cell(text: str) -> str:
    """The text that `as_cell` wrote."""
    return text[1:] if text.startswith("'") and _computed(text[1:]) else text


def _computed(text: str) -> bool:
    """Whether a text begins as a formula does (a sign alone is none), or as `as_cell` writes it."""
    start = text.lstrip()
    return len(start) > 1 and start.startswith((*FORMULA, "'"))


def wrapped(text: str, indent: str = "", further: str = "    ") -> str:
    """Lines of at most `COLUMNS` that break between words, each line of `text` on its own; `indent`
    begins it, `further` goes before what is left of it."""
    return "\n".join(textwrap.fill(line, COLUMNS, initial_indent=indent, subsequent_indent=further,
                                   break_long_words=False, break_on_hyphens=False)
                     for line in text.splitlines())


def in_columns(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Lines in which the cells of each column stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [gap.join(map(str.ljust, row, widths)).rstrip() for row in rows]
