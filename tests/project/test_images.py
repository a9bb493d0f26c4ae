"""The drawings in images/ are whole, say in words what they show, and are those that are named."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
DRAWINGS = sorted((ROOT / "images").glob("*.svg"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def words(path):
    """Every text of a drawing."""
    texts = ElementTree.parse(path).iter(f"{SVG}text")
    return [" ".join("".join(text.itertext()).split()) for text in texts]


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.stem)
def test_a_drawing_is_small_and_has_a_title_for_those_who_cannot_see_it(path):
    drawing = ElementTree.parse(path).getroot()
    title = drawing.find(f"{SVG}title")
    assert drawing.tag == f"{SVG}svg" and drawing.get("role") == "img"
    assert drawing.get("aria-labelledby") == title.get("id") and len(title.text.split()) > 10
    assert path.stat().st_size < 70_000


def test_the_drawings_that_notebooks_and_pages_name_are_there():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *NOTEBOOKS]
    text = "".join(path.read_text(encoding="utf-8") for path in pages)
    named = set(re.findall(r"images/([\w-]+\.svg)", text))
    assert named == {path.name for path in DRAWINGS}


def test_the_map_shows_every_notebook():
    numbers = {path.name[:2] for path in NOTEBOOKS}
    assert numbers == {word for word in words(ROOT / "images" / "notebooks.svg")
                       if re.fullmatch(r"\d\d", word)}
