"""Make an environment with certain versions, and find out whether everything works there.

    python3.13 tests/colab/check.py colab      what Colab has (`make colab-check`)
    python3.11 tests/colab/check.py lowest     the lowest of requirements.txt (`make lowest-check`)

Each finding is one line. The exit status is 1 when something failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from environment import ROOT, Environment, Failed, canonical, pins, replaced
from forms import problems

HERE = Path(__file__).resolve().parent
COLAB, LOWEST = HERE / "constraints.txt", HERE / "lowest.txt"
REQUIREMENTS, EXTRA = ROOT / "requirements.txt", ROOT / "requirements-extra.txt"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
CONTENT = Path("/content")  # where a notebook starts on Colab
# The tests of the rooms that call the libraries whose versions are in question.
ROOMS = ("common", "transforms", "models", "data", "methods", "evaluation", "training", "report")
Check = Callable[[], str]


class Skipped(Exception):
    """Something cannot be checked on this machine; the text says why."""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=("colab", "lowest"))
    parser.add_argument("--preset", default="smoke", help="of the notebooks; default: smoke")
    parser.add_argument("--only", nargs="+", metavar="NN", help="only these notebooks")
    options = parser.parse_args(arguments)
    paths = [path for path in NOTEBOOKS if options.only is None or path.name[:2] in options.only]
    checks = {"colab": colab, "lowest": lowest}[options.which]
    failed = []
    for subject, check in checks(paths, options.preset):
        if not look(subject, check):
            failed.append(subject)
            if subject == "environment":
                break
    print(f"\n{'everything works' if not failed else 'failed: ' + ', '.join(failed)}")
    return 1 if failed else 0


def look(subject: str, check: Check) -> bool:
    """Make one check and print its line; returns whether it went well."""
    began = time.perf_counter()
    try:
        status, said = "ok", check()
    except Skipped as why:
        status, said = "skipped", str(why)
    except Failed as problem:
        status, said = "FAILED", str(problem)
    print(f"{status:<7} {subject:<32} {time.perf_counter() - began:>4.0f} s  {said}", flush=True)
    return status != "FAILED"


def colab(paths: list[Path], preset: str) -> Iterator[tuple[str, Check]]:
    """What is looked at in Colab's environment."""
    here = Environment(ROOT / ".venv-colab",
                       {"MPLBACKEND": "module://matplotlib_inline.backend_inline"})
    yield "environment", partial(like_colab, here)
    yield "pip install -r requirements.txt", partial(plain_pip, here)
    yield "Colab's versions", partial(kept, here)
    yield from everywhere(here, paths, preset)
    for path in paths:
        yield f"form fields of {path.stem}", partial(form, path)
    yield "optional packages", partial(optional, here)
    if "11" in {path.name[:2] for path in paths}:
        yield "11 with optuna", partial(notebook, here, "11", preset)
    yield "what a T4 would be given", partial(on_a_t4, here)
    yield "02 alone, runs on Drive", partial(alone, here)
    yield "03 alone, an uploaded encoder", partial(uploaded, here)


def lowest(paths: list[Path], preset: str) -> Iterator[tuple[str, Check]]:
    """What is looked at in the environment of the lowest versions."""
    here = Environment(ROOT / ".venv-lowest")
    yield "environment", partial(like_lowest, here)
    yield from everywhere(here, paths, preset)
    yield "tests", partial(tests, here)


def everywhere(here: Environment, paths: list[Path], preset: str) -> Iterator[tuple[str, Check]]:
    """What has to work with any versions."""
    yield "no conflicts (pip check)", lambda: here.pip("check").strip()
    yield "python -m helpers doctor", partial(doctor, here)
    for path in paths:
        yield path.stem, partial(notebook, here, path.name[:2], preset)


def like_colab(here: Environment) -> str:
    """Colab's versions and a stand-in for its own package; then the packages that the first cell
    adds."""
    recipe = "".join(path.read_text(encoding="utf-8") for path in (COLAB, REQUIREMENTS))
    if here.ready(recipe):
        added = here.versions().keys() - _state(here)["after"].keys()  # by an earlier check
        if added:
            here.pip("uninstall", "--yes", *added)
        return "made before"
    here.make("-r", str(COLAB))
    stand_in(here)
    state = {"before": here.versions(), "plan": planned(here.pip(
        "install", "--quiet", "--dry-run", "--report", "-", "-r", str(REQUIREMENTS)))}
    said = here.run(
        "-c", "from pathlib import Path; from helpers.common.environment import install_missing; "
        "install_missing(Path('requirements.txt'))").strip()
    state["after"] = here.versions()
    (here.folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    here.remember(recipe)
    return said


def stand_in(here: Environment) -> None:
    """Put our `google.colab` among the packages; kernels load it when they start, as on Colab."""
    packages = Path(
        here.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    shutil.copytree(HERE / "stand_in" / "google", packages / "google", dirs_exist_ok=True)
    settings = here.folder / "etc" / "ipython" / "ipython_config.py"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("c.InteractiveShellApp.extensions = ['google.colab']\n", encoding="utf-8")


def planned(report: str) -> dict[str, str]:
    """Package -> version of what a `pip install --dry-run --report -` would install."""
    return {canonical(item["metadata"]["name"]): item["metadata"]["version"]
            for item in json.loads(report)["install"]}


def plain_pip(here: Environment) -> str:
    """What pip would do to Colab if nobody told it to keep what is there."""
    state = _state(here)
    changed = replaced(state["before"], state["before"] | state["plan"])
    if changed:
        raise Failed("replaces " + ", ".join(changed))
    return f"adds {len(state['plan'])} packages and replaces none"


def kept(here: Environment) -> str:
    """Whether everything that was there before the first cell is still there."""
    before, after = _state(here)["before"], here.versions()
    changed = replaced(before, after) + replaced(pins(COLAB), before)
    if changed:
        raise Failed("changed: " + ", ".join(changed))
    return f"{len(pins(COLAB))} pinned, {len(before)} in all, none replaced"


def like_lowest(here: Environment) -> str:
    """The lowest versions that requirements.txt allows, with those of the packages they need."""
    recipe = "".join(path.read_text(encoding="utf-8") for path in (LOWEST, REQUIREMENTS, EXTRA))
    if not here.ready(recipe):
        here.make("-r", str(REQUIREMENTS), "-r", str(EXTRA), "pytest", "hypothesis", "timm",
                  "-c", str(LOWEST))
        here.remember(recipe)
    changed = replaced(pins(LOWEST), here.versions())
    if changed:
        raise Failed("not as in lowest.txt: " + ", ".join(changed))
    return f"{len(pins(LOWEST))} packages as in lowest.txt"


def doctor(here: Environment) -> str:
    """The doctor's own words; what it marks with "!" about the packages is a failure."""
    said = here.run("-m", "helpers", "doctor")
    marked = [
        line.strip()
        for line in said.splitlines()
        if "! " in line and ("missing" in line or "older" in line)
    ]
    if marked:
        raise Failed("; ".join(marked))
    return said.splitlines()[0]


def notebook(here: Environment, number: str, preset: str) -> str:
    """One notebook from the repository's folder, after those before it."""
    here.run("-m", "helpers", "run", "--only", number, "--preset", preset, "--dataset", "digits",
             "--out", str(here.out / "results"), FEWLABELS_RUN_DIR=str(here.out / "runs"))
    return f"ran with preset {preset}"


def form(path: Path) -> str:
    """Whether Colab can make a form of the notebook's parameters."""
    found = problems(path)
    if found:
        raise Failed("; ".join(found))
    return "all can be shown"


def optional(here: Environment) -> str:
    """Single notebooks' packages, which must not replace anything either."""
    here.pip("install", "--quiet", "-r", str(EXTRA))
    return kept(here)


def tests(here: Environment) -> str:
    """The parts of the test suite that call the libraries in question."""
    paths = [f"tests/{room}" for room in ROOMS]
    said = here.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *paths)
    return said.strip().splitlines()[-1].strip("= ")


def on_a_t4(here: Environment) -> str:
    """What the first cell says where torch says that a GPU is there, and a network is."""
    said = here.run(
        "-c", "from helpers.common import environment, machine; machine.has_cuda = lambda: True; "
        "environment.has_network = lambda: True; from helpers.notebook import prepare; "
        "prepare('03')")
    line = " ".join(said[said.rindex("Plan of"):].split())  # it is wrapped
    if "dataset imagenette at 48 pixels, preset gpu" not in line or "released byol" not in line:
        raise Failed(f"another plan: {line}")
    return line


def alone(here: Environment) -> str:
    """Notebook 02 as its badge opens it, with its checkpoints on the person's Drive."""
    drive = CONTENT / "drive" / "MyDrive" / "few-labels"
    with content():
        lone_notebook(here, "02", {"SAVE_TO_DRIVE": "True"})
        found = sorted(path.name for path in drive.rglob("*.safetensors"))
    if not found:
        raise Failed(f"ran, but no encoder is in {drive}")
    return f"fetched the repository, mounted Drive, kept {', '.join(found)} there"


def uploaded(here: Environment) -> str:
    """Notebook 03 as its badge opens it, with an encoder that the person uploads."""
    file = ROOT / "weights" / "byol-slim-digits.safetensors"
    with content():
        lone_notebook(here, "03", {"WEIGHTS": "file"}, UPLOADED_FILE=str(file))
    return f"went on with {file.name}"


def lone_notebook(here: Environment, number: str, parameters: dict[str, str],
                  **variables: str) -> None:
    """Execute a notebook in /content; what it clones from GitHub is the last commit of this
    repository.

    Raises:
        Skipped: this copy of the repository has no commits.
        Failed: the notebook stopped.
    """
    if not (ROOT / ".git").exists():
        raise Skipped("this copy of the repository has no commits to fetch")
    address = tomllib.loads(
        (ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
    given = {"PRESET": "smoke", "DATASET": "digits"} | parameters
    here.run("-m", "papermill", str(path), str(here.out / f"{number}-alone.ipynb"), "--kernel",
             "python3", "--no-progress-bar",
             *(word for name, value in given.items() for word in ("-p", name, value)), cwd=CONTENT,
             GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0=f"url.{ROOT.as_uri()}.insteadOf",
             GIT_CONFIG_VALUE_0=address, **variables)


@contextmanager
def content() -> Iterator[None]:
    """An empty /content, which is gone afterwards.

    Raises:
        Skipped: it is there already, or cannot be made.
    """
    try:
        CONTENT.mkdir()
    except OSError as error:
        raise Skipped(f"no {CONTENT} can be made here: {error.strerror}") from None
    try:
        yield
    finally:
        shutil.rmtree(CONTENT)


def _state(here: Environment) -> dict[str, dict[str, str]]:
    return json.loads((here.folder / "state.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
