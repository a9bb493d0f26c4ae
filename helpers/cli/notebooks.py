"""Run the notebooks, side by side where they do not need one another, and keep what they show."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence, Set
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from helpers.cli.execute import code_cells, end_kernels, execute, number_of
from helpers.cli.order import needs_among, usual_jobs, usual_seconds
from helpers.cli.side_by_side import Outcome, side_by_side
from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import check_writable
from helpers.common.progress_bar import progress
from helpers.settings import Settings

BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
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
        raise UserError("no notebooks here: run this from a complete copy of the repository")
    numbers = {number_of(path): path for path in paths}
    wanted = [word.zfill(2) for word in only or numbers]
    unknown = [word for word in wanted if word not in numbers]
    if unknown:
        raise UserError(
            f"there is no notebook {', '.join(unknown)}: choose among {', '.join(numbers)}")
    return [path for number, path in numbers.items() if number in wanted]


def run(only: Sequence[str] | None = None, *, dataset: str | None = None, preset: str | None = None,
        seed: int | None = None, out: str | Path = "results", jobs: int | None = None,
        folder: Path = NOTEBOOKS) -> int:
    """Execute notebooks; returns the exit status, 1 when a notebook fails.

    Executed copies go to `<out>/notebooks/NN.ipynb`, results to `<out>/summary.csv` (which the
    notebooks write) and, to look at, `<out>/report.html`, checkpoints to `runs/` beside `out` (or
    FEWLABELS_RUN_DIR). A failure keeps back the notebooks that need the failed one; what it had
    shown until then is kept as `NN.failed.ipynb`. The results are the same for any number of jobs.

    Args:
        only: numbers of the notebooks to run; None runs all of them.
        dataset, preset, seed: put into each notebook's parameters; None leaves the notebook's own.
        jobs: how many run at a time; None: `usual_jobs`.
        folder: where the notebooks are.

    Raises:
        UserError: an unknown notebook, dataset or preset, or `out` cannot be written to.
        KeyboardInterrupt: Ctrl-C, after the kernels were ended and the partial copies kept.
    """
    paths, out = choose(find(folder), only), Path(out).resolve()
    parameters, settings = _parameters(dataset, preset, seed)
    check_writable(out / "summary.csv", "choose another --out")
    if settings.preset == "full":
        from helpers.cli.plan import of_notebooks  # it takes seconds to import

        print(of_notebooks([number_of(path) for path in paths], settings))
    jobs = min(jobs or usual_jobs(settings.device), len(paths))
    with mock.patch.dict(os.environ, _environment(out, settings, jobs)), chdir(ROOT):
        by_number = {number_of(path): path for path in paths}
        seconds = usual_seconds(list(by_number), settings)
        outcome = _run_all(by_number, out, parameters, jobs, seconds)
        _show_results(out, settings)
    if outcome.left_out:
        print(f"not run, for they need what failed: {', '.join(outcome.left_out)}", file=sys.stderr)
    return 1 if outcome.failed else 0


def _run_all(paths: dict[str, Path], out: Path, parameters: dict[str, Any], jobs: int,
             seconds: dict[str, float]) -> Outcome:
    """Run the notebooks side by side under one progress line, and say what each came to.

    The line counts `seconds` that the notebooks usually take, a cell as much as its neighbours.
    """
    interrupted = threading.Event()
    with progress(None, "notebooks", total=sum(seconds.values()), bar_format=BAR) as bar:

        def work(number: str) -> bool:
            began = time.perf_counter()
            each = seconds[number] / code_cells(paths[number])
            failure = execute(paths[number], out, parameters,
                              lambda: bar.update(min(each, bar.total - bar.n)))
            if failure is None:
                took = bar.format_interval(round(time.perf_counter() - began))
                bar.write(f"{paths[number].stem:<28} {took}", file=sys.stdout)
                from helpers.cli.pages import page_of  # not before: the kernels would wait for it

                with suppress(UserError):  # said at the end, where what is missing is made
                    page_of(out / "notebooks" / f"{number}.ipynb")
            elif not interrupted.is_set():
                bar.write(failure, file=sys.stderr)
            return failure is None

        def tick(running: Set[str]) -> None:
            bar.set_postfix_str(f"now {', '.join(sorted(running))}", refresh=sys.stderr.isatty())

        def stop(now: bool) -> None:
            interrupted.set()
            end_kernels(now)

        return side_by_side(needs_among(list(paths)), work, jobs, tick=tick, stop=stop,
                            seconds=seconds)


def _parameters(dataset: str | None, preset: str | None,
                seed: int | None) -> tuple[dict[str, Any], Settings]:
    """The parameters for papermill, checked before hours are spent on them, and the settings."""
    from helpers.common.names import DATASETS

    if dataset not in (None, "auto", *DATASETS):
        folder = Path(dataset).expanduser().resolve()
        if not folder.is_dir() and not (folder.is_file() and folder.suffix.lower() == ".zip"):
            raise UserError(
                f"no dataset {dataset!r}: choose auto, {', '.join(DATASETS)}, or a folder")
        dataset = str(folder)
    settings = Settings.resolve(dataset=dataset, preset=preset, seed=seed)
    print(f"{settings.dataset} ({settings.why}), preset {settings.preset}, on {settings.device}")
    given = {"DATASET": dataset, "PRESET": preset, "SEED": seed}
    return {name: value for name, value in given.items() if value is not None}, settings


def _environment(out: Path, settings: Settings, jobs: int) -> dict[str, str]:
    """Environment variables that the kernels inherit."""
    runs = os.environ.get("FEWLABELS_RUN_DIR") or out.parent / "runs"
    # Threads that wait sleep, so that those of another notebook can work. Their number stays the
    # machine's own for any number of jobs: a sum over more or fewer threads is rounded otherwise,
    # and some accuracies would differ in the last digit. With the digits none does, since what is
    # measured there takes one thread anyway.
    threads = {"OMP_WAIT_POLICY": "PASSIVE"}
    if settings.dataset == "digits" and jobs > 1:
        threads["OMP_NUM_THREADS"] = "1"
    return {
        "FEWLABELS_RESULTS_DIR": _from_root(out),
        "FEWLABELS_RUN_DIR": _from_root(Path(runs)),
        # A kernel named python3 in the person's home must not shadow the one of this environment.
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # a warning of the debugger that nobody here can use
        **{name: os.environ.get(name, usual) for name, usual in threads.items()},
    }


def _from_root(path: Path) -> str:
    """The path as a kernel in `ROOT` sees it, short where it lies inside."""
    full = path.expanduser().resolve()
    return str(full.relative_to(ROOT) if full.is_relative_to(ROOT) else full)


def _show_results(out: Path, settings: Settings) -> None:
    """The headline numbers of this run, and where the rest is."""
    from helpers.cli.pages import results_of, write_pages
    from helpers.report import tables

    words = tables.overview(results_of(out, settings))
    if words:
        print(f"\n{words}")
    page, shown = write_pages(out, settings), _from_root(out)
    print(f"\nall numbers: {shown}/summary.csv, executed notebooks: {shown}/notebooks\n"
          f"figures, tables and links on one page, for a browser: {page.as_uri()}")
