"""Notebooks that build on others, run alone, and with a person who answers."""

import nbformat
import pytest
from kernels import real_kernel, run_in
from running import FEW, GATHERS, NOTEBOOKS, ROOT, execute, printed, without_choices

pytestmark = pytest.mark.slow


def code_of(number):
    """The code cells of a notebook."""
    (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("number", ["03", "04", "06", "07"])
def test_a_notebook_makes_what_it_needs_when_run_alone(tmp_path, monkeypatch, number):
    without_choices(monkeypatch)
    chosen = dict(FEWLABELS_PRESET="smoke", FEWLABELS_DATASET="digits", FEWLABELS_OFFLINE="1",
                  FEWLABELS_RUN_DIR=str(tmp_path), FEWLABELS_RESULTS_DIR=str(tmp_path / "results"))
    for name, value in (FEW | chosen).items():
        monkeypatch.setenv(name, value)
    with real_kernel(cwd=ROOT / "notebooks") as client:
        for source in code_of(number):
            said, _, status = run_in(client, source)
            assert status == "ok", f"{source}\n{said}"
            if "chosen_encoder(" in source:
                break
    assert "no encoder in" in said and "one is trained now" in said


def test_the_gathering_notebook_shows_the_kept_numbers_where_nothing_was_run(tmp_path):
    execute(tmp_path, "--preset", "smoke", "--only", GATHERS)
    assert "holds no results yet" in printed(tmp_path, GATHERS)


def test_notebook_02_asks_a_person_and_goes_on_with_the_answer(tmp_path, monkeypatch):
    without_choices(monkeypatch)
    monkeypatch.setenv("FEWLABELS_RUN_DIR", str(tmp_path))
    cells = code_of("02")
    last = next(number for number, source in enumerate(cells) if "asked.choice()" in source)
    with real_kernel(cwd=ROOT / "notebooks") as client:
        for source in cells[:last - 1]:
            assert run_in(client, source, [])[2] == "ok"
        assert len(run_in(client, cells[last - 1], ["perhaps", "False"])[1]) == 2
        said, questions, status = run_in(client, cells[last], [])
    assert (questions, status) == ([], "ok") and "start: random weights, encoder slim" in said
