"""Names in figures: as they are, in any script."""

import warnings

import numpy as np
import pytest
from matplotlib.text import Text

from helpers.notebook import png
from helpers.report import plots
from helpers.report.plots import letters


def texts(figure):
    return [text for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("names", [("$", "$$", "$$$"), ("$5-$10", "$10-$20"), (r"a_{b}$x$", "^")])
def test_dollars_are_letters_and_no_mathematics(names):
    images = np.zeros((len(names), 3, 8, 8), np.uint8)
    for figure in (plots.image_grid(images, names, columns=3, title="a $ b $"),
                   plots.confusion(np.eye(len(names)), names, "of $x$")):
        png(figure)
        shown = [text for text in texts(figure) if text.get_text() in names]
        assert shown
        assert not any(text.get_parse_math() for text in shown)


@pytest.mark.parametrize("names", [("\u732b", "\u72ac"), ("\u0643\u0644\u0628", "\u0e2b"),
                                   ("\U0001f431", "caf\ufffd")])
def test_other_scripts_give_no_flood_of_warnings(names, capsys):
    letters.said.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            png(plots.confusion(np.eye(2), names, "t"))
    assert not [one for one in caught if "missing from" in str(one.message)]
    assert capsys.readouterr().err.count("\n") <= 1


def test_letters_that_no_font_has_are_named_once(monkeypatch, capsys):
    letters.said.clear()
    monkeypatch.setattr(letters, "_has", lambda letter: False)
    for _ in range(2):
        plots.confusion(np.eye(2), ("\u732b", "dog"), "t")
    assert capsys.readouterr().err.startswith("no font here has \u732b: figures show boxes")
