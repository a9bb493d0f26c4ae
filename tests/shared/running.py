"""Notebooks run as a person runs them, and what their executed copies show."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
GATHERS = "10"  # the notebook that measures nothing


def execute(out, *options, **variables):
    """`python -m helpers run` with nobody watching, in folders of its own; what it printed."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("FEWLABELS_")
    }
    environment |= {"FEWLABELS_RUN_DIR": str(out / "runs"), "FEWLABELS_OFFLINE": "1"}
    environment |= variables
    command = [
        sys.executable, "-m", "helpers", "run", "--dataset", "digits", "--out",
        str(out / "results"), *options
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def executed(folder, number):
    """The executed copy of a notebook."""
    return nbformat.read(folder / "results" / "notebooks" / f"{number}.ipynb", as_version=4)


def outputs(notebook):
    """Everything that the code cells of a notebook have put out."""
    return [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]


def printed(folder, number):
    """The text that an executed copy has printed."""
    return "".join(output.get("text", "") for output in outputs(executed(folder, number)))


def prose(folder, number):
    """The paragraphs that an executed copy has put out, the closing one last."""
    return [output["data"]["text/markdown"] for output in outputs(executed(folder, number))
            if "text/markdown" in output.get("data", {})]
