"""Which notebook waits for which, and how many run at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from statistics import fmean

from helpers.common.machine import cores
from helpers.report.times import nearest, read_times
from helpers.settings import Settings

# Who needs what: the notebooks that have to be run before another. images/notebooks.svg shows it.
NEEDS = {
    "03": {"02"},  # BYOL's encoder
    "04": {"01", "02", "03"},  # BYOL's encoder; 01 and 03 have rows in its last table
    "06": {"02"},  # BYOL's encoder
    "07": {"02", "06"},  # BYOL's encoder, and noise-BYOL's, which 06 trains
    "09": {"02", "04", "08"},  # BYOL's and DINO's encoders; it reads trainings that 04 has kept
    "12": {"02"},  # BYOL's encoder
}
GATHERS = "10"  # needs all others
MEMORY_EACH = 2 * 2**30  # bytes that a notebook may take


def needs_among(numbers: Sequence[str]) -> dict[str, Set[str]]:
    """Each of the notebooks that are run, with those of them that have to be run before it.

    What a notebook would have made that is not run, the first that needs it makes: the others wait
    for that one.
    """
    needs = {number: NEEDS.get(number, set()) & set(numbers) for number in numbers}
    for missing in set().union(*NEEDS.values()) - set(numbers):
        users = [number for number in numbers if missing in NEEDS.get(number, ())]
        for number in users[1:]:
            needs[number] = needs[number] | {users[0]}
    if GATHERS in needs:
        needs[GATHERS] = set(numbers) - {GATHERS}
    return needs


def usual_seconds(numbers: Sequence[str], settings: Settings) -> dict[str, float]:
    """How long each notebook took with such settings on the machine most like this one.

    What is not known counts as much as the mean of the others.
    """
    rows = nearest(read_times(), settings.device, settings.preset, settings.dataset, cores())
    known = {row.notebook[:2]: row.seconds for row in rows}
    usual = fmean(known.values()) if known else 60.0
    return {number: known.get(number, usual) for number in numbers}


def usual_jobs(device: str) -> int:
    """How many notebooks run side by side: one a core, as far as the memory goes; one on a GPU."""
    if device != "cpu":
        return 1
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", ()):  # Windows
        return cores()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(cores(), memory // MEMORY_EACH))
