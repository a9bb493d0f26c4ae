"""Write the repository's address into every notebook, the README and CITATION.cff, and the measured
times with it.

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

from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.report import times
from helpers.report.times import Time

ADDRESS = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?/?")
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"
IMAGE = re.compile(
    r"(!\[[^\]]*\]\()(?:[./]*|https://raw\.githubusercontent\.com/[^)\s]*/)images/([\w.-]+)"
    r"(?:\?[\w=]*)?\)")
TIME = re.compile(r"^\*\*Time\*\* (?:not measured yet|about [^\n]*?\(measured;[^)\n]*\))",
                  re.MULTILINE)
README_BLOCK = re.compile(r"(<!-- notebooks -->\n).*?(<!-- /notebooks -->)", re.DOTALL)
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
    os.environ["GIT_TERMINAL_PROMPT"] = "0"
    failed, said = subprocess.getstatusoutput(f'git clone --quiet --depth 1 {{address}} "{{copy}}"')
    if failed:
        sys.exit(f"could not fetch {{address}}, check the network: {{said.splitlines()[-1]}}")
sys.path[:] = [str(root), *(path for path in sys.path if path != str(root))]
from helpers.notebook import prepare

prepare()'''


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
    text = re.sub(r'^Repository = ".*"$', line, path.read_text(encoding="utf-8"), count=1,
                  flags=re.MULTILINE)
    write_atomically(path, text)


def stamp(root: Path = ROOT, check: bool = False) -> list[str]:
    """Bring notebooks, their executed copies, README and citation in line with the address and the
    measured times.

    Of a copy only the prose is written: its code stays what ran. Returns the names of those that
        differed.

    Args:
        root: folder with `pyproject.toml`, `notebooks/` and perhaps `README.md` and `CITATION.cff`.
        check: only look, write nothing.
    """
    address, measured = read_address(root), times.read(root / times.PLACE)
    wanted = {path: stamp_notebook(path.read_text(encoding="utf-8"), path.name, address, measured)
              for path in sorted((root / "notebooks").glob("*.ipynb"))}
    titles = {path.name: _title(text) for path, text in wanted.items()}
    copies = sorted((root / "docs" / "executed").glob("*.ipynb"))
    wanted |= {
        path: stamp_prose(path.read_text(encoding="utf-8"), path.name, address, measured)
        for path in copies
    }
    readme = root / "README.md"
    if readme.exists():
        wanted[readme] = stamp_readme(readme.read_text(encoding="utf-8"), titles, address,
                                      [path.name for path in copies], measured)
    citation = root / "CITATION.cff"
    if citation.exists():
        wanted[citation] = re.sub(r'(?m)^repository-code: .*$', f'repository-code: "{address}"',
                                  citation.read_text(encoding="utf-8"))
    different = [path for path, text in wanted.items() if path.read_text(encoding="utf-8") != text]
    for path in different if not check else []:
        write_atomically(path, wanted[path])
    return [path.relative_to(root).as_posix() for path in different]


def stamp_notebook(text: str, filename: str, address: str, measured: Sequence[Time] = ()) -> str:
    """The notebook's JSON with its prose and its setup cell in line with the address and the
    measured times.

    Raises:
        UserError: the notebook does not begin with prose, or has no cell tagged "setup".
    """
    notebook = json.loads(stamp_prose(text, filename, address, measured))
    setup = _setup_cell(notebook)
    if setup is None or notebook["cells"][0]["cell_type"] != "markdown":
        raise UserError(
            f"{filename}: begin it with a markdown cell, then a code cell tagged \"setup\"")
    _set_source(setup, setup_source(address))
    return _as_json(notebook)


def stamp_prose(text: str, filename: str, address: str, measured: Sequence[Time] = ()) -> str:
    """The notebook's JSON with badge and time in its first cell, and links into the repository,
    written anew."""
    notebook = json.loads(text)
    old = re.search(r'^address = "(.+)"$', "".join((_setup_cell(notebook) or {}).get("source", "")),
                    re.MULTILINE)
    prose = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    for cell in prose[:1]:
        source = _with_badge("".join(cell["source"]), badge(filename, address))
        _set_source(cell, TIME.sub(times.sentence(measured, filename.removesuffix(".ipynb")),
                                   source))
    for cell in prose:
        if old:
            _set_source(
                cell, re.sub(rf"{re.escape(old[1])}(?![\w-]|\.\w)", address,
                             "".join(cell["source"])))
        _set_source(
            cell,
            IMAGE.sub(lambda link: f"{link[1]}{image(link[2], address)})", "".join(cell["source"])))
    return _as_json(notebook)


def _setup_cell(notebook: dict) -> dict | None:
    return next((cell for cell in notebook["cells"] if "setup" in cell["metadata"].get("tags", [])),
                None)


def _as_json(notebook: dict) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def stamp_readme(text: str, titles: dict[str, str], address: str, copies: Sequence[str] = (),
                 measured: Sequence[Time] = ()) -> str:
    """The README with the table between its `<!-- notebooks -->` marks and its clone line written
    anew.

    Args:
        titles: what the table says of each notebook, by file name.
        copies: file names of the notebooks that have an executed copy.
        measured: times, of which every machine gets a column.
    """
    machines = times.by_machine(measured)
    rows = [["notebook", "what it shows", "open it", *["with outputs"] * bool(copies), *machines]]
    rows.append(["---"] * len(rows[0]))
    for name, title in titles.items():
        link = [f"[outputs](docs/executed/{name})" if name in copies else ""] * bool(copies)
        rows.append([f"[{name}](notebooks/{name})", title, badge(name, address), *link,
                     *(_time_of(own, [name]) for own in machines.values())])
    if machines:
        rows.append(["all (`make run`)", "", "", *[""] * bool(copies),
                     *(_time_of(own, list(titles)) for own in machines.values())])
    table = "".join(f"| {' | '.join(cells)} |\n"
                    for cells in rows) + f"\n{_about_times(measured)}\n"
    text = README_BLOCK.sub(lambda match: match[1] + table + match[2], text)
    folder = address.rsplit("/", 1)[1]
    return re.sub(r"git clone https://github\.com/[\w./-]+(?:(\s+(?:&& )?cd )[\w.-]+)?",
                  lambda match: f"git clone {address}" + (match[1] + folder
                                                          if match[1] else ""), text)


def _time_of(rows: Sequence[Time], names: Sequence[str]) -> str:
    """The time of notebooks one after the other; nothing if one of them was not measured."""
    seconds = {f"{row.notebook}.ipynb": row.seconds for row in rows}
    return times.in_short(sum(seconds[name]
                              for name in names)) if names and seconds.keys() >= set(names) else ""


def _about_times(measured: Sequence[Time]) -> str:
    """What has to be known of the times in the table, and how to add to them."""
    said = (
        f"Times are measured (`{times.PLACE.as_posix()}`), with the digits at quick scale where "
        "the column says "
        "nothing else, and after the notebooks that come before."
        if measured else "No time was measured yet.")
    gpu = "" if any(row.device == "cuda" for row in measured) else " Nothing was measured on a GPU."
    return f"{said}{gpu} `make executed ARGS=--keep-times` adds the machine that it runs on."


def setup_source(address: str) -> str:
    """The code of the setup cell."""
    return SETUP.format(address=address, name=address.rsplit("/", 1)[1])


def badge(filename: str, address: str) -> str:
    """The "Open in Colab" badge of a notebook, as markdown."""
    repository = address.removeprefix("https://github.com/")
    link = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{filename}"
    return BADGE.format(link=link)


def image(filename: str, address: str) -> str:
    """The whole address of a file of `images/`: Colab opens a notebook without the files beside it.

    GitHub serves an SVG file as an image only if it may sanitize it, else as text
    (https://github.com/github/markup/issues/556).
    """
    repository = address.removeprefix("https://github.com/")
    question = "?sanitize=true" if filename.endswith(".svg") else ""
    return f"https://raw.githubusercontent.com/{repository}/main/images/{filename}{question}"


def _with_badge(source: str, line: str) -> str:
    lines = source.splitlines()
    places = [number for number, old in enumerate(lines) if "colab.research.google.com" in old]
    if places:
        lines[places[0]] = line
    else:
        lines[1:1] = ["", line]
    return "\n".join(lines)


def _set_source(cell: dict, source: str) -> None:
    if "".join(cell["source"]) != source:
        cell["source"] = source.splitlines(keepends=True)


def _title(text: str) -> str:
    first = "".join(json.loads(text)["cells"][0]["source"]).splitlines()[0]
    return re.sub(r"^#*\s*(\d+\s*[.:·-]?\s*)?", "", first).strip()


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
    return 1 if options.check and names else 0


if __name__ == "__main__":
    sys.exit(main())
