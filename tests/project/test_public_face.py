"""What a visitor of the repository meets: workflows, forms, versions, and what pip is told."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import helpers

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/**/*.yml")), ids=lambda path: path.name)
def test_forms_and_workflows_can_be_read(path):
    assert yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_workflow_runs_the_check_of_the_repository():
    steps = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text())["jobs"]["check"]
    assert [step["run"] for step in steps["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/workflows/*.yml")),
                         ids=lambda path: path.stem)
def test_what_a_workflow_names_is_there(path):
    flow = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    commands = "\n".join(step["run"] for step in steps if "run" in step)
    modules = re.findall(r"python -m ((?:scripts|helpers)[\w.]*)", commands)
    files = re.findall(r"-[rc] (\S+)|(\.ci/\S+)", commands)
    watched = flow[True].get("push", {}).get("paths", [])  # "on" reads as True
    names = [f"{module.replace('.', '/')}.py" for module in modules]
    names += [name for pair in files for name in pair if name]
    names += [name.removesuffix("/**") for name in watched]
    assert names and [name for name in names if not (ROOT / name).exists()] == []
    assert all("@v" in step["uses"] for step in steps if "uses" in step)
    cached = [step["with"].get("cache-dependency-path") for step in steps if "with" in step]
    assert all(list(ROOT.glob(pattern)) for pattern in cached if pattern)


def test_the_gallery_needs_only_what_its_workflow_installs():
    flow = yaml.safe_load((ROOT / ".github/workflows/pages.yml").read_text())
    commands = " ".join(step.get("run", "") for step in flow["jobs"]["pages"]["steps"])
    said = re.search(r"pip install (.*?) -c", commands)[1].split()
    assert {"nbconvert", "pillow", "tqdm"} == set(said)
    missing = ("torch", "torchvision", "numpy", "pandas", "scipy", "matplotlib", "sklearn",
               "psutil", "ipywidgets", "pytorch_lightning")
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); import scripts.gallery"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_container_for_editors_installs_what_make_installs():
    described = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    target = described["postCreateCommand"].removeprefix("make ")
    assert f"{target.replace('.venv', '$(VENV)')}:" in (ROOT / "Makefile").read_text()


def test_one_version_stands_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = re.search(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert project["version"] == helpers.__version__ == newest


def test_pip_is_told_in_one_line_that_this_is_not_for_it(monkeypatch):
    system = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    monkeypatch.syspath_prepend(ROOT / system["backend-path"][0])
    backend = __import__(system["build-backend"])
    for hook in ("get_requires_for_build_wheel", "build_wheel", "build_editable", "build_sdist"):
        with pytest.raises(SystemExit, match="^error: .*requirements.txt.*") as said:
            getattr(backend, hook)()
        assert "\n" not in said.value.code
    del sys.modules[system["build-backend"]]
