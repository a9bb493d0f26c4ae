"""Run the notebooks in order, without anybody watching, and keep what they show."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from helpers.cli.execute import code_cells, execute, number_of
from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.progress import Progress, clock

NOTEBOOKS = ROOT / "notebooks"


def find(folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks `NN_name.ipynb` of a folder, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def choose(paths: Sequence[Path], only: Sequence[str] | None) -> list[Path]:
    """The notebooks with the given numbers ("3" or "03"), in order; all of them for None.

    Raises:
        UserError: a number that no notebook has, or no notebooks at all.
    """
    if not paths:
        raise UserError(
            f"no notebooks in {NOTEBOOKS.name}/: run this from a complete copy of the repository")
    numbers = {number_of(path): path for path in paths}
    wanted = [word.zfill(2) for word in only or numbers]
    unknown = [word for word in wanted if word not in numbers]
    if unknown:
        raise UserError(
            f"there is no notebook {', '.join(unknown)}: choose among {', '.join(numbers)}")
    return [path for number, path in numbers.items() if number in wanted]


def run(only: Sequence[str] | None = None, *, dataset: str | None = None, preset: str | None = None,
        seed: int | None = None, out: str | Path = "results", folder: Path = NOTEBOOKS) -> int:
    """Execute notebooks in order; returns the exit status, 1 when a notebook fails.

    Executed copies go to `<out>/notebooks/NN.ipynb`, results to `<out>/summary.csv` (which the
    notebooks write), checkpoints to `runs/` beside `out` (or FEWLABELS_RUN_DIR). The first failure
    ends the run; what the notebook had shown until then is kept as `NN.failed.ipynb`.

    Args:
        only: numbers of the notebooks to run; None runs all of them.
        dataset, preset, seed: put into each notebook's parameters; None leaves the notebook's own.
        folder: where the notebooks are.

    Raises:
        UserError: an unknown notebook, dataset or preset, or `out` cannot be written to.
        KeyboardInterrupt: Ctrl-C, after the kernel was ended and the partial copy kept.
    """
    paths, out = choose(find(folder), only), Path(out)
    parameters = _parameters(dataset, preset, seed)
    _make_folder(out)
    total = sum(code_cells(path) for path in paths)
    with _environment(out), Progress(total, "notebooks", unit="cells") as bar, _ticking(bar):
        for path in paths:
            began, count = time.perf_counter(), partial(bar.update, notebook=number_of(path))
            failure = execute(path, out, parameters, count, cwd=ROOT)
            if failure is not None:
                break
            tqdm.write(f"{path.stem:<28} {clock(time.perf_counter() - began)}", file=sys.stdout)
    if failure is not None:
        print(failure, file=sys.stderr)
        return 1
    _show_results(out)
    return 0


def _parameters(dataset: str | None, preset: str | None, seed: int | None) -> dict[str, Any]:
    """The parameters for papermill, checked before hours are spent on them."""
    from helpers.common.names import DATASETS
    from helpers.settings import Settings

    if dataset not in (None, "auto", *DATASETS):
        folder = Path(dataset).expanduser().resolve()
        if not folder.is_dir() and not (folder.is_file() and folder.suffix.lower() == ".zip"):
            raise UserError(
                f"no dataset {dataset!r}: choose auto, {', '.join(DATASETS)}, or a folder")
        dataset = str(folder)
    settings = Settings.resolve(dataset=dataset, preset=preset, seed=seed)
    print(f"{settings.dataset} ({settings.why}), preset {settings.preset}, on {settings.device}")
    given = {"DATASET": dataset, "PRESET": preset, "SEED": seed}
    return {name: value for name, value in given.items() if value is not None}


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out} ({error.strerror}): choose another --out") from None


@contextmanager
def _environment(out: Path) -> Iterator[None]:
    """Environment variables that the kernels inherit."""
    runs = os.environ.get("FEWLABELS_RUN_DIR") or out.resolve().parent / "runs"
    changes = {
        "FEWLABELS_RESULTS_DIR": _from_root(out),
        "FEWLABELS_RUN_DIR": _from_root(Path(runs)),
        # A kernel named python3 in the person's home must not shadow the one of this environment.
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # a warning of the debugger that nobody here can use
    }
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _from_root(path: Path) -> str:
    """The path as a kernel in `ROOT` sees it, short where it lies inside."""
    full = path.expanduser().resolve()
    return str(full.relative_to(ROOT) if full.is_relative_to(ROOT) else full)


@contextmanager
def _ticking(bar: Progress) -> Iterator[None]:
    """Let a terminal's clock go on while a long cell runs."""
    stop = threading.Event()

    def tick() -> None:
        while bar.bar is not None and not stop.wait(1.0):
            bar.bar.refresh()

    thread = threading.Thread(target=tick, daemon=True)
    if sys.stderr.isatty():
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if thread.is_alive():
            thread.join()


def _show_results(out: Path) -> None:
    from helpers.report import results

    if (out / "summary.csv").exists():
        print(f"\n{results.table(results.summary(out))}")
    print(f"\nexecuted notebooks: {out / 'notebooks'}, results: {out / 'summary.csv'}")
