"""Execute one notebook with papermill, and say plainly what failed in it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from jupyter_client import AsyncKernelManager

from helpers.common.files import FULL, unwritable, write_atomically

SHOWN_LINES = 12  # of a failing cell's source, and of its traceback
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Kernel(AsyncKernelManager):
    """A kernel that can be ended from another thread than the one that executes its notebook."""

    known: WeakSet[Kernel] = WeakSet()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.known.add(self)

    def end(self, now: bool) -> None:
        """Interrupt the kernel, or kill it and what it has started."""
        if not self.has_kernel:
            return
        how = self.provisioner.kill() if now else self.provisioner.send_signal(signal.SIGINT)
        with suppress(OSError, AttributeError):  # it has ended meanwhile
            asyncio.run(how)


def end_kernels(now: bool) -> None:
    """Interrupt all kernels of this process, or kill them; their notebooks fail."""
    for kernel in list(Kernel.known):
        kernel.end(now)


def execute(path: Path, out: Path, parameters: dict[str, Any],
            on_cell: Callable[[], object]) -> str | None:
    """Execute one notebook; returns None, or an explanation of what failed.

    Its kernel starts in the current folder.

    Args:
        path: the notebook; it is not changed.
        out: the executed copy becomes `<out>/notebooks/NN.ipynb`, or `NN.failed.ipynb`.
        parameters: values for names that the notebook's parameters cell sets; others are left out.
        on_cell: called after each code cell.
    """
    import papermill

    target = out / "notebooks" / f"{number_of(path)}.ipynb"
    failed = target.with_suffix(".failed.ipynb")
    draft = target.with_name(f".{number_of(path)}.draft.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    known = papermill.inspect_notebook(_verbatim(path))
    given = {name: value for name, value in parameters.items() if name in known}

    def counted(cell: Any, **_: Any) -> None:
        if "injected-parameters" not in cell.metadata.get("tags", []):
            on_cell()

    try:
        papermill.execute_notebook(
            _verbatim(path), _verbatim(draft), given, kernel_name="python3", progress_bar=False,
            kernel_manager_class=Kernel, on_cell_executed=counted,
            shutdown_kernel="immediate",  # it would take its objects apart for 3 seconds
            extra_arguments=["--IPKernelApp.log_level=50"])
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            draft.unlink(missing_ok=True)
            raise unwritable(out, error) from error
        _finish(draft, failed, path)
        return explain(error, path.stem, failed)
    failed.unlink(missing_ok=True)
    _finish(draft, target, path)
    return None


def _verbatim(path: Path) -> str:
    """A path as papermill takes it without putting parameters into its braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def explain(error: Exception, name: str, kept: Path) -> str:
    """What a person needs to know of a failed notebook: cell, code, error and partial copy."""
    if hasattr(error, "exec_count"):  # papermill's own error, made from the cell's output
        place, source, what = f"cell In [{error.exec_count}]", error.source, _raised(error)
    else:
        place, source = _last_begun(kept)
        what = f"{type(error).__name__}: {error}"
    if type(error).__name__ == "DeadKernelError":
        what = "The kernel died; most often the memory was full: use a smaller batch or image size."
    lines = source.strip().splitlines()
    shown = lines[:SHOWN_LINES] + (["..."] if len(lines) > SHOWN_LINES else [])
    code = "".join(f"\n    {line}" for line in shown)
    copy = kept.relative_to(Path.cwd()) if kept.is_relative_to(Path.cwd()) else kept
    return (f"\n{name} stopped at {place}:{code}\n\n{what}\n\n"
            f"What it had shown until then is in {copy}")


def _raised(error: Any) -> str:
    """The one line of a `UserError`, else the end of the traceback."""
    if error.ename == "UserError":
        return f"error: {error.evalue}"
    trace = ANSI.sub("", "\n".join(error.traceback)).strip().splitlines()
    return "\n".join(trace[-SHOWN_LINES:])


def _last_begun(kept: Path) -> tuple[str, str]:
    """Place and source of the last cell that papermill had started."""
    cells = _cells(kept) if kept.exists() else []
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    begun = [cell for cell in code if cell["metadata"].get("papermill", {}).get("start_time")]
    if not begun:
        return "its start", ""
    return f"code cell {code.index(begun[-1]) + 1}", "".join(begun[-1]["source"])


def number_of(path: Path) -> str:
    """The two digits that a notebook's name begins with."""
    return path.name[:2]


def title_of(path: Path) -> str:
    """The notebook's first heading."""
    return "".join(_cells(path)[0]["source"]).splitlines()[0].lstrip("# ").strip()


def _cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code_cells(path: Path) -> int:
    """How many code cells a notebook has."""
    return sum(cell["cell_type"] == "code" for cell in _cells(path))


def _finish(draft: Path, target: Path, source: Path) -> None:
    """Move papermill's output to its final name, without the paths of this machine in it."""
    if not draft.exists():
        return
    try:
        notebook = json.loads(draft.read_text(encoding="utf-8"))
    except ValueError:  # the disk was full before it was whole
        draft.unlink()
        return
    notebook["metadata"].get("papermill", {}).update(input_path=source.name,
                                                     output_path=target.name)
    write_atomically(target, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    draft.unlink()
