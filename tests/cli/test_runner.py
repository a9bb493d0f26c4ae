import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from running import without_choices

from helpers.cli import execute as execution
from helpers.cli import notebooks as runner
from helpers.common.errors import UserError
from helpers.settings import Settings

new_code = nbformat.v4.new_code_cell
LOCATION = """\
import json, os, sys
here = {"executable": sys.executable, "cwd": os.getcwd(), "preset": PRESET, "seed": SEED,
        "results": os.environ["FEWLABELS_RESULTS_DIR"], "runs": os.environ["FEWLABELS_RUN_DIR"]}
print(json.dumps(here))"""
RECORD = """\
import os
from helpers.report import results
row = dict(method="m", metric="accuracy", mean=0.826)
results.record(os.environ["FEWLABELS_RESULTS_DIR"], "01", [row])"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    without_choices(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "notebooks"
    path.mkdir()
    return path


def write(folder, name, *cells):
    """A notebook with a title, a parameters cell and the given code cells."""
    parameters = new_code("PRESET = 'auto'\nSEED: int = 0", metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# 1. A title\n\nProse"), parameters,
            *map(new_code, cells)
        ], metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        })
    nbformat.write(notebook, folder / name)
    return folder / name


def outputs(path):
    return [
        cell["outputs"]
        for cell in json.loads(path.read_text())["cells"]
        if cell["cell_type"] == "code"
    ]


def printed(path):
    return "".join(text for cell in outputs(path) for out in cell for text in out.get("text", []))


def test_notebooks_are_found_in_order_and_other_files_left_out(folder):
    for name in ("02_b.ipynb", "01_a.ipynb", "draft.ipynb", "03_c.txt"):
        (folder / name).touch()
    assert [path.name for path in runner.find(folder)] == ["01_a.ipynb", "02_b.ipynb"]


@pytest.mark.parametrize("only, chosen", [(None, [0, 1, 2]), (["3", "01"], [0, 2]),
                                          (["02", "2"], [1])])
def test_notebooks_are_chosen_by_number_and_run_in_order(only, chosen):
    paths = [Path("01_a.ipynb"), Path("02_b.ipynb"), Path("03_c.ipynb")]
    assert runner.choose(paths, only) == [paths[index] for index in chosen]


def test_an_unknown_number_names_the_known_ones():
    with pytest.raises(UserError, match="no notebook 09, x1: choose among 01, 02"):
        runner.choose([Path("01_a.ipynb"), Path("02_b.ipynb")], ["09", "x1"])


def test_an_unknown_dataset_or_preset_stops_before_anything_runs(folder, tmp_path):
    write(folder, "01_a.ipynb", "1 / 0")
    for wrong in ({"dataset": "nowhere"}, {"preset": "huge"}):
        with pytest.raises(UserError, match="choose"):
            runner.run(folder=folder, out=tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file_is_one_line(folder, tmp_path):
    write(folder, "01_a.ipynb", "1")
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match="choose another --out"):
        runner.run(folder=folder, out=tmp_path / "taken")


def noted(copy):
    """What papermill noted of an executed notebook."""
    return json.loads(copy.read_text())["metadata"]["papermill"]


def test_title_and_number_of_cells_are_read_from_the_notebook(folder):
    path = write(folder, "01_a.ipynb", "OTHER = 1")
    assert execution.title_of(path) == "1. A title"
    assert execution.code_cells(path) == 2


def test_a_run_keeps_copies_and_ends_with_the_table(folder, tmp_path, capsys):
    original = write(folder, "01_a.ipynb", LOCATION, RECORD)
    before = original.read_bytes()
    out = tmp_path / "out"
    status = runner.run(folder=folder, out=out, preset="quick", seed=3, dataset="digits")
    assert status == 0
    copy = out / "notebooks" / "01.ipynb"
    here = json.loads(printed(copy))
    assert Path(here["executable"]).samefile(sys.executable)
    assert here["cwd"] == str(runner.ROOT)
    assert (here["results"], here["runs"]) == (str(out), str(tmp_path / "runs"))
    assert (here["preset"], here["seed"]) == ("quick", 3)
    shown = capsys.readouterr()
    assert "82.6 %" in shown.out
    assert "100%" in shown.err
    assert original.read_bytes() == before
    assert list((out / "notebooks").iterdir()) == [copy]
    assert (out / "report.html").as_uri() in shown.out
    assert 'href="pages/01.html"' in (out / "report.html").read_text()
    assert "A title" in (out / "pages" / "01.html").read_text()
    assert str(tmp_path) not in json.dumps(json.loads(copy.read_text())["metadata"])
    assert noted(copy)["duration"] > 0 and noted(copy)["parameters"]["SEED"] == 3
    assert "FEWLABELS_RESULTS_DIR" not in os.environ


def test_a_kernel_of_the_same_name_in_the_home_does_not_shadow_this_python(
        folder, tmp_path, monkeypatch):
    spec = tmp_path / "home" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps({
            "argv": ["/bin/false", "{connection_file}"], "display_name": "broken",
            "language": "python"
        }))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(spec.parents[1]))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    write(folder, "01_a.ipynb", "import sys; print(sys.executable)")
    assert runner.run(folder=folder, out=tmp_path / "out") == 0
    assert Path(printed(tmp_path / "out" / "notebooks" / "01.ipynb").strip()).samefile(
        sys.executable)
    assert os.environ["JUPYTER_PREFER_ENV_PATH"] == "0"


def test_a_failing_notebook_is_shown_with_cell_and_error(folder, tmp_path, capsys):
    write(folder, "01_a.ipynb", "print('shown before')", "number = 0\nprint(1 / number)")
    out = tmp_path / "out" / "notebooks"
    assert runner.run(folder=folder, out=tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "01_a stopped at cell In [3]:\n    number = 0\n    print(1 / number)" in said
    assert "ZeroDivisionError: division by zero" in said
    assert [path.name for path in out.iterdir()] == ["01.failed.ipynb"]
    assert "shown before" in printed(out / "01.failed.ipynb")


def test_a_failing_notebook_keeps_back_what_needs_it_and_nothing_else(folder, tmp_path, capsys):
    for number, code in {"01": "1", "02": "1 / 0", "03": "1", "05": "1", "10": "1"}.items():
        write(folder, f"{number}_a.ipynb", code)
    assert runner.run(folder=folder, out=tmp_path / "out", jobs=2) == 1
    copies = sorted(path.name for path in (tmp_path / "out" / "notebooks").iterdir())
    assert copies == ["01.ipynb", "02.failed.ipynb", "05.ipynb"]
    assert capsys.readouterr().err.endswith("not run, for they need what failed: 03, 10\n")


SIDE_BY_SIDE = """\
import os, pathlib, time
here, other = (pathlib.Path({folder!r}, name) for name in ({own!r}, {other!r}))
here.touch()
until = time.monotonic() + 120
while not other.exists():
    assert time.monotonic() < until, "the other notebook never began"
    time.sleep(0.05)
print(os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"])"""


def test_two_notebooks_run_at_once_with_the_threads_of_one_alone(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    for own, other in (("a", "b"), ("b", "a")):
        code = SIDE_BY_SIDE.format(folder=str(tmp_path), own=own, other=other)
        write(folder, f"0{1 + (own == 'b')}_{own}.ipynb", code)
    assert runner.run(folder=folder, out=tmp_path / "out", jobs=2) == 0
    for number in ("01", "02"):
        copy = tmp_path / "out" / "notebooks" / f"{number}.ipynb"
        assert printed(copy) == "3 PASSIVE\n"
    assert "OMP_WAIT_POLICY" not in os.environ


@pytest.mark.parametrize(("dataset", "jobs", "threads"), [
    ("digits", 2, "1"), ("digits", 1, None), ("fashion-mnist", 2, None)])
def test_digits_side_by_side_take_one_thread_each(tmp_path, monkeypatch, dataset, jobs, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    settings = Settings.resolve(dataset=dataset)
    assert runner._environment(tmp_path, settings, jobs).get("OMP_NUM_THREADS") == threads


def test_rows_of_notebooks_side_by_side_are_those_of_a_run_one_by_one(folder, tmp_path):
    for number in ("01", "02", "05", "08"):
        write(folder, f"{number}_a.ipynb", RECORD.replace('"01"', f'"{number}"'))
    for jobs in (1, 4):
        assert runner.run(folder=folder, out=tmp_path / f"{jobs}", jobs=jobs) == 0
    one, four = (tmp_path / f"{jobs}" / "summary.csv" for jobs in (1, 4))
    assert one.read_text() == four.read_text() and one.read_text().count("\n") == 5


def test_success_removes_the_failed_copy_of_before(folder, tmp_path):
    failed = tmp_path / "out" / "notebooks" / "01.failed.ipynb"
    failed.parent.mkdir(parents=True)
    failed.write_text("{}")
    path = write(folder, "01_a.ipynb", "1")
    assert execution.execute(path, tmp_path / "out", {}, lambda: None) is None
    assert [path.name for path in failed.parent.iterdir()] == ["01.ipynb"]


def test_a_user_error_is_shown_as_its_line_only(folder, tmp_path):
    path = write(folder, "01_a.ipynb",
                 "from helpers.common.errors import UserError\nraise UserError('mend it')")
    said = execution.execute(path, tmp_path, {}, lambda: None)
    assert "\nerror: mend it\n" in said
    assert "Traceback" not in said


def test_a_kernel_that_dies_is_named_with_its_cell(folder, tmp_path):
    path = write(folder, "01_a.ipynb", "import os\nos._exit(1)", "print('never')")
    said = execution.execute(path, tmp_path, {}, lambda: None)
    assert "01_a stopped at code cell 2:\n    import os\n    os._exit(1)" in said
    assert "The kernel died" in said
    assert (tmp_path / "notebooks" / "01.failed.ipynb").exists()


@pytest.mark.parametrize("draft", ["", '{"cells": ['])
def test_a_full_disk_under_the_results_is_one_line(folder, tmp_path, monkeypatch, draft):
    path = write(folder, "01_a.ipynb", "1")

    def full(source, target, *_, **__):
        Path(target).write_text(draft)
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr("papermill.execute_notebook", full)
    with pytest.raises(UserError, match="cannot write .*No space left.*free some space") as caught:
        execution.execute(path, tmp_path / "out", {}, lambda: None)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out" / "notebooks").iterdir())


def test_parameters_that_a_notebook_does_not_have_are_left_out(folder, tmp_path):
    path = write(folder, "01_a.ipynb", "print(PRESET, SEED)")
    given = {"SEED": 3, "DATASET": "digits"}
    assert execution.execute(path, tmp_path, given, lambda: None) is None
    copy = tmp_path / "notebooks" / "01.ipynb"
    assert printed(copy) == "auto 3\n" and noted(copy)["parameters"] == {"SEED": 3}


def test_every_code_cell_of_the_notebook_is_counted_once(folder, tmp_path):
    path, counted = write(folder, "01_a.ipynb", "1", "2"), []
    execution.execute(path, tmp_path, {"SEED": 1}, lambda: counted.append(1))
    assert len(counted) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("stubborn", [False, True])
def test_ctrl_c_ends_all_kernels_and_keeps_the_partial_copies(folder, tmp_path, stubborn):
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if stubborn else ""
    for number in ("01", "02"):
        write(folder, f"{number}_a.ipynb", f"{deaf}import os, pathlib, time\n"
              f"print('begun', flush=True)\nprocess = str(os.getpid())\n"
              f"pathlib.Path({str(tmp_path / number)!r}).write_text(process)\ntime.sleep(300)")
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path; from functools import partial; from helpers.cli import main as "
        "__main__, notebooks as runner\n"
        f"runner.run = partial(runner.run, folder=Path({str(folder)!r}))\n"
        f"sys.exit(__main__.main(['run', '--jobs', '2', '--out', {str(tmp_path / 'out')!r}]))")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=runner.ROOT, text=True,
                               stderr=subprocess.PIPE)
    deadline, files = time.monotonic() + 120, [tmp_path / "01", tmp_path / "02"]
    while not all(file.exists() and file.read_text() for file in files):
        assert time.monotonic() < deadline, "the notebooks did not begin"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=90)[1]
    assert process.returncode == 130
    assert said.rstrip().endswith("stopped by Ctrl-C")
    assert "Traceback" not in said
    for file in files:
        assert "begun" in printed(tmp_path / "out" / "notebooks" / f"{file.name}.failed.ipynb")
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)
