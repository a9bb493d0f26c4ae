"""What runs when, and what a failure or Ctrl-C does to the rest."""

import threading
import time

import pytest

from helpers.cli import side_by_side as module
from helpers.cli.side_by_side import side_by_side


def nothing(_):
    pass


def order_of(needs, jobs=1, fails=(), seconds=None):
    """The names in the order in which they began, and the outcome."""
    begun = []
    outcome = side_by_side(needs, lambda name: begun.append(name) or name not in fails, jobs,
                           tick=nothing, stop=nothing, seconds=seconds)
    return begun, outcome


def test_nothing_begins_before_what_it_needs_has_ended():
    needs = {"d": {"b", "c"}, "c": {"a"}, "b": {"a"}, "a": set()}
    ended = []

    def work(name):
        assert needs[name] <= set(ended)
        time.sleep(0.02)
        ended.append(name)
        return True

    outcome = side_by_side(needs, work, 3, tick=nothing, stop=nothing)
    assert sorted(outcome.done) == ["a", "b", "c", "d"]


def test_the_longest_chain_goes_first():
    needs = {"1": set(), "2": set(), "3": {"2"}, "4": {"3"}, "5": {"1"}}
    assert order_of(needs)[0] == ["2", "1", "3", "4", "5"]


def test_what_takes_longest_to_the_end_goes_first():
    needs = {"1": set(), "2": {"1"}, "3": set()}
    assert order_of(needs, seconds={"1": 10, "2": 20, "3": 40})[0] == ["3", "1", "2"]
    assert order_of(needs, seconds={"1": 10, "2": 40, "3": 40})[0] == ["1", "2", "3"]


def test_never_do_more_run_than_allowed():
    running, most, lock = set(), [], threading.Lock()

    def work(name):
        with lock:
            running.add(name)
            most.append(len(running))
        time.sleep(0.02)
        with lock:
            running.remove(name)
        return True

    side_by_side({str(number): set() for number in range(6)}, work, 2, tick=nothing, stop=nothing)
    assert max(most) == 2


def test_a_failure_keeps_back_what_needs_it_and_nothing_else():
    needs = {"a": set(), "b": {"a"}, "c": {"b"}, "d": set()}
    begun, outcome = order_of(needs, fails={"a"})
    assert begun == ["a", "d"]
    assert (outcome.done, outcome.failed, outcome.left_out) == (["d"], ["a"], ["b", "c"])


def test_what_runs_is_told(monkeypatch):
    told = []
    side_by_side({"a": set(), "b": {"a"}}, lambda name: True, 2, tick=told.append, stop=nothing)
    assert told == [{"a"}, {"b"}]


@pytest.mark.parametrize("stubborn, asked", [(False, [False]), (True, [False, True])])
def test_ctrl_c_asks_first_then_ends_what_runs_and_begins_nothing_more(
        monkeypatch, stubborn, asked):
    monkeypatch.setattr(module, "GRACE", 0.05)
    stopped, begun, calls = threading.Event(), [], []

    def work(name):
        begun.append(name)
        stopped.wait(10)
        return False

    def stop(now):
        calls.append(now)
        if now or not stubborn:
            stopped.set()

    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side({"a": set(), "b": {"a"}}, work, 1, tick=interrupted, stop=stop)
    assert begun == ["a"] and calls[:len(asked)] == asked and stopped.is_set()
