"""Small helps for cells: source that is shown, figures that answer to widgets, cells that are
skipped."""

import asyncio
import base64
import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from ipywidgets import Dropdown, SelectionSlider
from PIL import Image

from helpers import notebook
from helpers.common.errors import UserError
from helpers.notebook import explorer, png, skip_the_rest, source_of
from helpers.settings import Settings


def figure(height=1.0, **_):
    drawn, axes = plt.subplots(figsize=(1, 1))
    axes.bar([0], [height])
    axes.set_ylim(0, 3)
    plt.close(drawn)
    return drawn


def test_the_source_of_a_function_names_its_place():
    text = source_of(png)
    assert text.startswith("# helpers.report.web_image, line") and "def png(figure" in text


def test_what_has_no_source_is_refused():
    with pytest.raises(TypeError):
        source_of(len)


def test_an_explorer_starts_with_the_first_choices_and_draws_again_when_one_changes():
    asked = []

    def draw(**chosen):
        asked.append(chosen)
        return figure(**chosen)

    row, image = explorer(draw, height=[1.0, 2.0], layer=["first", "last"]).children
    assert [type(control) for control in row.children] == [SelectionSlider, Dropdown]
    before = image.value
    assert before.startswith('<img src="data:image/png;base64,iVBOR')
    row.children[0].value = 2.0
    row.children[1].value = "last"
    assert asked == [{"height": 1.0, "layer": "first"}, {"height": 2.0, "layer": "first"},
                     {"height": 2.0, "layer": "last"}]
    assert image.value != before
    row.children[0].value, row.children[1].value = 1.0, "first"
    assert image.value == before and len(asked) == 4  # what was shown before is not drawn again


def test_an_explorer_draws_ahead_in_the_direction_of_the_last_move():
    asked = []

    def draw(height):
        asked.append(height)
        return figure(height)

    async def moves():
        slider = explorer(draw, height=range(6)).children[0].children[0]
        seen = []
        for place in (0, 1, 4, 3, 5):
            slider.index = place
            await asyncio.sleep(0.3)
            seen.append(set(asked))
            asked.clear()
        return seen

    assert asyncio.run(moves()) == [{0, 1}, {2}, {4, 5}, {3}, set()]


def test_an_explorer_says_in_words_what_is_written_in_its_figure():
    def draw(digit):
        drawn, axes = plt.subplots(1, 2)
        drawn.suptitle("Two <views>")
        for ax in axes:
            ax.set_title(f"a {digit}")
            ax.text(0, 0, "✓ right")
        plt.close(drawn)
        return drawn

    row, image = explorer(draw, digit=[3, 4]).children
    assert 'alt="Two &lt;views&gt;\na 3, ✓ right\na 3, ✓ right"' in image.value
    row.children[0].value = 4
    assert "a 4, ✓ right" in image.value and "a 3" not in image.value


def test_shown_source_has_colours_of_its_own_and_keeps_its_lines():
    html = notebook._highlight("def f(x):\n    return x\n")
    style = html.split("<pre style=")[1].split(">")[0]
    assert {"background:transparent", "color:inherit", "white-space:pre"} <= {
        rule.strip(" \"") for rule in style.split(";")}


def test_a_figure_among_widgets_has_two_pixels_for_each_of_the_page():
    shown = notebook.image(figure())
    pixels = Image.open(io.BytesIO(base64.b64decode(shown.split("base64,")[1].split('"')[0])))
    assert f"width:{pixels.width // 2}px; max-width:100%" in shown and pixels.width > 150


def test_a_figure_drawn_quickly_keeps_its_edges_and_is_as_sharp():
    shown = notebook.image(figure(), quick=True)
    pixels = Image.open(io.BytesIO(base64.b64decode(shown.split("base64,")[1].split('"')[0])))
    assert "width:100px" in shown and pixels.size == (200, 200)  # of 1 x 1 inch


def test_a_figure_becomes_the_same_png_every_time():
    assert png(figure()) == png(figure()) != png(figure(2.0))


def test_skipped_cells_do_nothing_and_say_why_once(monkeypatch, capsys):
    manager = TransformerManager()
    shell = SimpleNamespace(input_transformers_cleanup=manager.cleanup_transforms)
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    monkeypatch.setattr(
        "sys.modules",
        {**notebook.sys.modules, "IPython": SimpleNamespace(get_ipython=lambda: shell)})
    assert manager.transform_cell("x = 1\n") == "x = 1\n"
    skip_the_rest("no such package")
    assert capsys.readouterr().out == "The rest of this notebook is skipped: no such package.\n"
    assert manager.transform_cell("x = 1\ny = 2\n").strip() == ""


def test_the_first_cell_needs_nothing_but_the_standard_library_to_begin():
    code = ("import sys\n"
            "sys.modules.update(dict.fromkeys(['tqdm', 'torch', 'numpy', 'pandas', 'IPython']))\n"
            "import helpers.notebook")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_weights_are_handed_to_the_browser_on_colab_and_named_elsewhere(tmp_path, monkeypatch,
                                                                        capsys):
    file, handed = tmp_path / "encoder.safetensors", []
    file.write_bytes(bytes(1_500_000))
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    monkeypatch.setitem(sys.modules, "google.colab.files", SimpleNamespace(download=handed.append))
    notebook.download(file)
    assert handed == []
    monkeypatch.setattr(notebook, "on_colab", lambda: True)
    notebook.download(file)
    assert handed == [str(file)] and capsys.readouterr().out == f"{file} (1.5 MB)\n" * 2


@pytest.fixture
def tensorboard(monkeypatch):
    """What TensorBoard is started with; `widgets_work` says whether a page is open.
    """
    started, page = [], SimpleNamespace(open=True)
    monkeypatch.setitem(sys.modules, "tensorboard.notebook", SimpleNamespace(start=started.append))
    monkeypatch.setattr("helpers.models.weights.choose.widgets_work", lambda: page.open)
    monkeypatch.setitem(notebook.os.environ, "TENSORBOARD_BINARY", "")
    return started, page


def test_tensorboard_starts_where_a_person_wants_it_and_has_a_page_open(tensorboard, capsys):
    started, page = tensorboard
    folder = Path("runs") / "of mine"
    notebook.show_tensorboard(folder, wanted=False)
    page.open = False
    notebook.show_tensorboard(folder)
    assert started == []
    assert capsys.readouterr().out == (
        "not shown here; in a shell: tensorboard --logdir 'runs/of mine'\n" * 2)
    page.open = True
    notebook.show_tensorboard(folder)
    assert started == ["--logdir 'runs/of mine'"]


def test_without_tensorboard_one_line_says_where_the_numbers_are(tensorboard, monkeypatch, capsys):
    monkeypatch.setattr(notebook.importlib.util, "find_spec", lambda name: None)
    notebook.show_tensorboard(Path("runs"))
    said = capsys.readouterr().out
    assert tensorboard[0] == [] and said.count("\n") == 1
    assert "pip install tensorboard" in said and "runs/metrics.csv" in said


def test_a_plan_is_told_once_and_another_one_again(capsys):
    chosen = Settings.resolve(preset="quick", dataset="digits", device="cpu")
    for settings in (chosen, chosen, chosen.replace(preset="full")):
        notebook.tell_plan("01", settings)
    said = capsys.readouterr().out
    first, second = said.removeprefix("Plan of notebook 01: ").split("\nPlan of notebook 01: ")
    assert first.startswith("dataset digits") and "preset full" in " ".join(second.split())
    assert max(map(len, said.splitlines())) <= 100  # between words


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """What `prepare` asks to install: (file, packages)."""
    asked = []
    monkeypatch.setattr(notebook, "install_missing",
                        lambda path, only=(): asked.append((path.name, only)))
    monkeypatch.setattr(notebook, "share_folders", lambda root: None)
    monkeypatch.setattr("helpers.cli.doctor.brief", lambda root: "the machine")
    return asked


def test_the_last_notebooks_first_cell_installs_optuna(prepared):
    notebook.prepare("03")
    assert prepared == [("requirements.txt", ())]
    notebook.prepare("11")
    assert prepared[1:] == [("requirements.txt", ()), ("requirements-extra.txt", ("optuna",))]


def test_without_optuna_and_a_network_the_first_cell_says_so_and_goes_on(prepared, monkeypatch,
                                                                          capsys):
    def refuse(path, only=()):
        if only:
            raise UserError("pip could not install optuna")

    monkeypatch.setattr(notebook, "install_missing", refuse)
    notebook.prepare("11")
    assert capsys.readouterr().out.startswith("pip could not install optuna\nthe machine\n")


def test_a_wrong_variable_does_not_end_the_first_cell(prepared, monkeypatch, capsys):
    monkeypatch.setenv("FEWLABELS_PRESET", "huge")
    notebook.prepare("03")
    assert capsys.readouterr().out == "the machine\n"
