"""Run the notebooks in order, without anybody watching, and keep what they show."""

from __future__ import annotations

import ast
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from helpers.errors import UserError
from helpers.files import write_atomically
from helpers.progress import Progress, clock

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
SHOWN_LINES = 12  # of a failing cell's source, and of its traceback
ENGINE = "few-labels"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def find(folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks `NN_name.ipynb` of a folder, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def choose(paths: Sequence[Path], only: Sequence[str] | None) -> list[Path]:
    """The notebooks with the given numbers ("3" or "03"), in order; all of them for None.

    Raises:
        UserError: a number that no notebook has, or no notebooks at all.
    """
    if not paths:
        raise UserError(f"no notebooks in {NOTEBOOKS.name}/: run this from a complete copy of the repository")
    numbers = {number_of(path): path for path in paths}
    wanted = [word.zfill(2) for word in only or numbers]
    unknown = [word for word in wanted if word not in numbers]
    if unknown:
        raise UserError(f"there is no notebook {', '.join(unknown)}: choose among {', '.join(numbers)}")
    return [path for number, path in numbers.items() if number in wanted]


def run(only: Sequence[str] | None = None, *, dataset: str | None = None, preset: str | None = None,
        seed: int | None = None, out: str | Path = "results", folder: Path = NOTEBOOKS) -> int:
    """Execute notebooks in order; returns the exit status, 1 when a notebook fails.

    Executed copies go to `<out>/notebooks/NN.ipynb`, results to `<out>/summary.csv` (which the notebooks
    write), checkpoints to `runs/` beside `out` (or FEWLABELS_RUN_DIR). The first failure ends the run;
    what the notebook had shown until then is kept as `NN.failed.ipynb`.

    Args:
        only: numbers of the notebooks to run; None runs all of them.
        dataset, preset, seed: put into each notebook's parameters; None leaves the notebook's own.
        folder: where the notebooks are.

    Raises:
        UserError: an unknown notebook, dataset or preset.
        KeyboardInterrupt: Ctrl-C, after the kernel was ended and the partial copy kept.
    """
    paths, out = choose(find(folder), only), Path(out)
    parameters = _parameters(dataset, preset, seed)
    total = sum(_code_cells(path) for path in paths)
    with _environment(out), Progress(total, f"{len(paths)} notebooks", unit="cells") as bar, _ticking(bar):
        for path in paths:
            began, count = time.perf_counter(), partial(bar.update, notebook=number_of(path))
            failure = execute(path, out, parameters, count)
            if failure is not None:
                break
            tqdm.write(f"{path.stem:<28} {clock(time.perf_counter() - began)}", file=sys.stdout)
    if failure is not None:
        print(failure, file=sys.stderr)
        return 1
    _show_results(out)
    return 0


def execute(path: Path, out: Path, parameters: dict[str, Any], on_cell: Callable[[], object]) -> str | None:
    """Execute one notebook; returns None, or an explanation of what failed.

    Args:
        path: the notebook; it is not changed.
        out: the executed copy becomes `<out>/notebooks/NN.ipynb`.
        parameters: values for names that the notebook's parameters cell sets; others are left out.
        on_cell: called after each code cell.
    """
    import papermill

    _register_engine()
    target = out / "notebooks" / f"{number_of(path)}.ipynb"
    failed = target.with_suffix(".failed.ipynb")
    draft = target.with_name(f".{number_of(path)}.draft.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    known = parameter_names(path)
    given = {name: value for name, value in parameters.items() if name in known}
    try:
        papermill.execute_notebook(
            str(path), str(draft), given, engine_name=ENGINE, kernel_name="python3", cwd=str(ROOT),
            progress_bar=False, on_cell=on_cell, extra_arguments=["--IPKernelApp.log_level=50"])
    except BaseException as error:
        _finish(draft, failed, path)
        if not isinstance(error, Exception):  # Ctrl-C
            raise
        return explain(error, path.stem, failed)
    failed.unlink(missing_ok=True)
    _finish(draft, target, path)
    return None


def explain(error: Exception, name: str, kept: Path) -> str:
    """What a person needs to know of a failed notebook: the cell, its code, the error, the partial copy."""
    where, what = f"{name} stopped", f"{type(error).__name__}: {error}"
    if hasattr(error, "exec_count"):  # papermill's own error, made from the cell's output
        source = error.source.strip().splitlines()
        more = ["..."] if len(source) > SHOWN_LINES else []
        code = "".join(f"\n    {line}" for line in source[:SHOWN_LINES] + more)
        where = f"{where} at cell In [{error.exec_count}]:{code}"
        trace = ANSI.sub("", "\n".join(error.traceback)).strip().splitlines()
        what = f"error: {error.evalue}" if error.ename == "UserError" else "\n".join(trace[-SHOWN_LINES:])
    return f"\n{where}\n\n{what}\n\nWhat it had shown until then is in {kept}"


def parameter_names(path: Path) -> set[str]:
    """The names that the notebook's cell tagged "parameters" sets."""
    for cell in _cells(path):
        if "parameters" in cell["metadata"].get("tags", []):
            tree = ast.parse("".join(cell["source"]))
            return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)
                    and isinstance(node.ctx, ast.Store)}
    return set()


def number_of(path: Path) -> str:
    """The two digits that a notebook's name begins with."""
    return path.name[:2]


def title_of(path: Path) -> str:
    """The notebook's first heading."""
    return "".join(_cells(path)[0]["source"]).splitlines()[0].lstrip("# ").strip()


def _cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def _code_cells(path: Path) -> int:
    return sum(cell["cell_type"] == "code" for cell in _cells(path))


def _parameters(dataset: str | None, preset: str | None, seed: int | None) -> dict[str, Any]:
    """The parameters for papermill, checked before hours are spent on them."""
    from helpers.settings import DATASETS, Settings

    if dataset not in (None, "auto", *DATASETS):
        folder = Path(dataset).expanduser().resolve()
        if not folder.is_dir():
            raise UserError(f"no dataset {dataset!r}: choose auto, {', '.join(DATASETS)}, or a folder")
        dataset = str(folder)
    settings = Settings.resolve(dataset=dataset, preset=preset, seed=seed)
    print(f"{settings.dataset} ({settings.why}), preset {settings.preset}, on {settings.device}")
    given = {"DATASET": dataset, "PRESET": preset, "SEED": seed}
    return {name: value for name, value in given.items() if value is not None}


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


def _finish(draft: Path, target: Path, source: Path) -> None:
    """Move papermill's output to its final name, without the paths of this machine in it."""
    if not draft.exists():
        return
    notebook = json.loads(draft.read_text(encoding="utf-8"))
    notebook["metadata"].get("papermill", {}).update(input_path=source.name, output_path=target.name)
    write_atomically(target, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    draft.unlink()


def _show_results(out: Path) -> None:
    from helpers import results

    if (out / "summary.csv").exists():
        print(f"\n{results.table(results.summary(out))}")
    print(f"\nexecuted notebooks: {out / 'notebooks'}, results: {out / 'summary.csv'}")


def _register_engine() -> None:
    """Teach papermill to call `on_cell` after each code cell that the notebook brought along."""
    from papermill.engines import NBClientEngine, papermill_engines

    class CountingEngine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *, on_cell: Callable[[], object],
                                     **options: Any) -> None:
            complete = nb_man.cell_complete

            def counted(cell: Any, *args: Any, **kwargs: Any) -> None:
                complete(cell, *args, **kwargs)
                if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", []):
                    on_cell()

            nb_man.cell_complete = counted
            super().execute_managed_notebook(nb_man, kernel_name, **options)

    papermill_engines.register(ENGINE, CountingEngine)
