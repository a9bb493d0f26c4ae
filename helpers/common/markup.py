"""Names in texts: of classes, files and weights, which anybody may have chosen."""

from __future__ import annotations

import re

# what Markdown or HTML gives a meaning within a line; "_" has one at the edge of a word alone
MARKS = re.compile(r"""[&<>"`*\[\]|\\!~$]|(?<!\w)_|_(?!\w)""")
FORMULA = ("=", "+", "-", "@")  # with these a spreadsheet begins a formula


def escaped(text: object) -> str:
    """A name as one line that Markdown, HTML and SVG show as it is: nothing in it has a meaning."""
    line = " ".join(str(text).split())
    return MARKS.sub(lambda mark: f"&#{ord(mark[0])};", line)


def as_cell(value: object) -> object:
    """A cell of a CSV file: a text that a spreadsheet would compute gets an apostrophe in front."""
    text = isinstance(value, str) and value.lstrip().startswith((*FORMULA, "'"))
    return f"'{value}" if text else value


def from_cell(text: str) -> str:
    """The text that `as_cell` wrote."""
    marked = text.startswith("'") and text[1:].lstrip().startswith((*FORMULA, "'"))
    return text[1:] if marked else text
