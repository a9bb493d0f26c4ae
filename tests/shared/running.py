"""Notebooks run as a person runs them, and what their executed copies show."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
GATHERS = "10"  # the notebook that measures nothing
# Variables with which notebooks repeat nothing and train on little, for `execute`.
FEW = dict(FEWLABELS_LABEL_COUNTS="1", FEWLABELS_DRAWS="1", FEWLABELS_NOISE_SEEDS="1",
           FEWLABELS_BATCH_SIZE="16")


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


def without_choices(patch):
    """What a person has chosen by variables does not count, until the `MonkeyPatch` is undone."""
    for name in [name for name in os.environ if name.startswith("FEWLABELS_")]:
        patch.delenv(name)


def counting(folder):
    """Variables with which `execute` counts the trainings of each notebook, see
    `count_trainings`."""
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("count_trainings.py"), startup)
    return dict(IPYTHONDIR=str(folder / "ipython"), COUNT_FOLDER=str(folder), PYTHONPATH=str(ROOT))


def counted(folder, number):
    """How often a notebook has trained: (class of the method, encoder, steps, batch) -> times."""
    path = folder / f"{number}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(tuple(json.loads(line).values()) for line in lines)


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
