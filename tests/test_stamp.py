import json
import re
import shutil

import nbformat
import pytest
import yaml

from helpers.errors import UserError
from helpers.tools import stamp as tool

OLD = "https://github.com/few-labels/few-labels"
NEW = "https://github.com/somebody/a-fork"


@pytest.fixture
def root(tmp_path):
    """A small repository: pyproject, one notebook that carries outputs, a README."""
    (tmp_path / "notebooks").mkdir()
    project = f'[project]\nname = "x"\n\n[project.urls]\nRepository = "{OLD}"\n'
    (tmp_path / "pyproject.toml").write_text(project)
    cell = nbformat.v4.new_code_cell
    picture = nbformat.v4.new_output("display_data", {"text/plain": "ünïcode"})
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# 1. A first look\n\nProse.", id="01-000"),
               cell("anything", id="01-001", metadata={"tags": ["setup"]}),
               cell("print('ü')", id="01-002", outputs=[picture], execution_count=7)],
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
    assert "".join(title["source"]).splitlines() == ["# 1. A first look", "", tool.badge(
        "01_first_look.ipynb", OLD), "", "Prose."]
    assert "".join(setup["source"]) == tool.setup_source(OLD)


def test_the_badge_opens_the_notebook_of_the_main_branch_in_colab():
    assert tool.badge("01_a.ipynb", OLD).endswith(
        "(https://colab.research.google.com/github/few-labels/few-labels/blob/main/notebooks/01_a.ipynb)")


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


def test_a_picture_gets_the_address_it_has_for_those_who_opened_the_notebook_alone(root):
    path = root / "notebooks" / "01_first_look.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("Prose.", "![A (b)](images/a.svg) ![c](../images/c.png) "
                                                          "![d](https://example.org/images/d.png)"),
                    encoding="utf-8")
    for _ in range(2):
        tool.stamp(root)
        assert "".join(notebook_of(root)["cells"][0]["source"]).splitlines()[-1] == (
            "![A (b)](https://raw.githubusercontent.com/few-labels/few-labels/main/images/a.svg?sanitize=true) "
            "![c](https://raw.githubusercontent.com/few-labels/few-labels/main/images/c.png) "
            "![d](https://example.org/images/d.png)")
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


def test_the_readme_gets_its_table_and_its_clone_line_and_keeps_the_rest(root):
    tool.stamp(root)
    text = (root / "README.md").read_text()
    assert "| [01_first_look.ipynb](notebooks/01_first_look.ipynb) | A first look | [![Open in Colab]" in text
    assert "stale" not in text
    assert f"git clone {OLD}\ncd few-labels\n" in text
    assert text.startswith("# X\n")
    assert text.endswith("```\nThe end.\n")


def test_the_readme_links_executed_copies_with_the_time_they_took(root):
    path = root / "docs" / "executed" / "01_first_look.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"metadata": {"few_labels": {"seconds": 75, "cores": 2}}, "cells": []}))
    tool.stamp(root)
    assert "[1:15, 2 cores](docs/executed/01_first_look.ipynb) |\n" in (root / "README.md").read_text()


@pytest.mark.parametrize("bad", ["few-labels", "https://example.org/a/b", "https://github.com/only-owner",
                                 'https://github.com/a/b"\nx = "'])
def test_an_address_that_is_no_repository_is_refused(root, bad):
    before = (root / "pyproject.toml").read_text()
    with pytest.raises(UserError, match="OWNER/NAME"):
        tool.write_address(bad, root)
    assert (root / "pyproject.toml").read_text() == before


def test_a_notebook_without_a_setup_cell_is_named(root):
    path = root / "notebooks" / "01_first_look.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace('"setup"', '"other"'), encoding="utf-8")
    with pytest.raises(UserError, match=r"01_first_look\.ipynb.*setup"):
        tool.stamp(root)


def test_the_setup_cell_is_short_and_compiles():
    source = tool.setup_source(OLD)
    assert len(source.splitlines()) <= 20
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


def test_pictures_of_the_notebooks_exist_and_the_citation_is_whole():
    text = "".join(path.read_text(encoding="utf-8") for path in (tool.ROOT / "notebooks").glob("*.ipynb"))
    names = re.findall(r"raw\.githubusercontent\.com/[\w./-]+/images/([\w.-]+)", text)
    assert names and all((tool.ROOT / "images" / name).exists() for name in names)
    citation = yaml.safe_load((tool.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == tool.read_address()
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # what the format asks for
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
