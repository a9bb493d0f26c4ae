"""Write the repository's address into every notebook, the README and CITATION.cff.

    python -m helpers.tools.stamp                  the address in pyproject.toml, everywhere
    python -m helpers.tools.stamp ADDRESS          a new address: first into pyproject.toml
    python -m helpers.tools.stamp --check          only say what differs; exit status 1 if something does

The address lives in `pyproject.toml` under `[project.urls] Repository` and nowhere else by hand:
a fork changes it with one command.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path

from helpers.errors import UserError
from helpers.files import write_atomically
from helpers.progress import clock

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?/?")
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"
PICTURE = re.compile(r"(!\[[^\]]*\]\()(?:[./]*|https://raw\.githubusercontent\.com/[^)\s]*/)images/([\w.-]+)"
                     r"(?:\?[\w=]*)?\)")
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
root = next((place for place in places if (place / "helpers" / "colab.py").exists()), copy)
if not (root / "helpers").exists():
    print(f"No repository around here: fetching {{address}} into {{copy.name}}/")
    os.environ["GIT_TERMINAL_PROMPT"] = "0"
    failed, said = subprocess.getstatusoutput(f'git clone --quiet --depth 1 {{address}} "{{copy}}"')
    if failed:
        sys.exit(f"could not fetch {{address}}, check the network: {{said.splitlines()[-1]}}")
sys.path[:] = [str(root), *(path for path in sys.path if path != str(root))]
from helpers.colab import prepare

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
        raise UserError(f"{address!r} is no repository address: write https://github.com/OWNER/NAME")
    path = root / "pyproject.toml"
    line = f'Repository = "https://github.com/{match[1]}/{match[2]}"'
    text = re.sub(r'^Repository = ".*"$', line, path.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
    write_atomically(path, text)


def stamp(root: Path = ROOT, check: bool = False) -> list[str]:
    """Bring notebooks, README and citation in line with the address; returns the names of those that differed.

    Args:
        root: folder with `pyproject.toml`, `notebooks/` and perhaps `README.md` and `CITATION.cff`.
        check: only look, write nothing.
    """
    address = read_address(root)
    wanted = {path: stamp_notebook(path.read_text(encoding="utf-8"), path.name, address)
              for path in sorted((root / "notebooks").glob("*.ipynb"))}
    readme = root / "README.md"
    if readme.exists():
        titles = {path.name: _title(text) for path, text in wanted.items()}
        copies = {path.name: executed(path) for path in sorted((root / "docs" / "executed").glob("*.ipynb"))}
        wanted[readme] = stamp_readme(readme.read_text(encoding="utf-8"), titles, address, copies)
    citation = root / "CITATION.cff"
    if citation.exists():
        wanted[citation] = re.sub(r'(?m)^repository-code: .*$', f'repository-code: "{address}"',
                                  citation.read_text(encoding="utf-8"))
    different = [path for path, text in wanted.items() if path.read_text(encoding="utf-8") != text]
    for path in different if not check else []:
        write_atomically(path, wanted[path])
    return [path.relative_to(root).as_posix() for path in different]


def stamp_notebook(text: str, filename: str, address: str) -> str:
    """The notebook's JSON with the badge in its first cell, its pictures' links and the setup cell written anew.

    Raises:
        UserError: the notebook does not begin with prose, or has no cell tagged "setup".
    """
    notebook = json.loads(text)
    cells = notebook["cells"]
    setup = next((cell for cell in cells if "setup" in cell["metadata"].get("tags", [])), None)
    if setup is None or cells[0]["cell_type"] != "markdown":
        raise UserError(f"{filename}: begin it with a markdown cell, then a code cell tagged \"setup\"")
    _set_source(cells[0], _with_badge("".join(cells[0]["source"]), badge(filename, address)))
    _set_source(setup, setup_source(address))
    for cell in (cell for cell in cells if cell["cell_type"] == "markdown"):
        _set_source(cell, PICTURE.sub(lambda link: f"{link[1]}{picture(link[2], address)})", "".join(cell["source"])))
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def stamp_readme(text: str, titles: dict[str, str], address: str, copies: dict[str, str] | None = None) -> str:
    """The README with the table between its `<!-- notebooks -->` marks and its clone line written anew.

    Args:
        titles: what the table says of each notebook.
        copies: of the notebooks that have an executed copy, how long that took.
    """
    copies = copies or {}
    shown = {name: f"[{took}](docs/executed/{name})" for name, took in copies.items()}
    rows = [f"| [{name}](notebooks/{name}) | {title} | {badge(name, address)} |"
            + (f" {shown.get(name, '')} |\n" if copies else "\n") for name, title in titles.items()]
    head, line = (" with outputs, took |", " --- |") if copies else ("", "")
    table = "".join([f"| notebook | what it shows | open it |{head}\n", f"| --- | --- | --- |{line}\n", *rows])
    text = README_BLOCK.sub(lambda match: match[1] + table + match[2], text)
    folder = address.rsplit("/", 1)[1]
    return re.sub(r"git clone https://github\.com/[\w./-]+(?:(\s+(?:&& )?cd )[\w.-]+)?",
                  lambda match: f"git clone {address}" + (match[1] + folder if match[1] else ""), text)


def executed(path: Path) -> str:
    """How long the run of an executed copy took, on how many cores."""
    about = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("few_labels", {})
    return f"{clock(about['seconds'])}, {about['cores']} cores" if about else "outputs"


def setup_source(address: str) -> str:
    """The code of the setup cell."""
    return SETUP.format(address=address, name=address.rsplit("/", 1)[1])


def badge(filename: str, address: str) -> str:
    """The "Open in Colab" badge of a notebook, as markdown."""
    repository = address.removeprefix("https://github.com/")
    link = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{filename}"
    return BADGE.format(link=link)


def picture(filename: str, address: str) -> str:
    """The whole address of a file of `images/`: Colab opens a notebook without the files beside it.

    GitHub serves an SVG file as a picture only if it may sanitize it, else as text
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
    parser = argparse.ArgumentParser(prog="python -m helpers.tools.stamp",
                                     description=__doc__.splitlines()[0])
    parser.add_argument("address", nargs="?", help="the new address, https://github.com/OWNER/NAME")
    parser.add_argument("--check", action="store_true", help="change nothing, name what differs, exit with 1")
    options = parser.parse_args(arguments)
    try:
        if options.address and not options.check:
            write_address(options.address)
        names = stamp(check=options.check)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name in names:
        print(f"{name}: {'differs, run python -m helpers.tools.stamp' if options.check else 'stamped'}")
    return 1 if options.check and names else 0


if __name__ == "__main__":
    sys.exit(main())
