"""Write the repository's address and the measured times into notebooks, README and CITATION.cff.

    python -m scripts.stamp                  the address in pyproject.toml, everywhere
    python -m scripts.stamp ADDRESS          a new address: first into pyproject.toml
    python -m scripts.stamp --check          only say what differs; exit status 1 if something does

The address lives in `pyproject.toml` under `[project.urls] Repository` and nowhere else by hand:
a fork changes it with one command. The times are those of `benchmarks/results/times.csv`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from helpers.cli import plan
from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.report.times import Time, in_words, nearest, read_times
from scripts.fold import fold, is_folded, title_of
from scripts.times import USUAL

ADDRESS = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?/?")
COLAB = "https://colab.research.google.com"
BADGE = re.compile(rf"^\[!\[Open in Colab\]\(.*?\)\]\({COLAB}/github/(.*?)/blob/.*?\)"
                   r"(?: · \[with outputs\]\(.*?\))?$", re.M)
TIME = re.compile(r"^\*\*Time\*\* (?:about [^\n]*?\(estimated\), )?"
                  r"(?:not measured yet|about [^\n]*?\(measured[^)\n]*\))", re.M)
README_TABLE = re.compile(r"(<!-- notebooks -->\n).*?(<!-- /notebooks -->)", re.DOTALL)
SETUP = '''\
# Setup: finds the repository (fetches it where it is not, as on Colab) and adds missing packages.
import os
import subprocess
import sys
from pathlib import Path

address = "{address}"
copy = (Path("/content") if "google.colab" in sys.modules else Path.cwd()) / "{name}"
places = [Path.cwd(), *Path.cwd().parents]
root = next((place for place in places if (place / "helpers" / "notebook.py").exists()), copy)
if not (root / "helpers").exists():
    print(f"No repository around here: fetching {{address}} into {{copy.name}}/")
    clone = ["git", "clone", "--quiet", "--depth", "1", address, str(copy)]
    silent = {{**os.environ, "GIT_TERMINAL_PROMPT": "0"}}
    done = subprocess.run(clone, env=silent, capture_output=True, text=True)
    if done.returncode:
        why = " ".join(done.stderr.split())
        sys.exit(f"could not fetch {{address}}, check the network: {{why}}")
sys.path[:] = [str(root), *(path for path in sys.path if path != str(root))]
from helpers.notebook import prepare

prepare("{number}")'''


def read_address(root: Path = ROOT) -> str:
    """The repository's address from `pyproject.toml`."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["urls"]["Repository"]


def write_address(address: str, root: Path = ROOT) -> None:
    """Put a new address into `pyproject.toml`, leaving the rest of the file as it is.

    Raises:
        UserError: not the address of a GitHub repository (Colab opens notebooks from there only).
    """
    match = ADDRESS.fullmatch(address.strip())
    if not match:
        raise UserError(
            f"{address!r} is no repository address: write https://github.com/OWNER/NAME")
    path = root / "pyproject.toml"
    line = f'Repository = "https://github.com/{match[1]}/{match[2]}"'
    text = path.read_text(encoding="utf-8")
    write_atomically(path, re.sub(r'^Repository = ".*"$', line, text, count=1, flags=re.M))


def stamp(root: Path = ROOT, check: bool = False) -> list[str]:
    """Bring notebooks, executed copies, README and citation in line with address and times.

    Of a copy only the prose is written: its code stays what ran.

    Args:
        root: folder with `pyproject.toml`, `notebooks/`, `README.md` and `CITATION.cff`.
        check: only look, write nothing.

    Returns:
        the names of the files that differed.
    """
    address, rows = read_address(root), nearest(read_times(root), *USUAL, cores=2)
    times = {row.notebook: row for row in rows}
    wanted = {path: stamp_notebook(path, address, times)
              for folder in ("notebooks", "docs/executed")
              for path in sorted((root / folder).glob("*.ipynb"))}
    readme, citation = root / "README.md", root / "CITATION.cff"
    if readme.exists():
        notebooks = [path for path in wanted if path.parent.name == "notebooks"]
        wanted[readme] = stamp_readme(readme, notebooks, address, times)
    if citation.exists():
        wanted[citation] = re.sub(r"(?m)^repository-code: .*$", f'repository-code: "{address}"',
                                  citation.read_text(encoding="utf-8"))
    different = [path for path, text in wanted.items() if path.read_text(encoding="utf-8") != text]
    for path in different if not check else []:
        write_atomically(path, wanted[path])
    return [path.relative_to(root).as_posix() for path in different]


def stamp_notebook(path: Path, address: str, times: dict[str, Time]) -> str:
    """The notebook's JSON with badge, time, links and, unless it is a copy, setup cell anew.

    Raises:
        UserError: the notebook does not begin with prose, or has no cell tagged "setup".
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    first = notebook["cells"][0]
    setup = next((cell for cell in notebook["cells"]
                  if "setup" in cell["metadata"].get("tags", [])), None)
    if setup is None or first["cell_type"] != "markdown":
        raise UserError(
            f"{path.name}: begin it with a markdown cell, then a code cell tagged \"setup\"")
    source = "".join(first["source"])
    if not BADGE.search(source):
        title, _, rest = source.partition("\n")
        source = f"{title}\n\n{badge(path.name, address)}\n{rest}"
    line = f"{badge(path.name, address)} · {with_outputs(path.name, address)}"
    # in links and in the addresses of images
    old = re.compile(rf"(?<=/){re.escape(BADGE.search(source)[1])}(?![\w-]|\.\w)")
    source = BADGE.sub(lambda _: line, source, count=1)
    source = TIME.sub(time_sentence(path.stem, times.get(path.stem)), source)
    first["source"] = source.splitlines(keepends=True)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            prose = old.sub(repository(address), "".join(cell["source"]))
            cell["source"] = prose.splitlines(keepends=True)
    if path.parent.name == "notebooks":
        setup["source"] = setup_source(address, path.stem[:2]).splitlines(keepends=True)
        if is_folded(setup):
            fold(setup, title_of(setup))
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def stamp_readme(path: Path, notebooks: Sequence[Path], address: str, times: dict[str, Time]
                 ) -> str:
    """The README with its clone line and the table between its `<!-- notebooks -->` marks anew."""
    lines = ["| read it | run it | time |", "| --- | --- | --- |"]
    for notebook in notebooks:
        copy = Path("docs", "executed", notebook.name)
        shown = copy if (path.parent / copy).exists() else Path("notebooks", notebook.name)
        title = "".join(json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]["source"])
        title = title.splitlines()[0].lstrip("# ")
        time = in_words(times[notebook.stem].seconds) if notebook.stem in times else ""
        lines.append(f"| [{title}]({shown.as_posix()}) | {badge(notebook.name, address)} "
                     f"| {time} |")
    if times.keys() >= {notebook.stem for notebook in notebooks}:
        total = in_words(sum(row.seconds for row in times.values()))
        lines.append(f"| all, one after the other | | {total} |")
    table = "\n".join(lines)
    text = README_TABLE.sub(lambda match: f"{match[1]}{table}\n{match[2]}",
                            path.read_text(encoding="utf-8"))
    text = re.sub(r"https://github\.com/[\w.-]+/[\w.-]+(?=/actions/)", address, text)
    text = re.sub(rf"(?<={COLAB}/github/)[\w.-]+/[\w.-]+(?=/blob/)", repository(address), text)
    folder = address.rsplit("/", 1)[1]
    return re.sub(r"git clone https://github\.com/[\w./-]+(?:(\s+(?:&& )?cd )[\w.-]+)?",
                  lambda match: f"git clone {address}" + (match[1] + folder if match[1] else ""),
                  text)


def time_sentence(name: str, row: Time | None) -> str:
    """What the first cell of a notebook says of its time: on Colab's GPU, and on a CPU."""
    if name[:2] not in plan.WORK:  # a copy whose notebook is gone
        return "**Time** not measured yet"
    gpu = in_words(plan.plan(name[:2], plan.settings_of("t4"), plan.MACHINES["t4"]).seconds)
    said = f"**Time** about {gpu} on Colab's T4 (estimated), "
    if row is None:
        return f"{said}not measured yet"
    return (f"{said}about {in_words(row.seconds)} on {row.cores} CPU cores with the embedded "
            "digits (measured)")


def setup_source(address: str, number: str = "") -> str:
    """The code of the setup cell of the notebook of this number."""
    return SETUP.format(address=address, name=address.rsplit("/", 1)[1], number=number)


def badge(filename: str, address: str) -> str:
    """The "Open in Colab" badge of a notebook, as markdown."""
    return (f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]"
            f"({COLAB}/github/{repository(address)}/blob/main/notebooks/{filename})")


def with_outputs(filename: str, address: str) -> str:
    """A link to the executed copy of a notebook, as markdown."""
    return f"[with outputs]({address}/blob/main/docs/executed/{filename})"


def repository(address: str) -> str:
    """OWNER/NAME of an address."""
    return address.removeprefix("https://github.com/")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.stamp",
                                     description=__doc__.splitlines()[0])
    parser.add_argument("address", nargs="?", help="the new address, https://github.com/OWNER/NAME")
    parser.add_argument("--check", action="store_true",
                        help="change nothing, name what differs, exit with 1")
    options = parser.parse_args(arguments)
    try:
        if options.address and not options.check:
            write_address(options.address)
        names = stamp(check=options.check)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name in names:
        print(f"{name}: {'differs, run python -m scripts.stamp' if options.check else 'stamped'}")
    return int(options.check and bool(names))


if __name__ == "__main__":
    sys.exit(main())
