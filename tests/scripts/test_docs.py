"""The pages' numbers are those of the kept results, and the pages name what exists."""

import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from helpers.common.errors import UserError
from helpers.report.results import FIRST_COLUMNS, record
from scripts import docs as tool

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "weights").glob("*.md"))]
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
# pages all of whose measured numbers stand between marks
MEASURED = ["README.md", "docs/results.md", "docs/speed.md"]
NUMBERS = re.compile(r"\d+\.\d+|\d+(?=\s?(?:%|points?\b|times\b|minutes?\b|seconds?\b|images/s))")


def block(page, name):
    text = page.read_text(encoding="utf-8")
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)[1]


def anchors(text):
    """What a page's headings are called in a link."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_page_says_what_the_files_say():
    assert [page.name for page in tool.differing()] == [], "run: python -m scripts.docs"


@pytest.mark.parametrize("page, name", [(page, name) for page in tool.PAGES
                                        for name in tool.PAGES[page]],
                         ids=lambda value: value if isinstance(value, str) else value.stem)
def test_a_number_changed_by_hand_is_noticed_and_put_right(page, name):
    text, shown = page.read_text(encoding="utf-8"), block(page, name)
    number = re.findall(r"\d+(?:\.\d+)?", shown)[-1]
    changed = text.replace(shown, shown[::-1].replace(number[::-1], "77777", 1)[::-1])
    assert changed != text and tool.written(changed, tool.PAGES[page]) == text


def test_the_readme_says_what_the_file_of_the_digits_says():
    frame = pd.read_csv(tool.DIGITS, dtype={"labels_per_class": str})
    byol = frame[frame.notebook.str.startswith("03") & (frame.method == "BYOL")
                 & (frame.protocol == "linear probe") & (frame.metric == "test accuracy")]
    line = next(line for line in TEXTS["README.md"].splitlines()
                if line.startswith("| BYOL, linear probe |"))
    means = [float(cell.split("±")[0]) for cell in line.split("|")[2:-1]]
    assert means == pytest.approx(100 * byol["mean"], abs=0.051)


@pytest.mark.parametrize("name", MEASURED)
def test_no_measured_number_is_typed_between_the_marked_parts(name):
    prose = re.sub(r"<!-- ([\w-]+) -->.*?<!-- /\1 -->", "", TEXTS[name], flags=re.DOTALL)
    prose = re.sub(r"```.*?```|!?\[.*?\]\(.*?\)|`[^`]*`|Python 3\.\d+|95 %", "", prose,
                   flags=re.DOTALL)
    assert NUMBERS.findall(prose) == []


def test_a_page_without_its_marks_is_refused():
    with pytest.raises(UserError, match="<!-- noise -->"):
        tool.written("# Nothing\n", {"noise": lambda: ""})


def test_new_results_are_kept_as_they_were_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "DIGITS", tmp_path / "kept.csv")
    own = "03,digits,quick,BYOL,0.9680\n"
    (tmp_path / "summary.csv").write_text("notebook,dataset,preset,method,mean\n"
                                          f"{own}03,stl10,full,BYOL,0.5\n")
    tool.take(tmp_path / "summary.csv")
    assert tool.DIGITS.read_text().splitlines(keepends=True)[1:] == [own]
    with pytest.raises(UserError, match="run the notebooks first"):
        tool.take(tmp_path / "none.csv")


def test_of_several_runs_the_latest_is_kept_without_its_marks(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "DIGITS", tmp_path / "kept.csv")
    for seed in (1, 0):
        row = dict(method="BYOL", metric="test accuracy", mean=0.9 + seed / 100)
        run = SimpleNamespace(dataset="digits", preset="quick", seed=seed, changed="")
        record(tmp_path, "03", [row], run)
    tool.take(tmp_path / "summary.csv")
    header, *rows = tool.DIGITS.read_text().splitlines()
    assert header == ",".join(FIRST_COLUMNS)
    assert len(rows) == 1 and "0.9000" in rows[0]


def test_the_figures_are_drawn(tmp_path):
    tool.figures(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few_labels.png", "noise.png"]


def test_the_command_line_checks_and_refuses(monkeypatch, capsys):
    assert tool.main(["--check"]) == 0
    monkeypatch.setattr(tool, "differing", lambda: {README: "other"})
    assert tool.main(["--check"]) == 1 and "README.md" in capsys.readouterr().out
    assert tool.main(["none.csv"]) == 2 and capsys.readouterr().err.startswith("error: ")


def test_the_readme_fits_on_a_few_screens():
    assert len(TEXTS["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("name", NAMES)
def test_links_of_a_page_lead_somewhere(name):
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", NAMES)
def test_files_that_a_page_names_exist(name):
    named = re.findall(r"`((?:helpers|scripts|benchmarks|tests|docs)/[\w/.-]+)`", TEXTS[name])
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_is_named_in_the_readme():
    for name in NAMES:
        if name.startswith("docs/"):
            assert f"]({name}" in TEXTS["README.md"]


def test_the_rooms_that_the_pages_list_are_the_packages():
    rooms = {path.parent.name for path in (ROOT / "helpers").glob("*/__init__.py")}
    table = TEXTS["docs/development.md"].split("## How it is built")[1]
    assert set(re.findall(r"^\| `(\w+)/` \|", table, re.MULTILINE)) == rooms
