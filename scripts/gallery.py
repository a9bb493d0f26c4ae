"""The executed notebooks as web pages, with a page of pictures that leads to them.

    python -m scripts.gallery               writes site/, ready for GitHub Pages
    python -m scripts.gallery FOLDER

Needs nbconvert and Pillow, nothing of what the notebooks need.
"""

from __future__ import annotations

import base64
import html
import io
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.common.markup import escaped
from helpers.common.progress_bar import progress
from helpers.report.web_page import document, notebook_page

COPIES = ROOT / "docs" / "executed"
TITLE = "Few Labels: what are images without labels worth?"
THUMB = (560, 315)  # pixels of a picture at most


def build(copies: Path, folder: Path) -> Path:
    """Write a page for each executed notebook and `index.html`; returns the latter's path.

    Raises:
        UserError: there are no executed notebooks, or nbconvert is missing.
    """
    paths = sorted(copies.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise UserError(f"no executed notebooks in {copies}: make executed")
    cards = []
    for path in progress(paths, "gallery", "pages"):
        page = notebook_page(path)
        if page is None:
            raise UserError("the package nbconvert is missing: python -m pip install nbconvert")
        write_atomically(folder / f"{path.stem}.html", page)
        cards.append(card(json.loads(path.read_text(encoding="utf-8"))["cells"], path.stem))
    body = ("<p>Executed notebooks: prose, code, figures and numbers, as a run left them.</p>\n"
            f'<div class="cards">{"".join(cards)}</div>')
    index = folder / "index.html"
    write_atomically(index, document(TITLE, body))
    return index


def card(cells: list[dict[str, Any]], name: str) -> str:
    """A notebook's title over its last figure, as a link to its page."""
    title = "".join(cells[0]["source"]).splitlines()[0].lstrip("# ")
    figures = figures_of(cells)
    picture = ""
    if figures:
        picture = f'<img alt="" src="data:image/png;base64,{smaller(figures[-1])}">'
    return f'<a href="{html.escape(name)}.html"><strong>{escaped(title)}</strong>{picture}</a>\n'


def figures_of(cells: list[dict[str, Any]]) -> list[bytes]:
    """The PNG images among the outputs of a notebook."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    found = [output.get("data", {}).get("image/png") for output in outputs]
    return [base64.b64decode("".join(data)) for data in found if data]


def smaller(png: bytes) -> str:
    """A figure as a small PNG of few colours, in base64."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as whole:
        image = whole.convert("RGB")
    image.thumbnail(THUMB)
    file = io.BytesIO()
    image.quantize(64).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    try:
        index = build(COPIES, Path(arguments[0] if arguments else ROOT / "site").resolve())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"open {index.as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
