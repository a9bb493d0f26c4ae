"""Run all notebooks on the digits at quick scale, once, and keep what they show and what they
measured.

    python -m scripts.executed              the whole run; leave the machine alone, it is timed
    python -m scripts.executed --only 03    one copy, to look at it; results and README stay as they
    are python -m scripts.executed --again      no run: take what the last one has left in
    build/executed/ python -m scripts.executed --check      exit status 1 if a kept copy is not of
    today's notebook python -m scripts.executed --keep-times     run all on this machine, a GPU if
    it has one, and keep the times

Copies go to `docs/executed/`, where GitHub shows them; the measurements to
`benchmarks/results/digits-quick.csv`, the times to `benchmarks/results/times.csv`, and from there
into README and notebooks. All of it is from one run, so the same number stands everywhere. A copy's
code and outputs are what ran; its prose is today's, since that names the times.

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

import pandas as pd

from helpers.cli import notebooks as runner
from helpers.cli.execute import noted, number_of
from helpers.common import machine
from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.report import results, times
from helpers.report.times import Time
from helpers.settings import Settings
from scripts import readme, stamp

COPIES = ROOT / "docs" / "executed"
WORK = ROOT / "build" / "executed"  # empty at the start: nothing of an earlier run is taken up
ELSEWHERE = ROOT / "build" / "times"  # the same for a run of which only the times are kept
# those of which other times can be kept
CHOICES = ("DATASET", "PRESET", "DEVICE", "DATA_DIR", "OFFLINE")
LAST = "10"  # it gathers what the others measured
LARGEST = 2_000_000  # bytes that GitHub still renders
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
          "language_info": {"name": "python"}}
PLACE = re.compile(
    r"(?<![\w.:/-])(?:/(?:home|root|tmp|usr|opt|var|mnt|srv|work|Users|private)/|[A-Za-z]:\\)[\w.-]+"
)
INTERACTIVE = "This needs a mouse and a running kernel: open the notebook in Jupyter or Colab."


def run(only: Sequence[str] | None = None) -> None:
    """Execute notebooks into `WORK`, on the digits, a CPU and at quick scale, whatever the
    environment says.

    Raises:
        UserError: a notebook failed.
    """
    stamp.stamp()  # what is run is what is kept
    _execute(WORK, dict(DATASET="digits", PRESET="quick", DEVICE="cpu", OFFLINE="1"), only)
    if not only:
        times.keep(measured(WORK), WORK / times.PLACE.name)


def run_for_times() -> list[Time]:
    """Execute all notebooks anew on this machine; returns how long each took.

    Raises:
        UserError: a notebook failed.
    """
    given = {name: os.environ.get(f"FEWLABELS_{name}") for name in CHOICES}
    _execute(
        ELSEWHERE,
        dict(DATASET="digits", PRESET="quick")
        | {name: word
           for name, word in given.items()
           if word})
    return measured(ELSEWHERE)


def _execute(folder: Path, choices: dict[str, str], only: Sequence[str] | None = None) -> None:
    """Run notebooks into an emptied folder with these choices and no others: the environment's are
    gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith("FEWLABELS_")]:
        del os.environ[name]
    os.environ.update({f"FEWLABELS_{name}": value for name, value in choices.items()})
    sources = runner.choose(runner.find(), only)
    for numbers in ([number_of(path) for path in sources if number_of(path) != LAST],
                    [number_of(path) for path in sources if number_of(path) == LAST]):
        if numbers and runner.run(numbers, out=folder / "results"):
            raise UserError("nothing was kept: a notebook failed, see above")


def measured(folder: Path) -> list[Time]:
    """How long each notebook of the run in a folder took, with what it ran on."""
    settings = Settings.resolve()
    # a folder's name may hold anything
    dataset = re.sub(r"[^\w.-]", "_", Path(settings.dataset).name)
    here = dict(preset=settings.preset, dataset=dataset, device=settings.device,
                chip=machine.chip(settings.device), cores=machine.cores(), torch=version("torch"))
    return [
        Time(path.stem,
             noted(executed_at(path, folder))["duration"], **here) for path in runner.find()
    ]


def executed_at(source: Path, folder: Path) -> Path:
    """Where a run in a folder leaves what it made of a notebook."""
    return folder / "results" / "notebooks" / f"{number_of(source)}.ipynb"


def collect(only: Sequence[str] | None = None) -> dict[str, str]:
    """The clean copies of what `run` has left, by file name.

    Raises:
        UserError: one is missing, or not fit to be kept.
    """
    sources = runner.choose(runner.find(), only)
    needed = [executed_at(path, WORK)
              for path in sources] + ([] if only else [WORK / times.PLACE.name])
    if not all(path.exists() for path in needed):
        raise UserError(f"no complete run in {WORK.relative_to(ROOT)}: leave --again out")
    copies = {path.name: clean(executed_at(path, WORK), path) for path in sources}
    wrong = [line for path in sources for line in complaints(copies[path.name], path)]
    if wrong:
        raise UserError("no copies were written: " + "; ".join(wrong))
    return copies


def clean(path: Path, source: Path | None = None) -> str:
    """An executed notebook without what changes from run to run, what belongs to a machine or
    cannot be shown.

    Args:
        source: the notebook that ran. If its code is still what ran, the prose is taken from it.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    if source:
        notebook["cells"] = _with_todays_prose(notebook,
                                               json.loads(source.read_text(encoding="utf-8")))
    notebook["metadata"] = KERNEL
    for cell in notebook["cells"]:
        cell["metadata"] = {"tags": cell["metadata"]["tags"]
                            } if cell["metadata"].get("tags") else {}
        if cell["cell_type"] == "code":
            cell["outputs"] = [kept for output in cell["outputs"] for kept in _cleaned(output)]
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _with_todays_prose(ran: dict[str, Any], today: dict[str, Any]) -> list[dict[str, Any]]:
    """Today's cells with the code cells that ran in the place of theirs; all as they ran if the
    code is another now."""
    code, wanted = ([cell
                     for cell in notebook["cells"]
                     if cell["cell_type"] == "code"]
                    for notebook in (ran, today))
    if ["".join(cell["source"]) for cell in code] != ["".join(cell["source"]) for cell in wanted]:
        return ran["cells"]
    left = iter(code)
    return [next(left) if cell["cell_type"] == "code" else cell for cell in today["cells"]]


def _cleaned(output: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The output as it is kept; nothing of a progress bar, a sentence in place of what needs a
    mouse."""
    data = output.get("data", {})
    text = _text(output)
    if "█" in text or "░" in text:
        return
    if any("widget" in kind for kind in data) or "<svg" in "".join(data.get("text/html", "")):
        output["data"] = {"text/plain": INTERACTIVE}
    if "image/png" in data:
        output["data"] = {**output["data"], "image/png": _smaller(data["image/png"])}
    folder = WORK.relative_to(ROOT).as_posix() + "/"
    for holder, kind in [(output, "text"), *((output.get("data", {}), kind)
                                             for kind in list(output.get("data", {})))]:
        if kind in holder and kind.startswith("text"):
            joined = "".join(holder[kind]).replace(f"{ROOT}/", "").replace(folder, "")
            joined = re.sub(r" at 0x[0-9a-f]+", "", joined)
            holder[kind] = joined.splitlines(keepends=True)
    yield output


def _smaller(png: str) -> str:
    """The same PNG, in base64, with 256 colours: nobody sees the difference, and it has a third of
    the bytes."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode("".join(png)))).convert("RGB")
    file = io.BytesIO()
    image.quantize(256, method=Image.Quantize.MEDIANCUT,
                   dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _text(output: dict[str, Any]) -> str:
    """What an output says in words."""
    parts = [output.get("text", ""), *(value for kind, value in output.get("data", {}).items()
                                       if kind.startswith("text/"))]
    return "\n".join("".join(part) for part in parts)


def complaints(text: str, source: Path) -> list[str]:
    """What is wrong with a copy of the notebook `source`, a line each; none if it is of today's
    and fit to be shown."""
    notebook, name = json.loads(text), source.name
    today = json.loads(source.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    counts = [cell["execution_count"] for cell in code if "".join(cell["source"]).strip()]
    places = sorted({place for output in outputs for place in PLACE.findall(_text(output))})
    checks = {
        "its cells are not today's": _sources(notebook) != _sources(today),
        "it has an error": any(output["output_type"] == "error" for output in outputs),
        "its cells did not run from 1 to n": counts != list(range(1,
                                                                  len(counts) + 1)),
        f"it has {len(text.encode()):,} bytes, GitHub shows {LARGEST:,}": len(text.encode())
        > LARGEST,
        f"it names places of a machine: {', '.join(places)}": bool(places),
        "its metadata are of a machine": notebook["metadata"] != KERNEL,
        "it has widgets": any("widget" in kind
                              for output in outputs
                              for kind in output.get("data", {})),
    }
    return [f"{name}: {what}" for what, wrong in checks.items() if wrong]


def _sources(notebook: dict[str, Any]) -> list[tuple[str, str]]:
    return [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]


def closing(text: str) -> str:
    """The last paragraph that a notebook made from its numbers."""
    made = ["".join(output["data"]["text/markdown"]) for cell in json.loads(text)["cells"]
            for output in cell.get("outputs", []) if "text/markdown" in output.get("data", {})]
    return made[-1] if made else ""


def percentages(paragraph: str) -> list[tuple[str, str]]:
    """The percentages with a decimal in a paragraph, each with its deviation: "1.2 ± 0.3 %" is
    ("1.2", "0.3").

    Differences (+1.2 %) are left out, and the deviation is "" where there is none.
    """
    return re.findall(r"(?<![\d.+−-])(?<!± )(\d+\.\d)(?:(?:\s?%)? ± (\d+\.\d))?\s?%", paragraph)


def unfounded(paragraph: str, frame: pd.DataFrame, allowed: Sequence[str] = ()) -> list[str]:
    """The percentages of a paragraph that no recorded mean, with its deviation, rounds to.

    Args:
        frame: recorded results; `mean` and `std` are fractions.
        allowed: words of sentences that speak of what is not recorded.
    """
    sentences = [
        " ".join(words.split()) for words in re.split(r"(?<=[.!?])\s+|\n\s*(?:\n|- )", paragraph)
    ]
    spoken = [pair for words in sentences if not any(phrase in words for phrase in allowed)
              for pair in percentages(words)]
    return [" ± ".join(filter(None, pair)) for pair in spoken if not _is_recorded(*pair, frame)]


def _is_recorded(mean: str, std: str, frame: pd.DataFrame) -> bool:
    """Whether a row has this mean and, if one is given, this deviation, in percent; the files have
    four decimals."""
    fits = (100 * frame["mean"] - float(mean)).abs() < 0.0551
    return bool((fits & ((100 * frame["std"] - float(std)).abs() < 0.0551) if std else fits).any())


def unrecorded(text: str, frame: pd.DataFrame, name: str) -> list[str]:
    """The lines of tables of results that a notebook printed and that the results do not have.

    Args:
        text: an executed copy.
        frame: rows with the columns of `helpers.report.results`.
        name: the notebook's, which its lines begin with.
    """
    printed = "\n".join("".join(output.get("text", "")) for cell in json.loads(text)["cells"]
                        for output in cell.get("outputs", []))
    lines, known = ([
        " ".join(line.split()) for line in words.splitlines() if line.startswith(f"{name} ")
    ] for words in (printed, results.table(frame)))
    return [line for line in lines if line not in known]


def stale() -> list[str]:
    """What is wrong with the kept copies, a line each."""
    lines = []
    for source in runner.find():
        copy = COPIES / source.name
        lines += complaints(copy.read_text(
            encoding="utf-8"), source) if copy.exists() else [f"{source.name}: no copy"]
    names = {source.name for source in runner.find()}
    return lines + [
        f"{path.name}: no such notebook" for path in COPIES.glob("*.ipynb")
        if path.name not in names
    ]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.executed",
                                     description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NN",
                        help="these notebooks; results and README stay as they are")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--again", action="store_true",
                       help="run nothing, take what the last run has left")
    other.add_argument("--check", action="store_true",
                       help="run nothing, say what is not of today, exit with 1")
    other.add_argument("--keep-times", action="store_true",
                       help="run all on this machine, keep only the times")
    options = parser.parse_args(arguments)
    if options.check:
        lines = stale()
        print("\n".join([*lines, "run: make executed"]
                        if lines else ["the executed copies are of today's notebooks"]))
        return int(bool(lines))
    try:
        print(add_times(options.only) if options.keep_times else keep(options.only, options.again))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def keep(only: Sequence[str] | None, again: bool) -> str:
    """Run, unless `again`, and keep copies, and of a whole run results and times; returns what was
    done."""
    if not again:
        run(only)
    copies = collect(only)
    for name, text in copies.items():
        write_atomically(COPIES / name, text)
    if not only:
        for path in {path.name for path in COPIES.glob("*.ipynb")} - set(copies):
            (COPIES / path).unlink()
        readme.take(WORK / "results" / "summary.csv")
        times.keep(times.read(WORK / times.PLACE.name))
    stamp.stamp()  # the times of this run, in notebooks, copies and README
    return f"{len(copies)} executed copies are in {COPIES.relative_to(ROOT)}"


def add_times(only: Sequence[str] | None) -> str:
    """Run all notebooks on this machine and keep how long they took; returns what was done.

    Raises:
        UserError: not all were asked for (what one trained, another finds), or one failed.
    """
    if only:
        raise UserError("times are of whole runs: leave --only out")
    rows = run_for_times()
    times.keep(rows)
    stamp.stamp()
    return f"{len(rows)} times of {times.machine_in_words(rows[0])} are in {times.PLACE.as_posix()}"


if __name__ == "__main__":
    sys.exit(main())
