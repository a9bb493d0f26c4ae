"""The notebooks, executed: all of them in order as a newcomer runs them, and those that build on
others alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from kernels import real_kernel, run_in

from helpers.models.weights.choose import (
    ask_encoder,
    ask_start,
    encoder_choices,
    start_choices,
)
from helpers.report.collect import published
from helpers.report.results import summary
from helpers.training.find import PHOTOGRAPHS
from scripts import executed as copies

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
# The fewest images each notebook has to draw.
FIGURES = {
    "01": 7, "02": 4, "03": 2, "04": 2, "05": 12, "06": 5, "07": 9, "08": 10, "09": 3, "10": 4,
    "11": 4
}
GATHERS = "10"  # it measures nothing


def execute(out, *options, **variables):
    """`python -m helpers run` with nobody watching, in folders of its own."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("FEWLABELS_")
    }
    environment |= {"FEWLABELS_RUN_DIR": str(out / "runs"), "FEWLABELS_OFFLINE": "1"}
    environment |= variables
    command = [
        sys.executable, "-m", "helpers", "run", "--dataset", "digits", "--out",
        str(out / "results"), *options
    ]
    return subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    done = execute(out, "--preset", "quick")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out / "results", done.stdout


@pytest.fixture(scope="module")
def numbers(whole_run):
    return summary(whole_run[0])


def executed(folder, number):
    return nbformat.read(folder / "notebooks" / f"{number}.ipynb", as_version=4)


def outputs(notebook):
    return [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]


def cells_of(path, kind):
    """The sources of a notebook's cells of one kind."""
    return [
        cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind
    ]


def test_there_are_eleven_notebooks_in_order():
    assert [name[:2] for name in NAMES] == [f"{number:02d}" for number in range(1, 12)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_cells_are_short_and_prose_comes_before_code(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert max(len(cell.source.splitlines()) for cell in code) <= 25
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


@pytest.mark.parametrize("number", ["02", "03", "04", "06", "07", "11"])
def test_what_is_kept_for_other_notebooks_has_a_folder_to_choose(number):
    code = "\n".join(cells_of(NOTEBOOKS[int(number) - 1], "code"))
    assert re.search(r'^RUN_DIR = "auto" +# @param', code,
                     re.MULTILINE) and "run_dir=RUN_DIR)" in code


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_differences_are_judged_by_the_one_rule(path):
    assert "scipy" not in "\n".join(cells_of(path, "code")), "helpers/comparison.py has the tests"


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


@pytest.mark.parametrize("number", sorted(FIGURES))
def test_every_cell_ran_and_the_figures_are_there(whole_run, number):
    notebook = executed(whole_run[0], number)
    shown = outputs(notebook)
    assert not [output for output in shown if output.output_type == "error"]
    counts = [
        cell.execution_count
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.strip()
    ]
    assert None not in counts and counts == sorted(counts)
    figures = [output for output in shown if "image/png" in output.get("data", {})]
    assert len(figures) >= FIGURES[number]


@pytest.mark.parametrize("number", sorted(FIGURES))
def test_the_closing_paragraph_has_numbers(whole_run, number):
    markdown = [
        output["data"]["text/markdown"]
        for output in outputs(executed(whole_run[0], number))
        if "text/markdown" in output.get("data", {})
    ]
    assert markdown and len(re.findall(r"\d+\.\d", markdown[-1])) >= 3
    assert "nan" not in markdown[-1]


def test_the_run_ends_with_the_table(whole_run, numbers):
    assert "noise-BYOL" in whole_run[1] and "test accuracy" in whole_run[1]
    assert set(numbers.notebook.str[:2]) == set(FIGURES) - {GATHERS}


def mean(numbers, notebook, **where):
    """The recorded mean of the one row that fits."""
    rows = numbers[numbers.notebook.str.startswith(notebook)]
    for column, value in where.items():
        rows = rows[rows[column].astype(str) == str(value)]
    assert len(rows) == 1, rows
    return rows["mean"].item()


@pytest.mark.parametrize("labels,least", [(1, 0.82), (5, 0.94), (10, 0.95)])
def test_byol_features_are_worth_what_is_claimed(numbers, labels, least):
    probe = dict(protocol="linear probe", labels_per_class=labels)
    byol = mean(numbers, "03", method="BYOL", **probe)
    assert byol >= least
    assert byol > max(
        mean(numbers, "03", method=name, **probe) for name in ("raw pixels", "random encoder"))


@pytest.mark.parametrize("labels", [1, 5])
def test_fine_tuning_beats_the_equally_treated_baseline(numbers, labels):
    fine, scratch = (mean(numbers, "04", method=name, labels_per_class=labels,
                          metric="test accuracy") for name in ("fine-tuned BYOL", "from scratch"))
    assert fine > scratch


def test_noise_byol_holds_where_the_clean_baseline_breaks(numbers):
    at = {name: mean(numbers, "07", method=name, sigma=1.6)
          for name in ("supervised", "noise-BYOL", "BYOL", "supervised + noise", "raw pixels")}
    assert at["supervised"] < 0.3
    assert at["noise-BYOL"] >= 0.70
    assert at["noise-BYOL"] > at["BYOL"]


@pytest.mark.parametrize("number", ["03", "04", "06", "07"])
def test_a_notebook_makes_what_it_needs_when_run_alone(tmp_path, number):
    done = execute(tmp_path, "--preset", "smoke", "--only", number)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    printed = "".join(
        output.get("text", "") for output in outputs(executed(tmp_path / "results", number)))
    assert "no encoder in" in printed and "one is trained now" in printed


def test_the_gathering_notebook_shows_the_kept_numbers_where_nothing_was_run(tmp_path):
    done = execute(tmp_path, "--preset", "smoke", "--only", GATHERS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    printed = "".join(
        output.get("text", "") for output in outputs(executed(tmp_path / "results", GATHERS)))
    assert "holds no results yet" in printed


@pytest.mark.parametrize("number", sorted(FIGURES))
def test_a_copy_for_the_repository_is_small_whole_and_without_widgets(whole_run, number):
    (source,) = (path for path in NOTEBOOKS if path.name.startswith(number))
    copy = copies.clean(whole_run[0] / "notebooks" / f"{number}.ipynb")
    # This run has its own folders and gives its preset as a parameter: that alone may be found
    # fault with.
    assert not [
        line for line in copies.complaints(copy, source)
        if "not today's" not in line and "places" not in line
    ]
    assert len(copies.closing(copy)) > 100


def test_chosen_weights_go_through_to_what_is_recorded(tmp_path):
    done = execute(tmp_path, "--preset", "smoke", "--only", "03", "04",
                   FEWLABELS_WEIGHTS="byol-slim-digits")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    methods = set(summary(tmp_path / "results").method)
    assert {"byol-slim-digits", "fine-tuned byol-slim-digits"} <= methods and "BYOL" not in methods
    closing = [
        output["data"]["text/markdown"]
        for output in outputs(executed(tmp_path / "results", "03"))
        if "text/markdown" in output.get("data", {})
    ][-1]
    assert "byol-slim-digits" in closing and not (tmp_path / "runs").exists()


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
    assert {"byol-slim-digits", PHOTOGRAPHS} < set(names)
    for answer in (*offered[1:], *names):
        assert ask(answer).answer is not None


def test_notebook_02_asks_a_person_and_goes_on_with_the_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWLABELS_RUN_DIR", str(tmp_path))
    cells = [
        cell.source for cell in nbformat.read(NOTEBOOKS[1], 4).cells if cell.cell_type == "code"
    ]
    last = next(number for number, source in enumerate(cells) if "asked.choice()" in source)
    with real_kernel(cwd=ROOT / "notebooks") as client:
        for source in cells[:last - 1]:
            assert run_in(client, source, [])[2] == "ok"
        assert len(run_in(client, cells[last - 1], ["perhaps", "False"])[1]) == 2
        printed, questions, status = run_in(client, cells[last], [])
    assert (questions, status) == ([], "ok") and "start: random weights, encoder slim" in printed


def test_the_pretrained_question_is_answered_without_a_person(whole_run):
    notebook = executed(whole_run[0], "02")
    printed = "".join(output.get("text", "") for output in outputs(notebook))
    assert "random weights, encoder slim" in printed
