"""Which notebook waits for which, and how many run at a time."""

import json
import os
import re

import pytest

from helpers.cli import order
from helpers.cli.execute import number_of
from helpers.cli.notebooks import ROOT, find
from helpers.cli.order import GATHERS, NEEDS, needs_among
from helpers.report.times import Time
from helpers.settings import Settings


def test_of_what_needs_a_notebook_that_is_not_run_the_first_makes_it_for_the_others():
    needs = needs_among(["03", "04", "06", "07"])
    assert needs == {"03": set(), "04": {"03"}, "06": {"03"}, "07": {"03", "06"}}


def test_the_gathering_notebook_waits_for_all_others():
    numbers = [number_of(path) for path in find()]
    assert needs_among(numbers)["10"] == set(numbers) - {"10"}


def test_the_drawn_map_of_the_notebooks_says_the_same():
    drawing = (ROOT / "images" / "notebooks.svg").read_text(encoding="utf-8")
    title, drawn = re.search(r"<title.*?>(.*?)</title>", drawing)[1], {}
    for source, targets in re.findall(r"from (\d\d) (?:goes )?to ((?:\d\d[, and]*)+)", title):
        for target in re.findall(r"\d\d", targets):
            drawn.setdefault(target, set()).add(source)
    # numbers in a table and trainings to be read, which are not drawn
    rows = {"04": {"01", "03"}, "09": {"04"}}
    encoders = {number: set(needs) - rows.get(number, set())
                for number, needs in NEEDS.items()}
    assert encoders == drawn and f"{GATHERS} collects the numbers of all others" in title


MAKES = {"byol": "02", "noise-byol": "06", "dino": "08"}  # the notebook that trains it first


@pytest.mark.parametrize("path", find(), ids=lambda path: path.stem)
def test_a_notebook_that_asks_for_an_encoder_needs_the_one_that_trains_it(path):
    code = "".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]
                   if cell["cell_type"] == "code")
    asked = set(re.findall(r'find_or_pretrain\(\s*"([\w-]+)"', code))
    asked |= {"byol"} if "chosen_encoder(" in code else set()
    asked |= {"noise-byol"} if "noise_encoders(" in code else set()
    number = number_of(path)
    assert {MAKES[method] for method in asked} - {number} <= NEEDS.get(number, set())


@pytest.mark.parametrize("device, cores, expected", [("cpu", 1, 1), ("cuda", 8, 1), ("mps", 8, 1)])
def test_notebooks_share_no_gpu_and_no_single_core(monkeypatch, device, cores, expected):
    monkeypatch.setattr(order, "cores", lambda: cores)
    assert order.usual_jobs(device) == expected


def test_as_many_notebooks_run_as_the_memory_holds(monkeypatch):
    monkeypatch.setattr(order, "cores", lambda: 8)
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 7 * 2**20, "SC_PAGE_SIZE": 2**10}.get)
    assert order.usual_jobs("cpu") == 3


def test_known_times_count_as_they_are_and_unknown_ones_as_their_mean(monkeypatch):
    machine = dict(preset="quick", dataset="digits", device="cpu", chip="", cores=2, torch="")
    rows = [Time(notebook="01_a", seconds=20.0, **machine),
            Time(notebook="02_b", seconds=40.0, **machine)]
    monkeypatch.setattr(order, "read_times", lambda: rows)
    quick = Settings.resolve(preset="quick", dataset="digits", device="cpu")
    assert order.usual_seconds(["01", "02", "12"], quick) == {"01": 20.0, "02": 40.0, "12": 30.0}
    smoke = Settings.resolve(preset="smoke", dataset="digits", device="cpu")
    assert set(order.usual_seconds(["01", "02"], smoke).values()) == {60.0}
