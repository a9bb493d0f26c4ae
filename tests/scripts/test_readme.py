"""The README's numbers are those of the kept results, and it names what exists."""

import re
from pathlib import Path

import pandas as pd
import pytest

from helpers.common.errors import UserError
from helpers.report import tables as reporting
from scripts import readme

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
# sections whose numbers come from files
MEASURED = ("## Results", "## On photographs", "## How fast it is")


def block(name):
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", TEXT, re.DOTALL)[1]


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.stem)
def test_every_page_with_marks_says_what_the_files_say(page):
    text = page.read_text(encoding="utf-8")
    assert readme.written(text, readme.PAGES[page]) == text, "run: python -m scripts.readme"


@pytest.mark.parametrize("name", readme.BLOCKS)
def test_a_number_changed_by_hand_is_noticed_and_put_right(name):
    number = re.search(r"\d+\.\d", block(name))
    changed = TEXT.replace(block(name), block(name).replace(number[0], "12.3", 1))
    assert changed != TEXT and readme.written(changed) == TEXT


def test_a_number_changed_in_the_file_is_noticed():
    frame = readme.load(readme.KEPT).copy()
    assert reporting.story(frame) in TEXT
    frame.loc[frame.index[frame.notebook.str.startswith("07")][0], "mean"] = 0.123
    assert reporting.story(frame) not in TEXT


def test_the_readme_says_what_the_file_of_the_digits_says():
    frame = pd.read_csv(readme.KEPT, dtype={"labels_per_class": str})
    byol = frame[frame.notebook.str.startswith("03") & (frame.method == "BYOL") &
                 (frame.protocol == "linear probe")]
    line = next(line for line in TEXT.splitlines() if line.startswith("| BYOL, linear probe |"))
    means = [float(cell.split("±")[0]) for cell in line.split("|")[2:-1]]
    assert means == pytest.approx(100 * byol["mean"], abs=0.051)


def test_no_measured_number_is_typed_between_the_marked_parts():
    for heading in MEASURED:
        section = TEXT.split(f"{heading}\n")[1].split("\n## ")[0].split("**Not measured yet:**")[0]
        prose = re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", "", section, flags=re.DOTALL)
        prose = re.sub(r"!?\[.*?\]\(.*?\)|`[^`]*`", "", prose)
        assert not re.findall(r"\d+\.\d+|\d+(?=\s?(?:%|points?\b|times\b|minutes?\b|images/s))",
                              prose), heading


def test_a_readme_without_its_marks_is_refused():
    with pytest.raises(UserError, match="<!-- photographs -->"):
        readme.written(TEXT.replace("<!-- photographs -->\n", ""))


def test_links_and_modules_named_in_the_readme_exist():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if not link.startswith("http")]
    modules = re.findall(r"`([\w/]+(?:\.py|/))`",
                         TEXT.split("## How it is built")[1].split("## What it unites")[0])
    assert links and modules
    assert not [link for link in links if not (ROOT / link).exists()]
    assert not [
        name for name in modules
        if not (ROOT / "helpers" / name).exists() and not (ROOT / name).exists()
    ]
