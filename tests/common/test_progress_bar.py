"""What people see of a long job, in a terminal, in a pipe and in a notebook."""

import io
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import IPython.display
import pytest

from helpers.common import environment
from helpers.common import progress_bar as module
from helpers.common.progress_bar import progress


def test_progress_yields_every_item_in_order(capsys):
    assert list(progress(iter("abc"), "letters")) == ["a", "b", "c"]
    assert "3/3" in capsys.readouterr().err


def test_an_empty_job_does_not_divide_by_zero(capsys):
    assert list(progress([], "nothing")) == []
    with progress(None, "nothing", total=0):
        pass


def test_a_pipe_gets_the_start_and_the_end_of_a_quick_job(capsys):
    with progress(None, "training", "images", total=64_000) as bar:
        for _ in range(1000):
            bar.update(64)
    states = re.findall(r"(\d+)/64000", capsys.readouterr().err)
    assert states == ["0", "64000"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_is_updated_more_often_than_a_pipe(monkeypatch, capsys):
    assert progress([], "a pipe").mininterval == module.PIPE_SECONDS
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert progress([], "a terminal").mininterval == module.TERMINAL_SECONDS < module.PIPE_SECONDS


@pytest.fixture
def cell(monkeypatch):
    """The lines that a notebook's cell has shown, one after another in one place."""
    shown = []

    class Handle:
        def update(self, data, raw):
            shown.append(data["text/plain"])

    def display(data, raw, display_id):
        assert not shown, "a second output"
        Handle().update(data, raw)
        return Handle()

    monkeypatch.setattr(module, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    return shown


def test_a_notebook_has_one_line_that_is_updated_and_nothing_on_its_error_stream(cell, capsys):
    with progress(None, "training", "images", total=100, mininterval=0) as bar:
        bar.set_postfix(loss="0.5", refresh=False)
        bar.update(20)
        assert cell[-1].startswith("training:  20%|") and "20/100 [" in cell[-1]
        assert re.search(r"<\d\d:\d\d, .* images/s, loss=0.5\]$", cell[-1])
        bar.update(80)
    assert cell[-1].startswith("training: 100%|") and len(cell[-1]) <= module.NOTEBOOK_COLUMNS
    assert capsys.readouterr() == ("", "")


def test_what_was_done_before_does_not_count_into_the_rate(cell, monkeypatch):
    with progress(None, "training", "steps", total=100, initial=50) as bar:
        bar.start_t -= 5
        bar.update(10)
    assert cell[-1].startswith("training:  60%|") and "60/100 [00:05<" in cell[-1]
    rate = float(re.search(r"([\d.]+) steps/s", cell[-1])[1])
    assert rate == pytest.approx(2, abs=0.1)


def test_a_slow_job_is_told_in_seconds_for_each(cell):
    with progress(None, "training", "trials", total=4) as bar:
        bar.start_t -= 60
        bar.update(2)
    assert re.search(r", 30 s each\]$", cell[-1])


def test_the_clock_goes_on_between_two_items_and_stands_still_after_the_end(cell, monkeypatch):
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    with progress(None, "training", "trials", total=2):
        before = len(cell)
        time.sleep(0.3)
        assert len(cell) > before + 2
    after = len(cell)
    time.sleep(0.1)
    assert len(cell) == after


def test_the_clock_of_a_cell_that_failed_stands_still(cell, monkeypatch):
    called = {}
    events = SimpleNamespace(register=called.__setitem__,
                             unregister=lambda name, _: called.pop(name))
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(events=events))
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    bar = progress(None, "training", "trials", total=2)  # nobody closes it
    called["post_run_cell"]()
    after = len(cell)
    time.sleep(0.1)
    assert len(cell) == after and not called
    bar.close()


def test_work_of_unknown_length_shows_a_clock_once_it_takes_long(cell, monkeypatch):
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    with module.working("a map"):
        pass
    assert cell == []
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.1)
    with module.working("a map"):
        time.sleep(0.4)
    assert cell and cell[-1].startswith("a map: 00:0")


def test_a_pipe_hears_nothing_between_two_items(monkeypatch, capsys):
    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)
    with progress(None, "training", "images", total=2) as bar:
        time.sleep(0.1)
        bar.update(2)
    assert capsys.readouterr().err.count("training") == 2


def test_a_test_run_is_not_a_notebook():
    assert environment.in_notebook() is False


def test_the_notebooks_helps_are_imported_without_tqdm():
    """The first cell installs what is missing, tqdm too."""
    script = "import sys; sys.modules['tqdm'] = None; import helpers.notebook"
    subprocess.run([sys.executable, "-c", script], check=True)
