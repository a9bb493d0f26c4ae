"""Notebooks that build on others, run alone, with chosen weights and with a person who answers."""

import nbformat
import pytest
from kernels import real_kernel, run_in
from running import FEW, GATHERS, NOTEBOOKS, ROOT, execute, printed, prose

from helpers.report.results import summary

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", ["03", "04", "06", "07"])
def test_a_notebook_makes_what_it_needs_when_run_alone(tmp_path, number):
    execute(tmp_path, "--preset", "smoke", "--only", number, **FEW)
    said = printed(tmp_path, number)
    assert "no encoder in" in said and "one is trained now" in said


def test_the_gathering_notebook_shows_the_kept_numbers_where_nothing_was_run(tmp_path):
    execute(tmp_path, "--preset", "smoke", "--only", GATHERS)
    assert "holds no results yet" in printed(tmp_path, GATHERS)


def test_chosen_weights_go_through_to_what_is_recorded(tmp_path):
    execute(tmp_path, "--preset", "smoke", "--only", "03", "04",
            FEWLABELS_WEIGHTS="byol-slim-digits", **FEW)
    methods = set(summary(tmp_path / "results").method)
    assert {"byol-slim-digits", "fine-tuned byol-slim-digits"} <= methods and "BYOL" not in methods
    closing = prose(tmp_path, "03")[-1]
    assert "byol-slim-digits" in closing
    # no pretraining was; beside the classifiers there are features on the disk, of 03
    kept = sorted(path.name for path in (tmp_path / "runs").rglob("*")
                  if path.suffix in (".safetensors", ".ckpt"))
    assert kept == ["03_classifier.safetensors", "04_classifier.safetensors"]


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
        said, questions, status = run_in(client, cells[last], [])
    assert (questions, status) == ([], "ok") and "start: random weights, encoder slim" in said
