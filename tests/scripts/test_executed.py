"""The notebooks that are kept with their outputs are today's, and show the numbers that are
kept."""

import base64
import io
import json

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers import settings
from helpers.cli import notebooks as runner
from helpers.common.errors import UserError
from helpers.report import collect as gathering
from helpers.report import results, times
from helpers.report import tables as reporting
from scripts import executed as tool
from scripts import readme

# What closing paragraphs say that is not recorded, by words of the sentence; every other percentage
# is in the files.
NOT_RECORDED = {
    "01": ("Its worst class is",),
    "06": ("ten nearest neighbours", "agreement among noisy images"),
    # sigma is none of the recorded
    "07": ("supervised classifier is down to", "mean accuracies over all damage"),
    "11": ("on validation",),
}
# notebooks that a closing paragraph is about, if not only its own
SPEAKS_OF = {"04": ("01", "03", "04")}
COPIES = sorted(tool.COPIES.glob("*.ipynb"))
made = pytest.mark.skipif(not COPIES, reason="no executed copies yet: make executed")


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


def test_percentages_are_read_with_their_deviations_and_differences_are_not():
    said = ("84.0 ± 1.7 % and 50.0%, **61.2% ± 0.3%**, 7.0 % +3.3% more, +1.2 ± 0.4 %, by 3.1 "
            "points, sigma 0.4, 12 %")
    assert tool.percentages(said) == [("84.0", "1.7"), ("50.0", ""), ("61.2", "0.3"), ("7.0", "")]


FRAME = pd.DataFrame(dict(mean=[0.8401, 0.5, 0.6], std=[0.0174, None, 0.02]))


@pytest.mark.parametrize("paragraph, missing",
                         [("It has 84.0 ± 1.7 % and 50.0%.", []), ("It has 84.1 %.", ["84.1"]),
                          ("It has 84.0 ± 2.0 %.", ["84.0 ± 2.0"]),
                          ("A deviation is no mean: 1.7 %.", ["1.7"]),
                          ("50.0% is so, 61.2% is not.", ["61.2"]),
                          ("On\nvalidation it is 77.7 % (seed 0.5). Test is 60.0 %.", []),
                          ("On validation it is 77.7 %. Test is 77.7 %.", ["77.7"]),
                          ("- **On validation** 77.7 %\n- Test 77.7 %", ["77.7"]),
                          ("On validation, 77.7 %\n\nTest 77.7 %", ["77.7"])])
def test_a_percentage_that_was_not_recorded_is_found_unless_its_sentence_may_say_so(
        paragraph, missing):
    assert tool.unfounded(paragraph, FRAME, ["n validation"]) == missing


def test_what_may_be_said_without_a_record_is_said_in_the_notebook():
    for path in runner.find():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = " ".join(" ".join("".join(cell["source"])
                                 for cell in cells
                                 if cell["cell_type"] == "code").split())
        for phrase in NOT_RECORDED.get(path.name[:2], ()):
            assert phrase in code, f"{path.name} no longer says {phrase!r}"


def unfounded(text, name):
    """The percentages in the closing paragraph of the copy of a notebook that are not in the kept
    files."""
    frame = gathering.measured(gathering.KEPT)
    if name.startswith(tool.LAST):
        frame = pd.concat([frame, gathering.published().rename(columns={"value": "mean"})])
    else:
        frame = frame[frame.notebook.str[:2].isin(SPEAKS_OF.get(name[:2], (name[:2],)))]
    return tool.unfounded(tool.closing(text), frame, NOT_RECORDED.get(name[:2], ()))


def closing_with(run, words):
    return run(nbformat.v4.new_output("display_data", {"text/markdown": words}))


@pytest.mark.parametrize("path", runner.find(), ids=lambda path: path.stem)
def test_the_check_of_closing_paragraphs_passes_kept_numbers_and_finds_others(run, path):
    frame = gathering.measured(gathering.KEPT)
    own = frame[(frame.notebook == path.stem) & frame.metric.str.endswith("accuracy")]
    own = frame if path.name.startswith(tool.LAST) else own
    right = " and ".join(f"{mean:.1%}" for mean in own["mean"])
    assert right and unfounded(closing_with(run, f"It is {right}."), path.stem) == []
    known = set(
        (1000
         * pd.concat([frame["mean"], gathering.published().value]).dropna()).round().astype(int))
    wrong = next(number / 10
                 for number in range(999, 0, -1)
                 if not known & {number - 1, number, number + 1})
    assert unfounded(closing_with(run, f"It is {right}, and {wrong:.1f} %."),
                     path.stem) == [f"{wrong:.1f}"]
    for phrase in NOT_RECORDED.get(path.name[:2], ()):
        assert unfounded(closing_with(run, f"It is so. {phrase} {wrong:.1f} %. It is {right}."),
                         path.stem) == []


def test_the_line_on_whole_trainings_is_in_the_files(run):
    assert unfounded(closing_with(run, reporting.duel(gathering.noise_trainings())),
                     "10_results") == []


def test_a_printed_line_that_is_not_in_the_results_is_found(run):
    frame = readme.load(readme.KEPT)
    table = results.table(frame[frame.notebook.str.startswith("04")])
    right, name = nbformat.v4.new_output("stream", text=table), "04_fine_tuning"
    assert tool.unrecorded(run(right), frame, name) == []
    line = next(line for line in table.splitlines() if " ± " in line)
    wrong = nbformat.v4.new_output("stream", text=table.replace(line, line.replace(" ± ", "1 ± ")))
    (found,) = tool.unrecorded(run(wrong), frame, name)
    assert found.startswith(name)


@made
def test_the_kept_copies_are_of_todays_notebooks():
    assert tool.stale() == [], "run: make executed"


@made
@pytest.mark.parametrize("path", COPIES, ids=[path.stem for path in COPIES])
def test_a_closing_paragraph_speaks_of_the_kept_numbers(path):
    assert unfounded(path.read_text(encoding="utf-8"), path.stem) == [], "run: make executed"


@made
@pytest.mark.parametrize("path", COPIES, ids=[path.stem for path in COPIES])
def test_printed_tables_are_lines_of_the_kept_file(path):
    text = path.read_text(encoding="utf-8")
    assert tool.unrecorded(text, readme.load(readme.KEPT), path.stem) == [], "run: make executed"


@made
def test_there_is_a_copy_for_every_notebook():
    assert [path.name for path in COPIES] == [path.name for path in runner.find()]


@made
def test_every_notebook_was_timed_in_one_run():
    rows = times.nearest(times.read(), "cpu", *times.USUAL, cores=2)
    assert [f"{row.notebook}.ipynb" for row in rows] == [path.name for path in COPIES]


@pytest.fixture
def place(tmp_path, source, monkeypatch):
    """The tool in a repository of two notebooks, one of which gathers, whose runs take no time and
    show nothing."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("01_t", "10_u"):
        cells = [
            nbformat.v4.new_markdown_cell(f"# {name}\n\n**Time** not measured yet."),
            nbformat.v4.new_code_cell("", metadata={"tags": ["setup"]}),
            nbformat.v4.new_code_cell("1")
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")
    (tmp_path
     / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/a/b"\n')
    (tmp_path / "README.md").write_text("<!-- notebooks -->\n<!-- /notebooks -->\n")
    runs, stamped = [], tool.stamp.stamp

    def execute(numbers, out):
        names = {path.name[:2]: path for path in runner.find()}
        for number in numbers:
            notebook = nbformat.read(names[number], 4)
            code = [cell for cell in notebook.cells if cell.cell_type == "code"]
            for count, cell in enumerate(code, 1):
                cell.execution_count = count
            notebook.metadata["papermill"] = dict(duration=44.0 + len(runs))
            path = out / "notebooks" / f"{number}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, path)
        runs.append((numbers, {
            name: word
            for name, word in tool.os.environ.items()
            if name.startswith("FEWLABELS_")
        }))
        return 0

    find = runner.find
    monkeypatch.setattr(runner, "find", lambda: find(folder))
    monkeypatch.setattr(runner, "run", execute)
    monkeypatch.setattr(tool.stamp, "stamp", lambda: stamped(tmp_path))
    keep, read = times.keep, times.read
    monkeypatch.setattr(times, "keep", lambda rows, path=tmp_path / times.PLACE: keep(rows, path))
    monkeypatch.setattr(times, "read", lambda path=tmp_path / times.PLACE: read(path))
    monkeypatch.setattr(readme, "take", lambda path: runs.append(path))
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "COPIES", tmp_path / "docs" / "executed")
    monkeypatch.setattr(tool, "WORK", tmp_path / "build" / "executed")
    monkeypatch.setattr(tool, "ELSEWHERE", tmp_path / "build" / "times")
    monkeypatch.setattr(tool.os, "environ",
                        dict(tool.os.environ, FEWLABELS_WEIGHTS="mine", FEWLABELS_PRESET="smoke"))
    monkeypatch.setattr(
        settings.Settings, "resolve", lambda: tool.argparse.Namespace(
            dataset="my images" if tool.os.environ["FEWLABELS_PRESET"] == "smoke" else "digits",
            device="cpu", preset=tool.os.environ["FEWLABELS_PRESET"]))
    return tmp_path, runs


def test_after_a_run_times_stand_in_notebooks_copies_and_readme_and_all_agree(place):
    root, runs = place
    assert tool.main([]) == 0
    assert [row[:4] for row in times.read()] == [("01_t", 44.0, "quick", "digits"),
                                                 ("10_u", 45.0, "quick", "digits")]
    for folder in ("notebooks", "docs/executed"):
        assert "**Time** about 40 seconds on " in (root / folder
                                                   / "01_t.ipynb").read_text(encoding="utf-8")
    assert "[outputs](docs/executed/01_t.ipynb) | 40 s |" in (root / "README.md").read_text(
        encoding="utf-8")
    assert tool.stale() == [] and tool.main(["--check"]) == 0 and tool.stamp.stamp() == []
    assert runs[0][1] == dict(FEWLABELS_DATASET="digits", FEWLABELS_PRESET="quick",
                              FEWLABELS_DEVICE="cpu", FEWLABELS_OFFLINE="1")
    assert [numbers
            for numbers, _ in runs[:2]] == [["01"], ["10"]] and runs[2].name == "summary.csv"


def test_taking_a_run_again_changes_nothing_and_takes_up_new_prose(place):
    root, runs = place
    tool.main([])
    before = {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
    # nothing but the results was taken once more
    assert tool.main(["--again"]) == 0 and len(runs) == 4
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
    assert times.read() == [] and tool.main(["--again"]) == 2


def test_another_machine_adds_its_times_and_nothing_else(place):
    root, runs = place
    tool.main([])
    copy = root / "docs" / "executed" / "01_t.ipynb"
    before = copy.read_text(encoding="utf-8")
    tool.os.environ.update(FEWLABELS_PRESET="smoke", FEWLABELS_WEIGHTS="mine")
    assert tool.main(["--keep-times"]) == 0
    assert [row[1:4] for row in times.read()[2:]] == [(47.0, "smoke", "my_images"),
                                                      (48.0, "smoke", "my_images")]
    assert "FEWLABELS_WEIGHTS" not in runs[-1][1]
    assert copy.read_text(encoding="utf-8") == before and tool.main(["--check"]) == 0
    assert "my_images, smoke |" in (root / "README.md").read_text(encoding="utf-8")
    assert tool.main(["--keep-times", "--only", "1"]) == 2


def test_a_failed_run_keeps_no_times(place, monkeypatch):
    monkeypatch.setattr(runner, "run", lambda numbers, out: 1)
    with pytest.raises(UserError, match="nothing was kept"):
        tool.run_for_times()
    assert tool.main([]) == 2 and times.read() == []


def test_without_a_run_there_is_nothing_to_take_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "WORK", tmp_path / "build")
    assert tool.main(["--again"]) == 2
    assert "no complete run in build" in capsys.readouterr().err
