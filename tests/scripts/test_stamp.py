import json
import re
import shutil

import nbformat
import pytest
import yaml

from helpers.common.errors import UserError
from helpers.report import times
from scripts import stamp as tool
from scripts.times import keep_times

OLD = "https://github.com/few-labels/few-labels"
NEW = "https://github.com/somebody/a-fork"


@pytest.fixture
def root(tmp_path):
    """A small repository: pyproject, one notebook that carries outputs, a README."""
    (tmp_path / "notebooks").mkdir()
    project = f'[project]\nname = "x"\n\n[project.urls]\nRepository = "{OLD}"\n'
    (tmp_path / "pyproject.toml").write_text(project)
    cell = nbformat.v4.new_code_cell
    image = nbformat.v4.new_output("display_data", {"text/plain": "ünïcode"})
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# 1. A first look\n\nProse.", id="01-000"),
               cell("anything", id="01-001", metadata={"tags": ["setup"]}),
               cell("print('ü')", id="01-002", outputs=[image], execution_count=7)],
        metadata={"custom": {"kept": [1, 2]}})
    path = tmp_path / "notebooks" / "01_first_look.ipynb"
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (tmp_path / "README.md").write_text(
        "# X\n<!-- notebooks -->\nstale\n<!-- /notebooks -->\n"
        "```\ngit clone https://github.com/else/where\ncd where\n```\nThe end.\n")
    return tmp_path


def notebook_of(root):
    return json.loads((root / "notebooks" / "01_first_look.ipynb").read_text(encoding="utf-8"))


def test_stamping_writes_badge_and_setup_cell(root):
    assert tool.stamp(root) == ["notebooks/01_first_look.ipynb", "README.md"]
    title, setup, _ = notebook_of(root)["cells"]
    name = "01_first_look.ipynb"
    line = f"{tool.badge(name, OLD)} · {tool.with_outputs(name, OLD)}"
    assert "".join(title["source"]).splitlines() == ["# 1. A first look", "", line, "", "Prose."]
    assert "".join(setup["source"]) == tool.setup_source(OLD, "01")
    assert tool.setup_source(OLD, "01").endswith('prepare("01")')


def test_the_badge_opens_the_notebook_of_the_main_branch_in_colab():
    assert tool.badge("01_a.ipynb", OLD).endswith(
        "(https://colab.research.google.com/github/few-labels/few-labels/blob/main/notebooks/"
        "01_a.ipynb)")


def test_stamping_twice_changes_nothing_more(root):
    tool.stamp(root)
    before = {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
    assert tool.stamp(root) == []
    assert before == {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}


def test_everything_else_of_a_notebook_stays(root):
    before = notebook_of(root)
    tool.stamp(root)
    after = notebook_of(root)
    assert after["cells"][2] == before["cells"][2]
    assert [cell["id"] for cell in after["cells"]] == ["01-000", "01-001", "01-002"]
    assert {key: after[key] for key in after if key != "cells"} == {
        key: before[key] for key in before if key != "cells"}
    text = (root / "notebooks" / "01_first_look.ipynb").read_text(encoding="utf-8")
    assert text.startswith('{\n "')
    assert text.endswith("}\n")
    assert "ünïcode" in text
    nbformat.validate(nbformat.from_dict(after))


def test_check_names_what_differs_and_writes_nothing(root):
    before = notebook_of(root)
    assert tool.stamp(root, check=True) == ["notebooks/01_first_look.ipynb", "README.md"]
    assert notebook_of(root) == before
    tool.stamp(root)
    assert tool.stamp(root, check=True) == []


def test_an_image_follows_the_address_and_those_of_others_stay(root):
    tool.stamp(root)
    raw = "https://raw.githubusercontent.com/{}/main/images/a.svg?sanitize=true"
    others = "![d](https://example.org/images/d.png)"
    says(root, f"![A (b)]({raw.format('few-labels/few-labels')}) {others}")
    tool.write_address(NEW, root)
    for _ in range(2):
        tool.stamp(root)
        assert "".join(notebook_of(root)["cells"][0]["source"]).splitlines()[-1] == (
            f"![A (b)]({raw.format('somebody/a-fork')}) {others}")
    assert tool.stamp(root, check=True) == []


def test_the_citation_gets_the_address_and_keeps_the_rest(root):
    path = root / "CITATION.cff"
    path.write_text('title: "x"\nrepository-code: "https://github.com/else/where"\nlicense: MIT\n')
    assert "CITATION.cff" in tool.stamp(root)
    assert path.read_text() == f'title: "x"\nrepository-code: "{OLD}"\nlicense: MIT\n'


def test_a_new_address_reaches_every_place(root):
    tool.stamp(root)
    tool.write_address(NEW + ".git/", root)
    assert tool.read_address(root) == NEW
    tool.stamp(root)
    for name in ("notebooks/01_first_look.ipynb", "README.md", "pyproject.toml"):
        text = (root / name).read_text(encoding="utf-8")
        assert "somebody/a-fork" in text
        assert "few-labels" not in text


def test_a_link_to_the_repository_follows_it_and_one_to_a_neighbour_stays(root):
    tool.stamp(root)
    says(root, f"See {OLD}#here, {OLD}. And {OLD}-2.")
    tool.write_address(NEW, root)
    tool.stamp(root)
    assert "".join(notebook_of(root)["cells"][0]["source"]).splitlines()[-1] == (
        f"See {NEW}#here, {NEW}. And {OLD}-2.")


def test_the_readme_gets_its_table_and_its_clone_line_and_keeps_the_rest(root):
    tool.stamp(root)
    text = (root / "README.md").read_text()
    assert "| [1. A first look](notebooks/01_first_look.ipynb) | [![Open in Colab]" in text
    assert "stale" not in text
    assert f"git clone {OLD}\ncd few-labels\n" in text
    assert text.startswith("# X\n")
    assert text.endswith("```\nThe end.\n")


INTEL = times.Time("01_first_look", 73.2, "quick", "digits", "cpu",
                   "Intel(R) Xeon(R) Processor, amx_bf16", 2, "2.11.0")
NOT_MEASURED = "**Time** not measured yet"
T4 = tool.in_words(tool.plan.plan("01", tool.plan.settings_of("t4"),
                                  tool.plan.MACHINES["t4"]).seconds)
ESTIMATED = f"**Time** about {T4} on Colab's T4 (estimated), "


def measure(root, *rows):
    keep_times([INTEL._replace(**row) for row in rows], root)


def table_of(root):
    """The cells of the README's table after stamping, without the badges."""
    tool.stamp(root)
    block = re.search(r"<!-- notebooks -->\n(.*)<!-- /notebooks", (root / "README.md").read_text(),
                      re.DOTALL)
    return [[cell.strip() for cell in re.sub(r"\[!.*?\)\]\(.*?\)", "", line).split("|")[1:-1]]
            for line in block[1].splitlines()]


def copy_of(root):
    """An executed copy of the notebook, as it is kept."""
    path = root / "docs" / "executed" / "01_first_look.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text((root / "notebooks" / path.name).read_text(encoding="utf-8"), encoding="utf-8")
    return path


def says(root, words):
    """Add a paragraph to the notebook's first cell."""
    path = root / "notebooks" / "01_first_look.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("Prose.", f"Prose.\\n\\n{words}"),
                    encoding="utf-8")


def time_line(path):
    source = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    return next(line for line in source.splitlines() if line.startswith("**Time**"))


def test_without_times_and_copies_the_table_has_neither(root):
    assert table_of(root) == [["read it", "run it", "time"], ["---"] * 3,
                              ["[1. A first look](notebooks/01_first_look.ipynb)", "", ""]]


def test_the_table_has_copies_times_and_a_sum(root):
    copy_of(root)
    measure(root, {}, dict(cores=16, seconds=21))
    assert [[row[0], row[-1]] for row in table_of(root)[2:]] == [
        ["[1. A first look](docs/executed/01_first_look.ipynb)", "70 seconds"],
        ["all, one after the other", "70 seconds"]]


def test_a_time_of_other_sizes_or_of_a_gpu_is_not_the_usual_one(root):
    measure(root, dict(device="cuda", seconds=9), dict(preset="full"))
    assert [row[2] for row in table_of(root)[2:]] == [""]


def test_a_sum_needs_every_notebook(root):
    measure(root, dict(notebook="02_other"))
    assert [row[2] for row in table_of(root)[2:]] == [""]


def test_the_first_cell_gets_the_measured_time_and_keeps_what_follows(root):
    path = root / "notebooks" / "01_first_look.ipynb"
    says(root, f"{NOT_MEASURED}, once 02 has run (before it: longer).")
    tool.stamp(root)
    assert time_line(path) == f"{ESTIMATED}not measured yet, once 02 has run (before it: longer)."
    measure(root, {})
    for _ in range(2):
        tool.stamp(root)
        assert time_line(path) == (
            f"{ESTIMATED}about 70 seconds on 2 CPU cores with the embedded digits (measured), once "
            "02 has run (before it: longer).")


def test_a_second_run_on_the_same_machine_changes_no_text(root):
    says(root, f"{NOT_MEASURED}.")
    measure(root, dict(seconds=68))
    tool.stamp(root)
    measure(root, dict(seconds=73.9))
    assert tool.stamp(root, check=True) == []


def test_a_copy_gets_the_prose_and_keeps_the_code_that_ran(root):
    says(root, f"{NOT_MEASURED}.")
    path = copy_of(root)
    measure(root, {})
    before = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert "docs/executed/01_first_look.ipynb" in tool.stamp(root)
    assert time_line(path) == time_line(root / "notebooks" / path.name) != f"{NOT_MEASURED}."
    assert json.loads(path.read_text(encoding="utf-8"))["cells"][1:] == before[1:]
    assert tool.stamp(root, check=True) == []


def test_a_copy_follows_every_new_address(root):
    tool.stamp(root)
    path = copy_of(root)
    for address in (NEW, OLD, NEW):
        tool.write_address(address, root)
        tool.stamp(root)
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
        assert tool.badge(path.name, address) in "".join(first["source"])


@pytest.mark.parametrize("bad", [
    "few-labels", "https://example.org/a/b", "https://github.com/only-owner",
    'https://github.com/a/b"\nx = "'
])
def test_an_address_that_is_no_repository_is_refused(root, bad):
    before = (root / "pyproject.toml").read_text()
    with pytest.raises(UserError, match="OWNER/NAME"):
        tool.write_address(bad, root)
    assert (root / "pyproject.toml").read_text() == before


def test_a_notebook_without_a_setup_cell_is_named(root):
    path = root / "notebooks" / "01_first_look.ipynb"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"setup"', '"other"'), encoding="utf-8")
    with pytest.raises(UserError, match=r"01_first_look\.ipynb.*setup"):
        tool.stamp(root)


def test_the_setup_cell_is_short_asks_no_shell_and_compiles():
    source = tool.setup_source(OLD)
    assert len(source.splitlines()) <= 25 and "shell" not in source
    assert "getoutput" not in source and "os.system" not in source
    compile(source, "setup", "exec")


def test_the_command_line_exits_with_1_when_something_differs(root, monkeypatch, capsys):
    monkeypatch.setattr(tool, "stamp", lambda check=False: ["notebooks/01_a.ipynb"])
    assert tool.main(["--check"]) == 1
    assert "notebooks/01_a.ipynb" in capsys.readouterr().out
    monkeypatch.setattr(tool, "stamp", lambda check=False: [])
    assert tool.main(["--check"]) == 0
    assert tool.main(["no address"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_this_repository_is_stamped():
    assert tool.stamp(check=True) == []


@pytest.mark.parametrize("path", sorted((tool.ROOT / "notebooks").glob("*.ipynb")),
                         ids=lambda path: path.stem)
def test_every_first_cell_says_how_long_it_takes_in_words_that_are_measured(path):
    assert tool.TIME.match(time_line(path))


def test_a_notebook_fetches_no_image_but_its_badge():
    for path in (tool.ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            targets = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", "".join(cell["source"]))
            assert set(targets) <= {f"{tool.COLAB}/assets/colab-badge.svg"}


def test_the_citation_is_whole():
    citation = yaml.safe_load((tool.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == tool.read_address()
    # what the format asks for
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["authors"] == [{"name": "The Few Labels authors"}]


def test_a_fork_stamps_every_notebook_of_this_repository(tmp_path):
    for name in ("notebooks", "pyproject.toml", "README.md", "CITATION.cff"):
        source = tool.ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        elif source.exists():
            shutil.copy(source, tmp_path / name)
    tool.write_address(NEW, tmp_path)
    tool.stamp(tmp_path)
    for path in (tmp_path / "notebooks").glob("*.ipynb"):
        assert OLD not in path.read_text(encoding="utf-8"), path.name
    assert tool.stamp(tmp_path, check=True) == []
