import pytest

from helpers.common import progress as module
from helpers.common.progress import Progress, clock, progress


@pytest.mark.parametrize("seconds, text", [(0, "0:00"), (59.6, "1:00"), (61, "1:01"),
                                           (3600, "1:00:00"), (3661, "1:01:01")])
def test_a_clock_shows_hours_only_when_there_are_some(seconds, text):
    assert clock(seconds) == text


def test_progress_yields_every_item_in_order(capsys):
    assert list(progress(iter("abc"), "letters")) == ["a", "b", "c"]
    assert "3/3" in capsys.readouterr().err


def test_the_line_estimates_the_time_left_from_the_rate(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    with Progress(100, "training", unit="steps") as bar:
        now[0] = 10.0
        bar.update(20, loss=0.5)
        assert "20/100 steps, 2 steps/s, 0:10, 0:40 left, loss 0.5" in bar.line()


def test_what_was_done_before_does_not_count_into_the_rate(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    with Progress(100, "training", unit="steps", start=50) as bar:
        now[0] = 5.0
        bar.update(10)
        assert "60/100 steps, 2 steps/s" in bar.line()


def test_an_empty_job_does_not_divide_by_zero(capsys):
    assert list(progress([], "nothing")) == []
    with Progress(0, "nothing") as bar:
        assert "0/0" in bar.line()


def test_a_test_run_is_not_a_notebook():
    assert module.in_notebook() is False


def test_a_stopwatch_leaves_out_pauses_and_goes_on_where_it_was(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    watch = module.Stopwatch()
    now[0] = 2.0
    assert watch.lap() == 2.0
    now[0] = 10.0
    watch.start()  # eight seconds later
    now[0] = 11.0
    assert (watch.lap(), watch.seconds) == (3.0, 3.0)
