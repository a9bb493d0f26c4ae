"""Machines without packages, folders that cannot be written, paths with braces."""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import nbformat
import pytest

from helpers.cli import main as cli
from helpers.cli.execute import execute
from helpers.evaluation import embedding

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An interpreter without any package."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


@pytest.fixture
def copy(tmp_path):
    """A repository without an environment of its own."""
    for name in ("helpers", "weights"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.safetens*"))
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    return tmp_path


def run(python, words, copy):
    return subprocess.run([python, "-m", "helpers", *words], cwd=copy, capture_output=True,
                          text=True, env=os.environ | {"FEWLABELS_OFFLINE": "1"})


@pytest.mark.parametrize(("words", "status", "said"), [
    (["doctor"], 0, "packages  "), (["weights", "list"], 2, "activate"),
    (["run", "--only", "10"], 2, "activate"), (["evaluate", "x"], 2, "activate")])
def test_without_packages_every_command_says_what_to_do(bare, copy, words, status, said):
    done = run(bare, words, copy)
    assert "Traceback" not in done.stderr
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert status == 0 or (done.stderr.count("\n") == 1 and str(bare) in done.stderr)


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for the environment's Python")
def test_a_python_without_packages_goes_on_with_the_environment_of_make_run(bare, copy):
    own = copy / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text('#!/bin/sh\necho "asked for: $*"; exit 7\n')
    own.chmod(0o755)
    done = run(bare, ["evaluate", "a file", "--json"], copy)
    assert done.stdout == "asked for: -m helpers evaluate a file --json\n"
    assert done.returncode == 7 and "using that of .venv" in done.stderr


def test_an_old_python_says_which_one_is_needed(bare, copy):
    code = ("import runpy, sys; sys.version_info = (3, 8, 1, 'final', 0); "
            "runpy.run_module('helpers', run_name='__main__')")
    done = subprocess.run([bare, "-c", code], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "Python 3.11 or newer is needed" in done.stderr


def test_the_list_of_weights_fits_a_screen_and_its_details_are_there_on_request(capsys):
    assert cli.main(["weights", "list"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert max(map(len, table)) <= 100
    assert table[0].split() == ["name", "encoder", "method", "trained", "on", "size", "here"]
    assert cli.main(["weights", "list", "--details"]) == 0
    said = capsys.readouterr().out
    assert "licence: MIT" in said and "made by python -m helpers pretrain" in said


def unwritable(folder):
    """A stand-in for a folder without permission, which root would be allowed to write."""
    real = tempfile.TemporaryFile

    def refuse(*more, dir=None, **options):
        if Path(dir) == folder:
            raise PermissionError(13, "Permission denied", str(dir))
        return real(*more, dir=dir, **options)

    return refuse


@pytest.mark.parametrize("words", [["run", "--only", "10", "--out", "{}"],
                                   ["weights", "export", "byol-slim-digits", "{}/x.pt2"]])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys, words):
    monkeypatch.setattr(tempfile, "TemporaryFile", unwritable(tmp_path))
    assert cli.main([word.format(tmp_path) for word in words]) == 2
    said = capsys.readouterr().err
    assert "cannot write" in said and said.count("\n") == 1


def test_numba_gets_a_folder_where_it_can_write_nowhere(monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    embedding._let_numba_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ
    monkeypatch.setattr(embedding, "_can_write", lambda folder: False)
    embedding._let_numba_cache()
    folder = Path(os.environ.pop("NUMBA_CACHE_DIR"))
    assert folder.is_dir()
    shutil.rmtree(folder)


def test_braces_in_a_path_are_braces(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
    folder = tmp_path / "{course} {0}"
    folder.mkdir()
    nbformat.write(notebook, folder / "01_x.ipynb")
    assert execute(folder / "01_x.ipynb", folder / "out{PRESET}", {}, lambda: None) is None
    assert (folder / "out{PRESET}" / "notebooks" / "01.ipynb").is_file()
