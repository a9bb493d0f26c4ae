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


@pytest.mark.parametrize(("words", "status", "said"), [
    (["doctor"], 0, "packages  "), (["weights", "list"], 2, "is not here: activate"),
    (["run", "--only", "10"], 2, "is not here: activate"),
    (["evaluate", "x"], 2, "is not here: activate")])
def test_without_packages_every_command_says_what_to_do(bare, words, status, said):
    done = subprocess.run([bare, "-m", "helpers", *words], cwd=ROOT, capture_output=True, text=True,
                          env=os.environ | {"FEWLABELS_OFFLINE": "1"})
    assert "Traceback" not in done.stderr
    assert done.returncode == status
    assert said in done.stdout + done.stderr


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
