"""Small helps for notebook cells."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from helpers.progress import in_notebook

# The colours travel inside the HTML, on a light ground of their own, so that the code looks the
# same in Jupyter, in Colab, in a dark theme and on a web page made from the notebook.
BOX = ("background:#f6f8fa; color:#24292f; padding:0.6em 0.9em; border-radius:6px; overflow-x:auto; "
       "line-height:1.35;")


def show_source(*objects: Any) -> None:
    """Show the Python source of functions, classes or modules, highlighted.

    In a terminal, or without pygments, the source is printed as plain text.

    Raises:
        TypeError: an object that has no Python source (a builtin, an instance).
    """
    for thing in objects:
        text = source_of(thing)
        html = _highlight(text) if in_notebook() else None
        if html is None:
            print(text)
        else:
            from IPython.display import display

            display({"text/html": html, "text/plain": text}, raw=True)


def source_of(thing: Any) -> str:
    """The object's source without its outer indentation, under a comment that says where it lives."""
    lines, first = inspect.getsourcelines(thing)
    module = inspect.getmodule(thing)
    where = f"# {module.__name__}, line {max(first, 1)}\n" if module else ""
    return where + textwrap.dedent("".join(lines)).rstrip()


def _highlight(text: str) -> str | None:
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ImportError:
        return None
    return highlight(text, PythonLexer(), HtmlFormatter(noclasses=True, nobackground=True, cssstyles=BOX))
