"""The notebooks that are kept with their outputs are today's, and show the numbers that are kept."""

import base64
import io
import json

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers import gathering, results, runner
from helpers.tools import executed as tool
from helpers.tools import readme

COPIES = sorted(tool.COPIES.glob("*.ipynb"))
made = pytest.mark.skipif(not COPIES, reason="no executed copies yet: make executed")


@pytest.fixture
def source(tmp_path):
    """A notebook of two cells, as it lies in notebooks/."""
    cells = [nbformat.v4.new_markdown_cell("# T"), nbformat.v4.new_code_cell("1"), nbformat.v4.new_code_cell("2")]
    path = tmp_path / "01_t.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def run(source, tmp_path):
    """Puts outputs into a copy as papermill leaves it; returns the cleaned text."""
    def cleaned(*outputs):
        notebook = nbformat.read(source, 4)
        notebook.metadata = dict(kernelspec=dict(name="mine"), widgets={"state": 1}, papermill=dict(duration=61.2))
        for count, cell in enumerate(notebook.cells[1:], 1):
            cell.execution_count, cell.metadata = count, dict(papermill=dict(duration=1), tags=[])
        notebook.cells[1].outputs = list(outputs)
        nbformat.write(notebook, tmp_path / "01.ipynb")
        return tool.clean(tmp_path / "01.ipynb")
    return cleaned


def shown(**data):
    return nbformat.v4.new_output("display_data", data)


def outputs(text):
    return json.loads(text)["cells"][1]["outputs"]


def test_a_clean_copy_has_nothing_of_the_machine_and_nothing_to_complain_about(run, source):
    text = run(nbformat.v4.new_output("stream", text=f"{tool.ROOT}/build/executed/runs/a at 0x7f12\n"))
    notebook = json.loads(text)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3" and "papermill" not in text
    assert notebook["metadata"]["few_labels"]["seconds"] == 61
    assert outputs(text)[0]["text"] == ["runs/a\n"]
    assert tool.complaints(text, source) == []


def test_progress_is_left_out_and_what_needs_a_mouse_becomes_a_sentence(run):
    text = run(shown(**{"text/plain": "training ███░░ 3/5"}),
               shown(**{"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "VBox()"}),
               shown(**{"text/html": "<svg></svg>", "text/plain": "map"}), shown(**{"text/html": "<table>"}))
    assert [list(output["data"]) for output in outputs(text)] == [["text/plain"], ["text/plain"], ["text/html"]]
    assert "".join(outputs(text)[0]["data"]["text/plain"]) == tool.INTERACTIVE


def test_a_figure_gets_smaller_and_keeps_its_look(run):
    values = np.random.default_rng(0).normal(128, 20, (200, 200, 1)).clip(0, 255).astype("uint8").repeat(3, 2)
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
    (lambda n: n["cells"][1]["outputs"].append(dict(output_type="display_data", data={"a-widget": 1})), "widgets"),
])
def test_each_fault_of_a_copy_is_named(run, source, change, said):
    notebook = json.loads(run())
    change(notebook)
    (line,) = tool.complaints(json.dumps(notebook), source)
    assert said in line and line.startswith("01_t.ipynb: ")


def test_a_percentage_that_was_not_recorded_is_found():
    frame = pd.DataFrame(dict(mean=[0.8401, 0.5], std=[0.0174, None]))
    paragraph = "84.0 ± 1.7 % and 50.0%, +3.3% more, 61.2%"
    assert tool.percentages(paragraph) == ["84.0", "1.7", "50.0", "61.2"]
    assert tool.unfounded(paragraph, frame) == ["61.2"]


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
    """Some percentages are of what is not recorded, such as training accuracies; most are in the files."""
    frame = gathering.measured(gathering.KEPT)
    if not path.name.startswith(tool.LAST):
        frame = frame[frame.notebook == path.stem]
    else:
        frame = pd.concat([frame, gathering.published().rename(columns={"value": "mean"})])
    paragraph = tool.closing(path.read_text(encoding="utf-8"))
    spoken = tool.percentages(paragraph)
    assert len(spoken) - len(tool.unfounded(paragraph, frame)) >= min(2, len(spoken)), "run: make executed"


@made
@pytest.mark.parametrize("path", COPIES, ids=[path.stem for path in COPIES])
def test_printed_tables_are_lines_of_the_kept_file(path):
    text = path.read_text(encoding="utf-8")
    assert tool.unrecorded(text, readme.load(readme.KEPT), path.stem) == [], "run: make executed"


@made
def test_most_percentages_of_all_closing_paragraphs_are_in_the_files():
    frame = gathering.measured(gathering.KEPT)
    frame = frame[frame.notebook != ""]
    texts = {path.stem: tool.closing(path.read_text(encoding="utf-8")) for path in COPIES if path.name[:2] != tool.LAST}
    missing = {name: tool.unfounded(text, frame[frame.notebook == name]) for name, text in texts.items()}
    spoken = sum(len(tool.percentages(text)) for text in texts.values())
    assert sum(map(len, missing.values())) < 0.35 * spoken, f"run: make executed ({missing})"


@made
def test_there_is_a_copy_for_every_notebook():
    assert [path.name for path in COPIES] == [path.name for path in runner.find()]


def test_without_a_run_there_is_nothing_to_take_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "WORK", tmp_path / "build")
    assert tool.main(["--again"]) == 2
    assert "no complete run in build" in capsys.readouterr().err
