"""Do several things side by side, each as soon as what it needs has been done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

GRACE = 3.0  # seconds between asking what still runs to stop and ending it


@dataclass
class Outcome:
    """The names of what was done, what failed, and what needs a failed one and never began."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def side_by_side(needs: Mapping[str, Set[str]], work: Callable[[str], bool], jobs: int, *,
                 tick: Callable[[Set[str]], object], stop: Callable[[bool], object],
                 seconds: Mapping[str, float] | None = None) -> Outcome:
    """Call `work(name)` for every name, at most `jobs` at a time, each in a thread.

    A failure keeps back what needs the failed one, and nothing else. Of what could begin, that with
    the longest way to the end goes first.

    Args:
        needs: every name, with those of the others that have to be done before it.
        work: returns whether it succeeded.
        tick: called about once a second with the names that run now.
        stop: ends what runs; called at Ctrl-C with False ("please"), and after `GRACE` seconds with
            True ("now") until all threads have come back.
        seconds: about how long each takes; None: all take as long.

    Raises:
        KeyboardInterrupt: Ctrl-C, when nothing runs any more.
    """
    order, outcome = TopologicalSorter(needs), Outcome()
    order.prepare()
    waiting: list[str] = []
    running: dict[Future[bool], str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while True:
                waiting = sorted([*waiting, *order.get_ready()], key=lambda name: (
                    -_to_the_end(name, needs, seconds or {}), name))
                while waiting and len(running) < jobs:
                    name = waiting.pop(0)
                    running[pool.submit(work, name)] = name
                if not running:
                    break
                tick(set(running.values()))
                for future in wait(running, timeout=1.0, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    if future.result():
                        outcome.done.append(name)
                        order.done(name)
                    else:
                        outcome.failed.append(name)
        except KeyboardInterrupt:
            _end(running, stop)
            raise
    outcome.left_out = sorted(set(needs) - {*outcome.done, *outcome.failed})
    return outcome


def _to_the_end(name: str, needs: Mapping[str, Set[str]], seconds: Mapping[str, float]) -> float:
    """How long `name` and all that waits for it take at least, one after another."""
    after = [other for other in needs if name in needs[other]]
    return seconds.get(name, 1.0) + max(
        (_to_the_end(other, needs, seconds) for other in after), default=0.0)


def _end(running: Mapping[Future[bool], str], stop: Callable[[bool], object]) -> None:
    stop(False)
    patience = GRACE
    while wait(running, timeout=patience).not_done:
        stop(True)
        patience = 0.2
