"""Virtual environments with chosen versions, and programs run in them. Only the standard library
is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Failed(Exception):
    """Something that was checked does not hold; the text says what, in one line."""


class Environment:
    """A virtual environment and a folder in it for what the checks write.

    Args:
        folder: where it is, or will be.
        variables: environment variables of everything that is run in it.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self.folder, self.out = folder, folder / "check"
        self.python = folder / "bin" / "python"
        self.variables = dict(variables or {})

    def ready(self, recipe: str) -> bool:
        """Whether it was made from this recipe, by this Python; what earlier checks wrote is
        removed."""
        shutil.rmtree(self.out, ignore_errors=True)
        made = self.folder / "recipe.txt"
        return made.exists() and made.read_text(encoding="utf-8") == f"{sys.version}\n{recipe}"

    def make(self, *arguments: str) -> None:
        """Make it anew with `pip install ARGUMENTS`; call `remember` when nothing is left to do.

        Raises:
            Failed: pip could not install them.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        venv.create(self.folder, symlinks=True, with_pip=True)
        self.pip("install", *arguments)

    def remember(self, recipe: str) -> None:
        """From now on it is `ready` for this recipe."""
        (self.folder / "recipe.txt").write_text(f"{sys.version}\n{recipe}", encoding="utf-8")

    def pip(self, *arguments: str) -> str:
        """What `pip ARGUMENTS` printed."""
        return self.run("-m", "pip", "--disable-pip-version-check", *arguments)

    def versions(self) -> dict[str, str]:
        """Package name (small letters, hyphens) -> installed version."""
        found = json.loads(self.pip("list", "--format=json"))
        return {canonical(package["name"]): package["version"] for package in found}

    def run(self, *arguments: str, cwd: Path = ROOT, **variables: str) -> str:
        """What `python ARGUMENTS` printed; none of FEWLABELS_'s variables of this shell reaches it.

        Raises:
            Failed: its exit status is not 0.
        """
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("FEWLABELS_")
        }
        own = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "JUPYTER_PREFER_ENV_PATH": "1"
        }
        done = subprocess.run([str(self.python), *arguments], cwd=cwd,
                              env=inherited | own | self.variables | variables,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.out.mkdir(exist_ok=True)
        with (self.out / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"\n$ python {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        if done.returncode:
            raise Failed(reason(done.stdout, done.stderr) or f"exit status {done.returncode}")
        return done.stdout


def reason(printed: str, complained: str) -> str:
    """The last line that names an error, else the last line of all."""
    lines = [
        line.strip()
        for line in ANSI.sub("", f"{printed}\n{complained}").splitlines()
        if line.strip()
    ]
    errors = [
        line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception|FAILED)\b", line, re.I)
    ]
    return (errors or lines or [""])[-1]


def canonical(name: str) -> str:
    """A package's name as pip compares it: PyYAML is pyyaml, umap_learn is umap-learn."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    """The `name==version` lines of a constraints file, names as pip compares them."""
    found = re.findall(r"^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonical(name): version for name, version in found}


def replaced(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Every package whose version is no longer what it was, as "name old -> new"."""
    return [
        f"{name} {version} -> {after.get(name, 'gone')}" for name, version in sorted(before.items())
        if after.get(name) != version
    ]
