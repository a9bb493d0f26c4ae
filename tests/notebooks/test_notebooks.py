"""The notebooks as they are written: short cells, prose before code, questions with hints."""

import json
import re

import nbformat
import pytest
from running import NOTEBOOKS

from helpers.models.weights.choose import (
    ask_encoder,
    ask_start,
    encoder_choices,
    start_choices,
)
from helpers.report.collect import published
from helpers.settings import PRESETS
from helpers.training.released import PHOTOGRAPHS

NAMES = [path.stem for path in NOTEBOOKS]


def cells_of(path, kind):
    """The sources of a notebook's cells of one kind."""
    return [
        cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind
    ]


def test_the_notebooks_are_numbered_without_a_gap():
    assert [name[:2] for name in NAMES] == [f"{number:02d}" for number in range(1, len(NAMES) + 1)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_colab_is_asked_for_a_t4(path):
    metadata = nbformat.read(path, as_version=4).metadata
    assert (metadata["accelerator"], metadata["colab"]["gpuType"]) == ("GPU", "T4")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_the_form_offers_every_preset(path):
    code = "\n".join(cells_of(path, "code"))
    offered = json.loads(re.search(r'PRESET = "auto" *# @param (\[.*\])', code)[1])
    assert offered == ["auto", *PRESETS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_cells_are_short_and_prose_comes_before_code(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    lines = [[line for line in cell.source.splitlines() if not line.startswith("# @markdown")]
             for cell in code]  # less what a form says
    assert max(map(len, lines)) <= 25
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
    prose = [cell for cell in cells if cell.cell_type == "markdown"]
    assert cells[0].cell_type == "markdown" and cells[0].source.lstrip().startswith(("#", "["))
    assert len(prose) >= len(code) // 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_every_code_cell_but_setup_and_parameters_follows_prose(path):
    cells = nbformat.read(path, as_version=4).cells
    bare = [cell.source for before, cell in zip(cells, cells[1:], strict=False)
            if cell.cell_type == before.cell_type == "code" and not cell.metadata.get("tags")]
    assert bare == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_every_question_has_a_hint_and_the_end_names_what_comes_next(path):
    last = cells_of(path, "markdown")[-1]
    questions = re.split(r"\n(?=\d+\. )", last.split("**References**")[0])[1:]
    assert len(questions) >= 3 and [
        question for question in questions if "*(Hint: " not in question
    ] == []
    following = [name for name in NAMES if name > path.stem][:1]
    assert (f"Next: `{following[0]}`" if following else "This is the last notebook") in last


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_what_a_hint_imports_is_there(path):
    for line in re.findall(r"`(from helpers[\w.]* import [^`]+?)[`;]",
                           cells_of(path, "markdown")[-1]):
        exec(" ".join(line.split()), {})


@pytest.mark.parametrize("number", ["02", "03", "04", "06", "07", "08", "09", "11", "12"])
def test_what_is_kept_for_other_notebooks_has_a_folder_to_choose_or_the_drive(number):
    code = "\n".join(cells_of(NOTEBOOKS[int(number) - 1], "code"))
    assert re.search(r'^RUN_DIR = "auto" +# @param', code, re.MULTILINE)
    assert 'SAVE_TO_DRIVE = False  # @param {type: "boolean"}' in code
    assert "run_dir=run_folder(RUN_DIR, SAVE_TO_DRIVE))" in code


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_the_plan_that_is_told_is_the_notebooks_own(path):
    code = "\n".join(cells_of(path, "code"))
    told = re.findall(r'(?:prepare|tell_plan)\("(\d+)"', code)
    assert set(told) == {path.stem[:2]} and len(told) == (1 if path.stem[:2] == "10" else 2)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_differences_are_judged_by_the_one_rule(path):
    assert "scipy" not in "\n".join(cells_of(path, "code")), "helpers/report/stats.py has the tests"


def test_numbers_that_others_report_are_those_of_the_published_table():
    rows, found = published(), []
    for text in (text for path in NOTEBOOKS for text in cells_of(path, "markdown")):
        for said in re.finditer(r"\breport(?:s|ed)\b(.*?)(?:\.\s|·|\n\n|\Z)", text, re.DOTALL):
            numbers = re.findall(r"(\d+\.\d) %", said[1])
            if numbers:
                # the one named last before
                system = max(set(rows.system), key=text[:said.start()].rfind)
                known = {
                    f"{100 * value:.1f}"
                    for value in rows.value[rows.system == system].dropna()
                }
                assert system in text[:said.start()] and set(numbers) <= known, said[0]
                found += numbers
    assert len(found) >= 7


@pytest.mark.parametrize("number", ["02", "03", "04", "06", "07"])
def test_every_answer_that_a_form_on_colab_offers_is_understood(number):
    ask = ask_start if number == "02" else ask_encoder
    cells = nbformat.read(NOTEBOOKS[int(number) - 1], 4).cells
    (parameters,) = (cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
    offered = json.loads(
        re.search(r"(?:BACKBONE|WEIGHTS) = .*@param (\[.*\]) \{allow-input", parameters)[1])
    assert offered[0] == "ask" and offered[-1] == "file" and len(offered) >= 4
    # the form takes any other text, too: what "auto" may come to is on the list of weights
    names = start_choices() if number == "02" else encoder_choices()
    assert {"byol-slim-digits", PHOTOGRAPHS["byol"]} < set(names)
    for answer in (*offered[1:], *names):
        assert ask(answer).answer is not None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_no_slider_and_no_number_goes_beyond_the_images_of_a_small_folder(path):
    code = "\n".join(cells_of(path, "code"))
    assert not re.findall(r"image: int = [1-9]|image=range\(\d+\)|images\[[1-9]", code)
    assert not re.findall(r"max\(\d+, [A-Z_]{3,}\)", code)  # a wrong number in the form is told
