"""Run all notebooks on the digits at quick scale, once, and keep what they show and measured.

    python -m scripts.executed              the whole run; leave the machine alone, it is timed
    python -m scripts.executed --only 03    one copy, to look at it; numbers and times stay
    python -m scripts.executed --again      no run: take what the last one left in build/executed/
    python -m scripts.executed --check      exit status 1 if a copy is not of today's notebook
    python -m scripts.executed --keep-times run all on this machine and keep the times only

Copies go to `docs/executed/`, where GitHub shows them; the measurements to
`benchmarks/results/digits-quick.csv`, the times to `benchmarks/results/times.csv`, and from there
into the pages and notebooks. All of it is from one run, so the same number stands everywhere.
`--keep-times` takes the digits at quick scale, or what FEWLABELS_DATASET, FEWLABELS_PRESET and
FEWLABELS_DEVICE say.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from helpers.cli import notebooks as runner
from helpers.common import machine
from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.report.times import PLACE, Time
from helpers.settings import Settings
from scripts import docs, stamp
from scripts.times import USUAL, keep_times

COPIES = ROOT / "docs" / "executed"
WORK = ROOT / "build" / "executed"  # empty at the start: nothing of an earlier run is taken up
FIXED = {"DATASET": "digits", "PRESET": "quick", "DEVICE": "cpu", "OFFLINE": "1"}
LARGEST = 2_000_000  # bytes that GitHub still renders
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
          "language_info": {"name": "python"}}
PLACES = re.compile(r"(?<![\w.:/-])(?:/(?:home|root|tmp|usr|opt|var|mnt|srv|work|Users|private)/"
                    r"|[A-Za-z]:\\)[\w.-]+")
INTERACTIVE = "This needs a mouse and a running kernel: open the notebook in Jupyter or Colab."


def run(choices: dict[str, str], only: Sequence[str] | None = None) -> None:
    """Execute notebooks into `WORK` with these choices and no others.

    Raises:
        UserError: a notebook failed.
    """
    stamp.stamp()  # what is run is what is kept
    shutil.rmtree(WORK, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith("FEWLABELS_")]:
        del os.environ[name]
    os.environ.update({f"FEWLABELS_{name}": value for name, value in choices.items()})
    if runner.run(only, out=WORK / "results", jobs=1):  # one after the other, for they are timed
        raise UserError("nothing was kept: a notebook failed, see above")


def executed_at(source: Path) -> Path:
    """Where a run leaves what it made of a notebook."""
    path = WORK / "results" / "notebooks" / f"{source.name[:2]}.ipynb"
    if not path.exists():
        raise UserError(f"no complete run in {WORK.relative_to(ROOT)}: leave --again out")
    return path


def times(device: str, preset: str, dataset: str) -> list[Time]:
    """How long each notebook of the run took, with what it ran on."""
    here = dict(preset=preset, dataset=dataset, device=device, chip=machine.chip(device),
                cores=machine.cores(), torch=version("torch"))
    ran = {path.stem: json.loads(executed_at(path).read_text(encoding="utf-8"))
           for path in runner.find()}
    return [Time(name, notebook["metadata"]["papermill"]["duration"], **here)
            for name, notebook in ran.items()]


def clean(path: Path, source: Path | None = None) -> str:
    """An executed notebook without what belongs to a run or a machine, or cannot be shown.

    Args:
        source: the notebook that ran. If its code is still what ran, the prose is taken from it.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["metadata"] = KERNEL
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    today = json.loads(source.read_text(encoding="utf-8"))["cells"] if source else []
    if [_source(cell) for cell in code] == [_source(cell) for cell in today
                                            if cell["cell_type"] == "code"]:
        left = iter(code)
        notebook["cells"] = [next(left) if cell["cell_type"] == "code" else cell for cell in today]
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
    for cell in code:
        cell["outputs"] = [kept for output in cell["outputs"] for kept in _cleaned(output)]
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _cleaned(output: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The output as it is kept: no progress bar, a sentence in place of what needs a mouse."""
    data, text = output.get("data", {}), _text(output)
    if "█" in text or "░" in text:
        return
    if any("widget" in kind for kind in data) or "<svg" in "".join(data.get("text/html", "")):
        data = output["data"] = {"text/plain": INTERACTIVE}
    if "image/png" in data:
        data["image/png"] = _smaller(data["image/png"])
    for holder in (output, data):
        for kind in [kind for kind in holder if kind.startswith("text")]:
            words = "".join(holder[kind]).replace(f"{ROOT}/", "")
            words = words.replace(f"{WORK.relative_to(ROOT).as_posix()}/", "")
            holder[kind] = re.sub(r" at 0x[0-9a-f]+", "", words).splitlines(keepends=True)
    yield output


def _smaller(png: str) -> str:
    """The same PNG, in base64, with 256 colours: it has a third of the bytes."""
    file = io.BytesIO(base64.b64decode("".join(png)))
    image = Image.open(file, formats=["PNG"]).convert("RGB")
    file = io.BytesIO()
    image.quantize(256, method=Image.Quantize.MAXCOVERAGE,
                   dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _text(output: dict[str, Any]) -> str:
    """What an output says in words."""
    parts = [output.get("text", ""), *(value for kind, value in output.get("data", {}).items()
                                       if kind.startswith("text/"))]
    return "\n".join("".join(part) for part in parts)


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def complaints(text: str, source: Path) -> list[str]:
    """What is wrong with a copy of the notebook `source`, a line each; none if it is fit."""
    notebook, today = json.loads(text), json.loads(source.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    counts = [cell["execution_count"] for cell in code if _source(cell).strip()]
    places = sorted({place for output in outputs for place in PLACES.findall(_text(output))})
    cells, wanted = ([(cell["cell_type"], _source(cell)) for cell in each["cells"]]
                     for each in (notebook, today))
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    checks = {
        "its cells are not today's": cells != wanted,
        "it has an error": any(output["output_type"] == "error" for output in outputs),
        "its cells did not run from 1 to n": counts != list(range(1, len(counts) + 1)),
        f"it has {len(text.encode()):,} bytes, GitHub shows {LARGEST:,}":
            len(text.encode()) > LARGEST,
        f"it names places of a machine: {', '.join(places)}": bool(places),
        "its metadata are of a machine": notebook["metadata"] != KERNEL,
        "it has widgets": any("widget" in kind for kind in kinds),
    }
    return [f"{source.name}: {what}" for what, wrong in checks.items() if wrong]


def stale() -> list[str]:
    """What is wrong with the kept copies, a line each."""
    sources, copies = ({path.name: path for path in paths}
                       for paths in (runner.find(), COPIES.glob("*.ipynb")))
    lines = [f"{name}: no copy" for name in sources.keys() - copies.keys()]
    lines += [f"{name}: no such notebook" for name in copies.keys() - sources.keys()]
    for name in sources.keys() & copies.keys():
        lines += complaints(copies[name].read_text(encoding="utf-8"), sources[name])
    return sorted(lines)


def keep(only: Sequence[str] | None) -> str:
    """Keep the copies of the last run, and of a whole run its numbers and times.

    Raises:
        UserError: there is no complete run, or a copy is not fit to be kept.
    """
    sources = runner.choose(runner.find(), only)
    copies = {path: clean(executed_at(path), path) for path in sources}
    wrong = [line for path, text in copies.items() for line in complaints(text, path)]
    if wrong:
        raise UserError("no copies were written: " + "; ".join(wrong))
    for path, text in copies.items():
        write_atomically(COPIES / path.name, text)
    if not only:
        for path in set(COPIES.glob("*.ipynb")) - {COPIES / source.name for source in sources}:
            path.unlink()
        docs.take(WORK / "results" / "summary.csv")
        keep_times(times(*USUAL))
        docs.write()
    stamp.stamp()  # the times of this run, in notebooks, copies and README
    return f"{len(copies)} executed copies are in {COPIES.relative_to(ROOT)}"


def add_times() -> str:
    """Run all notebooks on this machine and keep how long they took; returns what was done."""
    given = {name: os.environ.get(f"FEWLABELS_{name}")
             for name in ("DATASET", "PRESET", "DEVICE", "DATA_DIR", "OFFLINE")}
    run({"DATASET": "digits", "PRESET": "quick",
         **{name: value for name, value in given.items() if value}})
    settings = Settings.resolve()
    # a folder's name may hold anything
    dataset = re.sub(r"[^\w.-]", "_", Path(settings.dataset).name)
    rows = times(settings.device, settings.preset, dataset)
    keep_times(rows)
    docs.write()
    stamp.stamp()
    return f"{len(rows)} times of {rows[0].machine_in_words} are in {PLACE.as_posix()}"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.executed",
                                     description=__doc__.splitlines()[0])
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--only", nargs="+", metavar="NN",
                     help="these notebooks; numbers and times stay as they are")
    one.add_argument("--again", action="store_true",
                     help="run nothing, take what the last run has left")
    one.add_argument("--check", action="store_true",
                     help="run nothing, say what is not of today, exit with 1")
    one.add_argument("--keep-times", action="store_true",
                     help="run all on this machine, keep only the times")
    options = parser.parse_args(arguments)
    if options.check:
        lines = stale()
        print("\n".join([*lines, "run: make executed"] if lines else ["the copies are of today"]))
        return int(bool(lines))
    try:
        if options.keep_times:
            print(add_times())
            return 0
        if not options.again:
            run(FIXED, options.only)
        print(keep(options.only))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
