"""Fold the cells of notebooks that a reader need not see first: setup, records, words;
explain each setting in one line.

    python -m scripts.fold                  all notebooks of notebooks/
    python -m scripts.fold --check          only say which would change; exit status 1 if one would

A folded cell keeps its code. Colab shows the title of its first line and hides the rest
(`cellView`), Jupyter hides its source (`jupyter.source_hidden`), and both open it with a click.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from helpers.common.environment import ROOT
from helpers.common.files import write_atomically
from scripts.fields import explained

SETUP = "Setup: finds or fetches the repository and adds missing packages"
RECORD, CLOSING = "Keep the numbers in results/summary.csv", "What came out, in words"
DRAWING, KEPT = "A drawing of the repository", "Keep the classifier in one file"
SENTENCE = "The same in words"
TITLE, COMMENT = re.compile(r"\A#@title .*\n"), re.compile(r"\A# .*\n")


def title_of(cell: dict[str, Any], last: bool = False) -> str:
    """The title under which a cell is folded; "" where it is not.

    `last`: it is the notebook's last cell of code, which says what came out.
    """
    source, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
    if "setup" in tags:
        return SETUP
    if re.search(r"\brecord\(", source):
        return RECORD
    if re.search(r"\bSVG\(", source):
        return DRAWING
    if re.search(r"\bkeep_classifier\(", source):
        return KEPT
    if re.search(r"\bMarkdown\(\s*f\"", source) and "tables." not in source and not last:
        return SENTENCE
    says = re.search(r"\bclosing\.\w+\(", source) or (last and "Markdown(" in source)
    return CLOSING if says else ""


def is_folded(cell: dict[str, Any]) -> bool:
    """Whether Colab and Jupyter hide a cell's source."""
    return cell["metadata"].get("cellView") == "form"


def fold(cell: dict[str, Any], title: str) -> None:
    """Give a cell its title and hide its source; done twice, it is as done once."""
    code = TITLE.sub("", "".join(cell["source"]))
    if title == SETUP:
        code = COMMENT.sub("", code)  # which says the same
    cell["source"] = f"#@title {title}\n{code}".splitlines(keepends=True)
    cell["metadata"]["cellView"] = "form"
    cell["metadata"]["jupyter"] = cell["metadata"].get("jupyter", {}) | {"source_hidden": True}


def folded(text: str) -> str:
    """A notebook's JSON with its cells folded and its settings explained."""
    notebook = json.loads(text)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    number = "".join(notebook["cells"][0]["source"])[2:4]
    for cell in code:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = explained("".join(cell["source"]), number).splitlines(keepends=True)
        title = title_of(cell, cell is code[-1])
        if title:
            fold(cell, title)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str], folder: Path = ROOT / "notebooks") -> int:
    """The command line; returns the exit status."""
    check = arguments == ["--check"]
    if arguments and not check:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.ipynb"))}
    different = [path for path, text in texts.items() if folded(text) != text]
    for path in different:
        if not check:
            write_atomically(path, folded(texts[path]))
        print(f"{path.name}: {'not folded, run python -m scripts.fold' if check else 'folded'}")
    return int(check and bool(different))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
