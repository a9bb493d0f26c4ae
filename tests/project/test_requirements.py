"""The requirements: nothing that would replace Colab's versions, and bounds that were tested."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from helpers.common.environment import is_older, requirements

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "colab"))
import check  # noqa: E402
from environment import Environment, Failed, pins, reason, replaced  # noqa: E402
from forms import problems  # noqa: E402

REQUIRED, EXTRA = (requirements(ROOT / name)
                   for name in ("requirements.txt", "requirements-extra.txt"))
COLAB, LOWEST = (pins(ROOT / "tests" / "colab" / name)
                 for name in ("constraints.txt", "lowest.txt"))
NEWEST = pins(ROOT / "constraints.txt")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-extra.txt"])
def test_requirements_are_lower_bounds_and_nothing_else(name):
    lines = [
        line.split("#")[0].strip()
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
    ]
    assert [line for line in lines if line and not re.fullmatch(r"[\w-]+>=\d+(\.\d+)*", line)] == []


def test_colab_has_everything_heavy_and_all_of_it_is_new_enough():
    assert {"torch", "torchvision", "numpy", "pandas", "scikit-learn",
            "ipywidgets"} <= REQUIRED.keys() & COLAB.keys()
    assert [name for name, lowest in REQUIRED.items()
            if is_older(COLAB.get(name, "999"), lowest)] == []


@pytest.mark.parametrize("name, lowest", [*REQUIRED.items(), *EXTRA.items()])
def test_bounds_are_the_lowest_versions_tested_and_below_the_newest(name, lowest):
    tested = [int(number) for number in LOWEST[name].split(".")]
    bound = [int(number) for number in lowest.split(".")]
    # 2.6 and 2.6.0 are the same
    assert tested[:len(bound)] == bound and not any(tested[len(bound):])
    assert not is_older(NEWEST[name], lowest)


def test_the_rooms_whose_tests_run_with_other_versions_are_there():
    assert all(list((ROOT / "tests" / room).glob("test_*.py")) for room in check.ROOMS)


def test_every_replaced_package_is_named():
    before = {"torch": "2.11.0", "numpy": "2.1.3", "six": "1.0"}
    assert replaced(before, before | {"lightly": "1.6.0"}) == []
    assert replaced(before, {"torch": "2.15.0", "numpy": "2.1.3"}) == [
        "six 1.0 -> gone", "torch 2.11.0 -> 2.15.0"
    ]


def test_a_failing_program_is_one_line_with_its_reason():
    assert reason(
        "", "Traceback\n  more\nValueError: bad\nWhat it showed is in x\n") == "ValueError: bad"
    assert reason("", "\x1b[31merror:\x1b[0m no folder x\n") == "error: no folder x"
    assert reason("\n", "killed\n") == "killed"


def test_an_environment_of_another_recipe_is_not_taken(tmp_path):
    here = Environment(tmp_path / "place")
    assert not here.ready("numpy==2.0")
    here.folder.mkdir()
    here.remember("numpy==2.0")
    assert here.ready("numpy==2.0") and not here.ready("numpy==2.1")


def test_programs_of_an_environment_get_its_variables_and_their_failure_is_raised(
        tmp_path, monkeypatch):
    monkeypatch.setenv("FEWLABELS_PRESET", "full")
    here = Environment(tmp_path, {"MPLBACKEND": "agg"})
    here.python = Path(sys.executable)
    code = "import os; print(os.environ['MPLBACKEND'], 'FEWLABELS_PRESET' in os.environ)"
    assert here.run("-c", code) == "agg False\n"
    with pytest.raises(Failed, match="^KeyError: 'x'$"):
        here.run("-c", "{}['x']")
    assert "KeyError" in (here.out / "log.txt").read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_colab_can_make_a_form_of_every_notebooks_parameters(path):
    assert problems(path) == []


@pytest.mark.parametrize("line, problem",
                         [('A = "x"  # @param ["x", "y"]', None),
                          ('A = "z"  # @param ["x", "y"]', "'z' is not among"),
                          ('A = "z"  # @param ["x", "y"] {allow-input: true}', None),
                          ('A = 1  # @param {type: "integer"}', None),
                          ('A = True  # @param {type: "integer"}', "True is no integer"),
                          ('A = 0.5  # @param {type:"number"}', None),
                          ('A = "x"  # @param ["x", y]', "cannot be read"),
                          ("A = 1", "no form field"),
                          ('A = 1  # @param {type: "colour"}', "1 is no colour")])
def test_form_fields_are_read_as_colab_reads_them(tmp_path, line, problem):
    cell = nbformat.v4.new_code_cell(line, metadata={"tags": ["parameters"]})
    (tmp_path / "a.ipynb").write_text(json.dumps(nbformat.v4.new_notebook(cells=[cell])))
    found = problems(tmp_path / "a.ipynb")
    assert found == [] if problem is None else len(found) == 1 and found[0].startswith(
        "A: ") and problem in found[0]


def test_the_stand_in_uploads_the_chosen_file_and_mounts_an_empty_drive(tmp_path):
    (tmp_path / "mine.bin").write_bytes(b"abc")
    (tmp_path / "here").mkdir()
    code = """
import os
from google.colab import drive, files
os.environ["UPLOADED_FILE"] = "../mine.bin"
assert files.upload() == {"mine.bin": b"abc"} and open("mine.bin", "rb").read() == b"abc"
drive.mount("drive"); drive.mount("drive")
try:
    drive.mount(".")
except ValueError as error:
    print(error)"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "here", capture_output=True,
                          text=True, env={"PYTHONPATH": str(ROOT / "tests" / "colab" / "stand_in")})
    assert done.stdout.splitlines() == [
        "Saving mine.bin to mine.bin", "Mounted at drive", "Drive already mounted at drive",
        "Mountpoint must not already contain files"
    ]
    assert (tmp_path / "here" / "drive" / "MyDrive").is_dir()


@pytest.mark.parametrize("target, python", [("colab-check", "PYTHON313"),
                                            ("lowest-check", "PYTHON311")])
def test_make_says_in_one_line_which_python_is_missing(target, python):
    done = subprocess.run(["make", "--silent", target, f"{python}=/nowhere/python"], cwd=ROOT,
                          capture_output=True, text=True)
    first = done.stderr.splitlines()[0]
    assert done.returncode == 2 and done.stdout == ""
    assert first.startswith("error: /nowhere/python starts no Python 3.1") and f"{python}=" in first
