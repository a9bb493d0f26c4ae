"""The README's numbers are those of the kept results, and it names what exists."""

import re
from pathlib import Path

from helpers.tools import readme

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_results_in_the_readme_are_those_in_the_file():
    assert readme.tables(readme.load(readme.KEPT)) in TEXT


def test_a_changed_number_is_noticed():
    frame = readme.load(readme.KEPT).copy()
    frame.loc[frame.index[frame.notebook.str.startswith("07")][0], "mean"] = 0.123
    assert readme.tables(frame) not in TEXT


def test_links_and_modules_named_in_the_readme_exist():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if not link.startswith("http")]
    modules = re.findall(r"`([\w/]+(?:\.py|/))`", TEXT.split("## How it is built")[1].split("## What it unites")[0])
    assert links and modules
    assert not [link for link in links if not (ROOT / link).exists()]
    assert not [name for name in modules if not (ROOT / "helpers" / name).exists() and not (ROOT / name).exists()]
