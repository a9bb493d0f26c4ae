"""The diagrams in images/ are what their source draws."""

import re
from xml.etree import ElementTree

import pytest
from matplotlib.patches import PathPatch

from scripts import diagrams
from scripts.sheet import Sheet

ROOT = diagrams.FOLDER.parent
DRAWN = {name: diagrams.svg(draw) for name, draw in diagrams.DIAGRAMS.items()}


@pytest.mark.parametrize("name", DRAWN)
def test_the_kept_file_is_what_is_drawn(name):
    kept = (diagrams.FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert diagrams.same(kept, DRAWN[name])
    assert not diagrams.same(kept.replace("<!-- ", "<!-- x", 1), DRAWN[name])


@pytest.mark.parametrize("name", DRAWN)
def test_a_diagram_is_small_white_and_the_same_each_time(name):
    text = DRAWN[name]
    assert len(text.encode()) < 70_000
    assert text == diagrams.svg(diagrams.DIAGRAMS[name])
    background = ElementTree.fromstring(text).find(
        ".//*[@id='patch_1']/{http://www.w3.org/2000/svg}path")
    assert "#ffffff" in background.get("style")


def test_another_matplotlib_is_held_to_the_words_only():
    other = DRAWN["byol"].replace("Matplotlib v", "Matplotlib v0.").replace("M", "M1", 3)
    assert diagrams.same(DRAWN["byol"], other)
    assert not diagrams.same(DRAWN["byol"], other.replace("<!-- loss", "<!-- gain"))


def test_the_map_shows_every_notebook():
    numbers = {path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert numbers == set(re.findall(r"<!-- (\d\d) -->", DRAWN["notebooks"]))


def test_nothing_sticks_out_of_a_sheet():
    for draw in diagrams.DIAGRAMS.values():
        figure = draw()
        figure.canvas.draw()
        for text in figure.axes[0].texts:
            box = text.get_window_extent()
            assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text.get_text()
            assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, text.get_text()


def test_noise_is_gray_and_gaussian_not_salt_and_pepper():
    sheet = Sheet(2, 2, "")
    sheet.image(1, 1, noise=0.6)
    cells = [(float(patch.get_facecolor()[0]), len(patch.get_path().vertices) // 5)
             for patch in sheet.ax.patches if isinstance(patch, PathPatch)]
    shades, counts = zip(*sorted(cells), strict=True)
    assert len(shades) >= 6 and shades[-1] == 1.0
    assert counts[0] > counts[2] > counts[4] < counts[-1]  # few are far from both black and white


def test_check_names_what_differs_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(diagrams, "FOLDER", tmp_path)
    monkeypatch.setattr(diagrams, "DIAGRAMS", {"byol": diagrams.byol})
    assert diagrams.main(["--check"]) == 1
    assert not list(tmp_path.iterdir())
    assert diagrams.main([]) == 0
    assert diagrams.main(["--check"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("images/byol.svg: differs")
