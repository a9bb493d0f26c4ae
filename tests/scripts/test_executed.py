"""The notebooks that are kept with their outputs are today's and fit to be shown."""

import base64
import io
import json
import re
import shutil
from argparse import Namespace

import nbformat
import numpy as np
import pytest
from PIL import Image

from helpers.cli import notebooks as runner
from helpers.report import times
from scripts import executed as tool
from scripts.times import USUAL, keep_times

COPIES = sorted(tool.COPIES.glob("*.ipynb"))
made = pytest.mark.skipif(not COPIES, reason="no executed copies yet: make executed")


@made
def test_the_copy_of_notebook_10_has_todays_numbers_of_photographs():
    page = (tool.ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    table = page.split("<!-- photographs -->")[1].split("<!-- /photographs -->")[0]
    cells = json.loads((tool.COPIES / "10_results.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = "\n".join(tool._text(output) for cell in cells for output in cell.get("outputs", []))
    missing = [line for line in table.split("\n") if line not in shown]
    assert not missing, "python -m scripts.executed --only 10"


@pytest.fixture
def source(tmp_path):
    """A notebook of two cells, as it lies in notebooks/."""
    cells = [
        nbformat.v4.new_markdown_cell("# T"),
        nbformat.v4.new_code_cell("1"),
        nbformat.v4.new_code_cell("2")
    ]
    path = tmp_path / "01_t.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def run(source, tmp_path):
    """Puts outputs into a copy as papermill leaves it; returns the cleaned text."""
    def cleaned(*outputs):
        notebook = nbformat.read(source, 4)
        notebook.metadata = dict(kernelspec=dict(name="mine"), widgets={"state": 1},
                                 papermill=dict(duration=61.2))
        for count, cell in enumerate(notebook.cells[1:], 1):
            cell.execution_count, cell.metadata = count, dict(papermill=dict(duration=1), tags=[])
        notebook.cells[1].outputs = list(outputs)
        nbformat.write(notebook, tmp_path / "01.ipynb")
        return tool.clean(tmp_path / "01.ipynb", source)
    return cleaned


def shown(**data):
    return nbformat.v4.new_output("display_data", data)


def outputs(text):
    return json.loads(text)["cells"][1]["outputs"]


def test_a_clean_copy_has_nothing_of_the_machine_and_nothing_to_complain_about(run, source):
    text = run(
        nbformat.v4.new_output("stream", text=f"{tool.ROOT}/build/executed/runs/a at 0x7f12\n"))
    notebook = json.loads(text)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3" and "papermill" not in text
    assert notebook["metadata"] == tool.KERNEL and "61.2" not in text
    assert outputs(text)[0]["text"] == ["runs/a\n"]
    assert tool.complaints(text, source) == []


def test_progress_is_left_out_and_what_needs_a_mouse_becomes_a_sentence(run):
    text = run(
        shown(**{"text/plain": "training ███░░ 3/5"}),
        shown(**{
            "application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "VBox()"
        }), shown(**{"text/html": "<svg></svg>", "text/plain": "map"}),
        shown(**{"text/html": "<table>"}))
    assert [list(output["data"]) for output in outputs(text)] == [["text/plain"], ["text/plain"],
                                                                  ["text/html"]]
    assert "".join(outputs(text)[0]["data"]["text/plain"]) == tool.INTERACTIVE


def test_a_figure_gets_smaller_and_keeps_its_look(run):
    values = np.random.default_rng(0).normal(128, 20,
                                             (200, 200, 1)).clip(0,
                                                                 255).astype("uint8").repeat(3, 2)
    values[50:60] = (0, 114, 178)
    file = io.BytesIO()
    Image.fromarray(values).convert("RGBA").save(file, "png")
    (output,) = outputs(run(shown(**{"image/png": base64.b64encode(file.getvalue()).decode()})))
    data = base64.b64decode("".join(output["data"]["image/png"]))
    after = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert len(data) < 0.6 * len(file.getvalue()) and np.abs(after - values).max() <= 16


def printed(text):
    """A change that lets the first cell print something."""
    return lambda n: n["cells"][1]["outputs"].append(dict(output_type="stream", text=text))


@pytest.mark.parametrize("change, said", [
    (lambda n: n["cells"][1].update(source="3"), "not today's"),
    (lambda n: n["cells"].pop(), "not today's"),
    (lambda n: n["cells"][1].update(execution_count=2), "1 to n"),
    (lambda n: n["cells"][1].update(execution_count=None), "1 to n"),
    (lambda n: n["cells"][1]["outputs"].append(dict(output_type="error")), "error"),
    (printed("/home/me/x"), "places of a machine"),
    (printed("C:\\Users\\me"), "places of a machine"),
    (printed("x" * 2_000_000), "GitHub shows"),
    (lambda n: n["metadata"]["kernelspec"].update(display_name="mine"), "metadata"),
    (lambda n: n["metadata"].update(seconds=61), "metadata"),
    (lambda n: n["cells"][1]["outputs"].append(
        dict(output_type="display_data", data={"a-widget": 1})), "widgets"),
])
def test_each_fault_of_a_copy_is_named(run, source, change, said):
    notebook = json.loads(run())
    change(notebook)
    (line,) = tool.complaints(json.dumps(notebook), source)
    assert said in line and line.startswith("01_t.ipynb: ")


def rewrite(source, change):
    """Edit a notebook as a person would while a run of it is kept."""
    notebook = nbformat.read(source, 4)
    change(notebook.cells)
    nbformat.write(notebook, source)


@pytest.mark.parametrize("change", [
    lambda cells: cells[0].update(source="# Better words"),
    lambda cells: cells.insert(1, nbformat.v4.new_markdown_cell("More words")),
    lambda cells: cells.pop(0)])
def test_a_copy_has_todays_prose_around_the_code_and_outputs_that_ran(run, source, change):
    before = run(nbformat.v4.new_output("stream", text="shown\n"))
    rewrite(source, change)
    text = tool.clean(source.with_name("01.ipynb"), source)
    assert tool.complaints(text, source) == [] and tool.complaints(before, source) != []
    assert "shown" in text


@pytest.mark.parametrize("change", [
    lambda cells: cells[1].update(source="3"), lambda cells: cells.pop(1),
    lambda cells: cells.append(nbformat.v4.new_code_cell("3"))
])
def test_code_that_did_not_run_is_never_put_into_a_copy(run, source, change):
    before = run()
    rewrite(source, change)
    assert tool.clean(source.with_name("01.ipynb"), source) == before
    (line,) = tool.complaints(before, source)
    assert "not today's" in line


@made
def test_the_kept_copies_are_of_todays_notebooks():
    assert tool.stale() == [], "run: make executed"


@made
def test_there_is_a_copy_for_every_notebook():
    assert [path.name for path in COPIES] == [path.name for path in runner.find()]


@made
def test_times_are_of_one_run_and_a_notebook_without_one_says_so():
    rows = times.nearest(times.read_times(), *USUAL, cores=2)
    timed = [f"{row.notebook}.ipynb" for row in rows]
    assert timed and timed == [path.name for path in COPIES if path.name in timed]
    for path in COPIES:
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        assert ("not measured yet" in first) == (path.name not in timed), path.name


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The tool in a repository of two notebooks whose runs take no time and show nothing."""
    folder, runs = tmp_path / "notebooks", []
    folder.mkdir()
    for name in ("01_t", "10_u"):
        cells = [
            nbformat.v4.new_markdown_cell(f"# {name}\n\n**Time** not measured yet."),
            nbformat.v4.new_code_cell("", metadata={"tags": ["setup"]}),
            nbformat.v4.new_code_cell("1")
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")
    (tmp_path / "pyproject.toml").write_text(
        '[project.urls]\nRepository = "https://github.com/a/b"\n')
    (tmp_path / "README.md").write_text("<!-- notebooks -->\n<!-- /notebooks -->\n")

    def execute(only, out, **_):
        for path in runner.choose(runner.find(), only):
            notebook = nbformat.read(path, 4)
            code = [cell for cell in notebook.cells if cell.cell_type == "code"]
            for count, cell in enumerate(code, 1):
                cell.execution_count = count
            notebook.metadata["papermill"] = dict(duration=44.0 + len(runs))
            target = out / "notebooks" / f"{path.name[:2]}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, target)
        runs.append({name: word for name, word in tool.os.environ.items()
                     if name.startswith("FEWLABELS_")})
        return 0

    find, stamped = runner.find, tool.stamp.stamp
    monkeypatch.setattr(runner, "find", lambda: find(folder))
    monkeypatch.setattr(runner, "run", execute)
    monkeypatch.setattr(tool.stamp, "stamp", lambda: stamped(tmp_path))
    monkeypatch.setattr(tool, "keep_times", lambda rows: keep_times(rows, tmp_path))
    monkeypatch.setattr(tool.docs, "take", lambda path: runs.append(path.name))
    monkeypatch.setattr(tool.docs, "write", lambda: None)
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "COPIES", tmp_path / "docs" / "executed")
    monkeypatch.setattr(tool, "WORK", tmp_path / "build" / "executed")
    monkeypatch.setattr(tool.os, "environ",
                        dict(tool.os.environ, FEWLABELS_WEIGHTS="mine", FEWLABELS_PRESET="smoke"))
    return tmp_path, runs


def test_after_a_run_times_stand_in_notebooks_copies_and_readme_and_all_agree(place):
    root, runs = place
    assert tool.main([]) == 0
    assert [row[:5] for row in times.read_times(root)] == [
        ("01_t", 44.0, "quick", "digits", "cpu"), ("10_u", 44.0, "quick", "digits", "cpu")]
    for folder in ("notebooks", "docs/executed"):
        text = (root / folder / "01_t.ipynb").read_text(encoding="utf-8")
        assert ", about 40 seconds on " in text
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert re.search(r"\| \[01_t\]\(docs/executed/01_t.ipynb\) \| .* \| 40 seconds \|", readme)
    assert tool.stale() == [] and tool.main(["--check"]) == 0 and tool.stamp.stamp() == []
    assert runs == [dict(FEWLABELS_DATASET="digits", FEWLABELS_PRESET="quick",
                         FEWLABELS_DEVICE="cpu", FEWLABELS_OFFLINE="1"), "summary.csv"]


def test_taking_a_run_again_changes_nothing_and_takes_up_new_prose(place):
    root, runs = place
    tool.main([])
    before = {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
    # nothing but the results was taken once more
    assert tool.main(["--again"]) == 0 and runs[2:] == ["summary.csv"]
    assert before == {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
    rewrite(root / "notebooks" / "01_t.ipynb",
            lambda cells: cells.append(nbformat.v4.new_markdown_cell("Later")))
    assert tool.main(["--check"]) == 1
    assert tool.main(["--again"]) == 0 and tool.stale() == []
    rewrite(root / "notebooks" / "01_t.ipynb", lambda cells: cells[2].update(source="2"))
    assert tool.main(["--again"]) == 2 and len(tool.stale()) == 1


def test_a_run_of_some_keeps_their_copies_and_no_times(place):
    root, runs = place
    assert tool.main(["--only", "1"]) == 0
    assert [path.name for path in tool.COPIES.iterdir()] == ["01_t.ipynb"] and len(runs) == 1
    assert times.read_times(root) == [] and tool.main(["--again"]) == 2


def test_a_copy_of_no_notebook_goes_with_the_next_run(place):
    tool.COPIES.mkdir(parents=True)
    shutil.copy(place[0] / "notebooks" / "01_t.ipynb", tool.COPIES / "99_gone.ipynb")
    assert "99_gone.ipynb: no such notebook" in tool.stale()
    assert tool.main([]) == 0 and tool.stale() == []


def test_another_machine_adds_its_times_and_nothing_else(place, monkeypatch):
    root, runs = place
    tool.main([])
    copy = root / "docs" / "executed" / "01_t.ipynb"
    before = copy.read_text(encoding="utf-8")
    tool.os.environ.update(FEWLABELS_PRESET="smoke", FEWLABELS_WEIGHTS="mine")
    monkeypatch.setattr(tool, "Settings", Namespace(resolve=lambda: Namespace(
        dataset="my images", device="cpu", preset=tool.os.environ["FEWLABELS_PRESET"])))
    assert tool.main(["--keep-times"]) == 0
    assert [row[1:4] for row in times.read_times(root)[2:]] == [(46.0, "smoke", "my_images")] * 2
    assert "FEWLABELS_WEIGHTS" not in runs[-1]
    assert copy.read_text(encoding="utf-8") == before and tool.main(["--check"]) == 0


def test_a_failed_run_keeps_no_times(place, monkeypatch):
    monkeypatch.setattr(runner, "run", lambda only, out, **_: 1)
    assert tool.main([]) == 2 and tool.main(["--keep-times"]) == 2
    assert times.read_times(place[0]) == [] and not tool.COPIES.exists()


def test_without_a_run_there_is_nothing_to_take_again(place, capsys):
    assert tool.main(["--again"]) == 2
    assert "no complete run in build" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--only", "1", "--again"], ["--keep-times", "--check"]])
def test_options_that_do_not_go_together_are_refused(arguments):
    with pytest.raises(SystemExit):
        tool.main(arguments)
