import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from helpers.cli.main import main
from helpers.common import environment as colab
from helpers.common.errors import UserError
from scripts.stamp import setup_source

ADDRESS = "https://github.com/few-labels/few-labels"


@pytest.fixture
def here(monkeypatch):
    """Pretend that exactly these packages (name -> version) are installed; returns the pip
    commands run."""

    def have(**versions):
        commands = []
        monkeypatch.setattr(colab, "installed", lambda name: versions.get(name.replace("-", "_")))

        def pip(command, **options):
            commands.append(
                (command, Path(command[command.index("-c") + 1]).read_text().splitlines()))
            return SimpleNamespace(returncode=0, stderr="")

        monkeypatch.setattr(subprocess, "run", pip)
        return commands

    return have


def requirements_file(folder, text):
    path = folder / "requirements.txt"
    path.write_text(text)
    return path


def test_requirements_are_read_without_comments_and_options(tmp_path):
    path = requirements_file(tmp_path,
                             "# why\n-r other.txt\ntorch>=2.6\n\nseaborn >= 0.5  # plots\ntqdm\n")
    assert colab.requirements(path) == {"torch": "2.6", "seaborn": "0.5", "tqdm": ""}


@pytest.mark.parametrize("version, lowest, older", [("2.11.0+cu128", "2.6", False),
                                                    ("2.5.9", "2.6", True), ("2.6", "2.6", False),
                                                    ("7.34.0", "7.7", False),
                                                    ("0.13.2", "0.13", False),
                                                    ("3.0.0rc1", "2.9", False)])
def test_versions_compare_as_numbers(version, lowest, older):
    assert colab.is_older(version, lowest) is older


def test_only_missing_packages_are_installed_and_the_others_pinned(tmp_path, here, capsys):
    commands = here(torch="2.11.0+cu128")
    colab.install_missing(requirements_file(tmp_path, "torch>=2.6\nlightly>=1.5\ngdown\n"))
    (command, pins), = commands
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[-2:] == ["lightly>=1.5", "gdown"]
    assert any(pin.startswith("numpy==") for pin in pins)
    assert capsys.readouterr().out == "Packages: installed lightly>=1.5, gdown.\n"


def test_of_a_file_only_the_named_packages_are_installed(tmp_path, here):
    commands = here()
    path = requirements_file(tmp_path, "optuna>=4.0\npillow-heif\n")
    colab.install_missing(path, ("optuna",))
    assert [command[-1] for command, _ in commands] == ["optuna>=4.0"]


def test_an_old_package_is_named_and_left_alone(tmp_path, here, capsys):
    commands = here(torch="2.1.0")
    colab.install_missing(requirements_file(tmp_path, "torch>=2.6\n"))
    assert commands == []
    assert "Older than asked for: torch 2.1.0 (wants 2.6)" in capsys.readouterr().out


def test_a_failing_pip_is_one_line(tmp_path, here, monkeypatch):
    here()
    failure = SimpleNamespace(returncode=1,
                              stderr="noise\nERROR: No matching distribution\nERROR: more\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: failure)
    with pytest.raises(UserError,
                       match=r"could not install nosuch.*No matching distribution") as caught:
        colab.install_missing(requirements_file(tmp_path, "nosuch\n"))
    assert "\n" not in str(caught.value)


def test_pins_are_lines_that_pip_accepts():
    from packaging.requirements import Requirement

    names = [Requirement(pin).name for pin in colab._versions_here()]
    assert "torch" in names


def test_everything_required_is_installed_here_and_new_enough():
    wanted = colab.requirements(colab.ROOT / "requirements.txt")
    assert len(wanted) > 10
    for name, lowest in wanted.items():
        assert colab.installed(name), name
        assert not colab.is_older(colab.installed(name), lowest), name


def test_colab_is_recognised_by_its_module(monkeypatch):
    assert colab.on_colab() is False
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    assert colab.on_colab() is True


def test_drive_is_colabs_and_refused_elsewhere():
    assert Path("/content/drive") == colab.DRIVES[0]
    with pytest.raises(UserError, match="Colab only"):
        colab.need_drive(Path("/content/drive/MyDrive/runs"))


@pytest.fixture
def drive(monkeypatch, tmp_path):
    """A Colab machine whose Drive belongs at `tmp_path`; the list of what was mounted."""
    mounted = []

    def mount(place):
        mounted.append(place)
        (Path(place) / "MyDrive").mkdir()

    monkeypatch.setattr(colab, "DRIVES", (tmp_path,))
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "google.colab.drive", SimpleNamespace(mount=mount))
    return mounted


def test_runs_go_to_the_drive_when_the_box_is_ticked_and_elsewhere_as_named(drive, tmp_path):
    assert colab.run_folder("runs", False) == "runs" and drive == []
    assert colab.run_folder("auto", True) == str(tmp_path / "MyDrive" / "few-labels")
    assert colab.run_folder("mine/here", True) == str(tmp_path / "MyDrive" / "mine" / "here")
    assert drive == [str(tmp_path)]


def test_a_drive_is_taken_wherever_it_is_mounted(drive, tmp_path, monkeypatch):
    monkeypatch.setattr(colab, "DRIVES", (tmp_path / "drive", tmp_path / "gdrive"))
    (tmp_path / "gdrive" / "MyDrive").mkdir(parents=True)
    assert colab.run_folder("auto", True) == str(tmp_path / "gdrive" / "MyDrive" / "few-labels")
    colab.need_drive(tmp_path / "gdrive" / "MyDrive" / "runs")
    assert drive == []


@pytest.mark.parametrize("place", ["drive", "gdrive", "G"])
def test_the_place_that_a_run_folder_names_is_the_one_to_mount(drive, tmp_path, monkeypatch, place):
    monkeypatch.setattr(colab, "DRIVES", (tmp_path / "drive", tmp_path / "gdrive", tmp_path / "G"))
    (tmp_path / place).mkdir()
    folder = str(tmp_path / place / "MyDrive" / "mine")
    assert colab.run_folder(folder, True) == folder
    assert drive == [str(tmp_path / place)]


def test_a_run_folder_that_is_not_on_the_drive_is_refused_with_the_box_ticked(drive, tmp_path):
    with pytest.raises(UserError, match="is not on the Drive at .*let it be auto"):
        colab.run_folder("/somewhere/else", True)


def test_the_box_ticked_where_no_drive_can_be_mounted_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(colab, "DRIVES", (tmp_path,))
    with pytest.raises(UserError, match="not mounted .*or choose another folder") as said:
        colab.run_folder("auto", True)
    assert "\n" not in str(said.value) and not list(tmp_path.iterdir())


def test_drive_is_mounted_once_when_a_folder_on_it_is_needed(drive, tmp_path):
    colab.need_drive(tmp_path.parent / "elsewhere")
    assert drive == []
    for _ in range(2):
        colab.need_drive(tmp_path / "MyDrive" / "few-labels")
    assert drive == [str(tmp_path)]


def test_a_drive_that_cannot_be_mounted_is_one_line(drive, tmp_path, monkeypatch):
    def refused(place):
        raise ValueError("mount failed\nmore")

    monkeypatch.setitem(sys.modules, "google.colab.drive", SimpleNamespace(mount=refused))
    with pytest.raises(UserError,
                       match=r"is on a Google Drive that is not mounted \(mount failed\)") as said:
        colab.need_drive(tmp_path / "MyDrive" / "few-labels")
    assert "\n" not in str(said.value)


def test_a_folder_on_drive_is_refused_elsewhere_before_anything_is_written(
        tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(colab, "DRIVES", (tmp_path,))
    folder = tmp_path / "MyDrive" / "runs"
    assert main(
        ["pretrain", "byol", "--dataset", "digits", "--preset", "smoke", "--out",
         str(folder)]) == 2
    assert "not mounted (Google Drive can be mounted on Colab only" in capsys.readouterr().err
    assert not folder.exists()


def test_a_notebook_in_any_folder_shares_the_folders_of_the_repository(tmp_path, monkeypatch):
    names = ["FEWLABELS_RUN_DIR", "FEWLABELS_RESULTS_DIR", "FEWLABELS_DATA_DIR"]
    for name in names:
        monkeypatch.setenv(name, "")  # so that the test's end restores what was there
        monkeypatch.delenv(name)
    monkeypatch.setenv("FEWLABELS_RUN_DIR", "mine")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    colab.share_folders(tmp_path)
    assert [os.environ[name] for name in names] == ["mine", "../results", "../data"]


def execute(folder, *cells, cwd, address=ADDRESS):
    """Run cells behind a setup cell in a real kernel; returns the executed notebook and the
    error."""
    new = nbformat.v4.new_code_cell
    notebook = nbformat.v4.new_notebook(cells=[new(setup_source(address)), *map(new, cells)])
    notebook.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3", "language": "python"
    }
    nbformat.write(notebook, folder / "in.ipynb")
    error = None
    try:
        papermill.execute_notebook(str(folder / "in.ipynb"), str(folder / "out.ipynb"),
                                   cwd=str(cwd), progress_bar=False, shutdown_kernel="immediate",
                                   extra_arguments=["--IPKernelApp.log_level=50"])
    except PapermillExecutionError as caught:
        error = caught
    cells = [
        cell for cell in nbformat.read(folder / "out.ipynb", 4).cells if cell.cell_type == "code"
    ]
    return cells, error


def printed(cell):
    """A cell's text; a slow kernel sends it in several pieces."""
    return "".join(output.get("text", "") for output in cell.outputs)


def test_a_user_error_in_a_notebook_is_one_line_and_the_cell_fails(tmp_path):
    cells, error = execute(
        tmp_path, "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "from helpers.common.errors import UserError\nraise UserError('no folder x: make it')",
        "print('not reached')", cwd=colab.ROOT / "tests")
    assert (error.ename, error.evalue) == ("UserError", "no folder x: make it")
    said = printed(cells[0])
    assert said.startswith(
        "Packages: nothing is missing.\nMachine: ") and '\nWith everything on "auto": ' in said
    assert "image/png" in cells[1].outputs[-1].data
    (shown,) = cells[2].outputs
    assert shown.output_type == "error"
    assert [line.replace("\x1b[31m", "").replace("\x1b[0m", "") for line in shown.traceback] == [
        "error: no folder x: make it"]
    assert cells[3].outputs == []


def test_other_errors_keep_their_traceback(tmp_path):
    cells, error = execute(tmp_path, "1 / 0", cwd=colab.ROOT)
    assert error.ename == "ZeroDivisionError"
    assert len(cells[1].outputs[0].traceback) > 1


def test_a_lone_notebook_fetches_the_repository(tmp_path):
    source, alone = tmp_path / "few-labels", tmp_path / "alone"
    (source / "helpers").mkdir(parents=True)
    alone.mkdir()
    (source / "helpers" / "__init__.py").touch()
    (source / "helpers" / "notebook.py").write_text(
        "def prepare(number):\n    print('prepared')\n")
    git = ["git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    cells, error = execute(tmp_path, "import helpers; print(helpers.__file__)", cwd=alone,
                           address=f"file://{source}")
    assert error is None
    assert "into few-labels/" in printed(cells[0]) and "prepared" in printed(cells[0])
    assert str(alone / "few-labels" / "helpers") in printed(cells[1])


def test_a_failing_fetch_is_one_line(tmp_path):
    address = f"file://{tmp_path}/nowhere/none"
    cells, error = execute(tmp_path, "print('not reached')", cwd=tmp_path, address=address)
    assert error.ename == "SystemExit"
    assert error.evalue.startswith(f"could not fetch {address}, check the network: ")
    assert "\n" not in error.evalue
    assert cells[1].outputs == []
