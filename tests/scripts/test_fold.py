"""Folded cells keep their code, on Colab and in Jupyter, and stay folded when stamped."""

import ast
import json
import re
import shutil

import nbformat
import pytest

from helpers.common.environment import ROOT
from scripts import fields, stamp
from scripts import fold as tool

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells_of(text):
    return [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]


def code(cell):
    """A cell's code without its comments."""
    return ast.dump(ast.parse("".join(cell["source"])))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_setup_and_records_are_folded_parameters_are_not_and_no_code_changes(path):
    before = path.read_text(encoding="utf-8")
    after = tool.folded(before)
    nbformat.validate(nbformat.reads(after, as_version=4))
    for old, new in zip(cells_of(before), cells_of(after), strict=True):
        tags = old["metadata"].get("tags", [])
        assert code(old) == code(new)
        if "setup" in tags or "record(" in "".join(old["source"]):
            assert new["metadata"]["cellView"] == "form"
            assert new["metadata"]["jupyter"]["source_hidden"] is True
            assert new["source"][0].startswith("#@title ") and len(new["source"][0]) <= 100
        if "parameters" in tags:
            assert new == old
    assert tool.folded(after) == after


def test_words_are_folded_tables_are_not():
    cell = dict(cell_type="code", metadata={}, source=["Markdown('so')"])
    assert tool.title_of(cell, last=True) == tool.CLOSING and tool.title_of(cell) == ""
    closing = dict(cell, source=["Markdown(closing.images(scores))"])
    assert tool.title_of(closing) == tool.CLOSING
    sentence = dict(cell, source=["Markdown(\n", "    f\"It is {best}.\")"])
    assert tool.title_of(sentence) == tool.SENTENCE
    assert tool.title_of(dict(cell, source=["Markdown(f\"{tables.by_labels(few)}\")"])) == ""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_classifier_is_kept_in_a_folded_cell(path):
    for cell in cells_of(path.read_text(encoding="utf-8")):
        if "keep_classifier(" in "".join(cell["source"]):
            assert cell["source"][0] == f"#@title {tool.KEPT}\n" and tool.is_folded(cell)


def test_the_command_folds_and_checks(tmp_path, capsys):
    shutil.copy(NOTEBOOKS[0], tmp_path)
    (tmp_path / NOTEBOOKS[0].name).write_text(tool.folded(NOTEBOOKS[0].read_text()).replace(
        '"cellView": "form",', ""))
    assert tool.main(["--check"], tmp_path) == 1 and "not folded" in capsys.readouterr().out
    assert tool.main([], tmp_path) == 0 and tool.main(["--check"], tmp_path) == 0
    assert tool.main(["--what"], tmp_path) == 2


def test_a_stamped_notebook_stays_folded(tmp_path):
    path = tmp_path / "notebooks" / NOTEBOOKS[0].name
    path.parent.mkdir()
    path.write_text(tool.folded(NOTEBOOKS[0].read_text(encoding="utf-8")), encoding="utf-8")
    address = stamp.read_address()
    stamped = stamp.stamp_notebook(path, address, {})
    setup = cells_of(stamped)[0]
    assert setup["source"][0] == f"#@title {tool.SETUP}\n" and tool.folded(stamped) == stamped
    assert 'prepare("01")' in "".join(setup["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_setting_is_used_and_explained_and_rare_ones_come_last(path):
    cells = cells_of(path.read_text(encoding="utf-8"))
    (own,) = ("".join(cell["source"]) for cell in cells
              if "parameters" in cell["metadata"].get("tags", []))
    others = "\n".join("".join(cell["source"]) for cell in cells[2:])
    lines, names = own.splitlines(), fields.FIELD.findall(own)
    assert names and all(re.search(rf"\b{name}\b", others) for name in names)
    assert all(lines[lines.index(line) - 1].startswith(fields.MARKDOWN) and len(line) <= 100
               for line in lines if fields.FIELD.match(line))
    assert all(len(line) <= 100 for line in lines)
    rare = [name in fields.RARE for name in names]
    assert rare == sorted(rare) and own.count("Rarely changed:") == any(rare)


def test_a_setting_that_nothing_explains_is_refused():
    with pytest.raises(KeyError, match="NEW"):
        fields.explained("NEW = 1  # @param {type: \"integer\"}", "03")
