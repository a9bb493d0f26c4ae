"""Names that are data: shown as they are, wherever a page, a drawing or a spreadsheet has them."""

import html
import re
from html.parser import HTMLParser

import mistune
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.common.markup import COLUMNS, as_cell, escaped, from_cell, wrapped
from helpers.data.labels import read_labels
from helpers.evaluation.labelling import LabelTable
from helpers.report import record, summary, tables
from helpers.report.closing import few_labels, images, robustness
from helpers.report.plots.lookup import map_page

HOSTILE = ["<img src=x onerror=\"document.title='pwned'\">", "<script>alert(1)</script>",
           "[click](javascript:alert(1))", "![x](http://example.org/x.png)", "a | b", "`code`",
           "**bold** and _slanted_", "</text><script>alert(1)</script>", "\" onload=\"alert(1)",
           r"$\href{javascript:alert(1)}{x}$", r"\(\href{javascript:alert(1)}{x}\)",
           r"\begin{equation}x\end{equation}", "$$x$$",
           "&lt;b&gt;", "two\n\n# lines", "a\\", "~~gone~~", "<style>*{display:none}</style>"]


class Tags(HTMLParser):
    """The names of all elements of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found += [tag, *(f"{tag} {name}" for name, _ in attributes)]

    def handle_data(self, data):
        self.text += data


def seen(name):
    """A name as a page shows it: no sign in it begins a formula."""
    return " ".join(name.split()).replace("$", "\uff04").replace("\\", "\\\u2060")


def page(markdown):
    return Tags(mistune.create_markdown(escape=False, plugins=["table", "strikethrough"])(markdown))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_in_a_line_of_markdown_is_shown_as_it_is(name):
    shown = page(f"The worst is *{escaped(name)}* (1 %).")
    assert set(shown.found) == {"p", "em"}
    assert shown.text.strip() == f"The worst is {seen(name)} (1 %)."


@given(st.text(max_size=40))
def test_any_text_is_shown_as_it_is(name):
    assert html.unescape(escaped(name)) == seen(name)
    assert not re.search(r"[<>\"`*\[\]|\\]", escaped(name))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_table_keeps_a_name_in_its_cell(name):
    frame = pd.DataFrame({"class": [name, "ant"], "n": [1, 2]})
    shown = page(tables.markdown(frame))
    assert set(shown.found) <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert shown.found.count("td") == 4


@pytest.mark.parametrize("name", HOSTILE)
def test_a_map_shows_a_name_as_text(name):
    drawn = map_page(np.eye(2), torch.zeros(2, 1, 4, 4), [0, 0], [name])
    allowed = {"svg", "style", "circle", "g", "image", "text"}
    assert {tag for tag in Tags(drawn).found if " " not in tag} == allowed
    assert not any(" on" in attribute for attribute in Tags(drawn).found)


@pytest.mark.parametrize("name", HOSTILE)
def test_the_closing_words_show_a_name_of_weights_as_it_is(name):
    methods = (name, "random encoder", "raw pixels", "DINO", "supervised", "supervised + noise",
               "noise-BYOL", "noise-BYOL, constant")
    scores = {(method, count): [0.5 + (method == name) / 4, 0.6] for count in (1, 5)
              for method in methods}
    curves = {method: np.full((2, 2), 0.2 + (method == name) / 4) for method in methods}
    worth = {method: {"kNN, k = 20": 0.5 + (method == name) / 4, "linear": 0.5}
             for method in methods}
    trainings = {method: ([0.0, 1.6], values) for method, values in curves.items()}
    errors = {method: {"blur": np.array([0.5, 0.6])} for method in methods}
    said = [few_labels.frozen_features(scores, dict.fromkeys(methods, 0.5), name),
            few_labels.fine_tuning({**scores, ("from scratch", 1): [0.1, 0.2],
                                    ("from scratch", 5): [0.1, 0.2]}, name, 3, None),
            robustness.under_noise(trainings, errors, name),
            images.own_images(worth, ["kNN, k = 20", "linear"], dict.fromkeys(methods, 0.5), {}, 1,
                              dict.fromkeys(("DINO", "raw pixels"), {"copies": 0.5}))]
    for text in said:
        shown = page(text)
        assert set(shown.found) <= {"p", "em", "strong", "ul", "li"}
        assert seen(name) in " ".join(shown.text.split())


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1.jpg", "-2.jpg", "@b", " =1+1", "\t=1",
                                  "'=1", "''", "'", "'-", "'--", "plain", "", "it's"])
def test_a_cell_never_begins_a_formula_and_is_read_back(text):
    cell = as_cell(text)
    assert not str(cell).lstrip().startswith(("=", "+", "-", "@"))
    assert from_cell(cell) == text


def test_numbers_and_a_lone_sign_are_no_formulas():
    assert [as_cell(value) for value in (-1, -0.5, None, "-")] == [-1, -0.5, None, "-"]


def test_labels_with_the_names_of_formulas_are_safe_in_their_table_and_read_back(tmp_path):
    files, classes = ["=1.jpg", "+2.jpg"], ["@cat", "-dog"]
    table = LabelTable(tmp_path / "labels.csv", files, classes)
    for row, name in enumerate(classes):
        table.answer(row, name)
    written = (tmp_path / "labels.csv").read_text().splitlines()
    assert written[1:] == ["'=1.jpg,'@cat", "'+2.jpg,'-dog"]
    assert LabelTable(tmp_path / "labels.csv", files, classes).named == dict(enumerate(classes))
    assert read_labels(tmp_path / "labels.csv") == dict(zip(files, classes, strict=True))


def test_results_of_a_dataset_with_the_name_of_a_formula_are_safe_and_read_back(tmp_path):
    record(tmp_path, "01", [dict(method="=1+1", metric="test accuracy", mean=0.5, dataset="-d",
                                 sigma=-1)])
    cells = (tmp_path / "summary.csv").read_text().splitlines()[1].split(",")
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "-d"))]
    row = summary(tmp_path).iloc[0]
    assert (row.method, row.dataset, row.sigma) == ("=1+1", "-d", -1)


def test_printed_lines_break_between_words_alone():
    path = "/a-very/" + "long-folder/" * 9
    text = f"{'word ' * 40}end\n\nthe file {path} is kept whole"
    lines = wrapped(text).splitlines()
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert all(len(line) <= COLUMNS for line in lines if path not in line)
    assert [line for line in lines if path in line] == [f"    {path}"] and "" in lines
