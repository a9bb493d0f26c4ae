"""What notebook cells call beside the rooms: `prepare`, `show_source`, `explorer` and others.

Only the standard library is imported here: the first cell runs before the packages are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import inspect
import os
import shlex
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.common.environment import (
    ROOT,
    in_notebook,
    install_missing,
    on_colab,
    share_folders,
)
from helpers.common.errors import UserError
from helpers.common.markup import wrapped
from helpers.common.startup import nothing_is_garbage
from helpers.report.web_image import image, png

__all__ = ["download", "explorer", "image", "png", "prepare", "show_source", "show_tensorboard",
           "skip_the_rest", "source_of", "tell_plan"]
if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

    from helpers.settings import Settings

# The colours travel inside the HTML, on a light ground of their own, so that the code looks the
# same in Jupyter, in Colab, in a dark theme and on a web page made from the notebook.
BOX = ("background:#f6f8fa; color:#24292f; padding:0.6em 0.9em; border-radius:6px; "
       "overflow-x:auto; line-height:1.35;")
# the page's own style would win otherwise
TEXT = "background:transparent; color:inherit; white-space:pre; margin:0"


def show_source(*objects: Any) -> None:
    """Show the Python source of functions, classes or modules, highlighted.

    In a terminal the source is printed as plain text.

    Raises:
        TypeError: an object that has no Python source (a builtin, an instance).
    """
    for thing in objects:
        text = source_of(thing)
        if in_notebook():
            from IPython.display import display

            display({"text/html": _highlight(text), "text/plain": text}, raw=True)
        else:
            print(text)


def source_of(thing: Any) -> str:
    """The object's source without its outer indentation, under a comment that names its place."""
    lines, first = inspect.getsourcelines(thing)
    module = inspect.getmodule(thing)
    where = f"# {module.__name__}, line {max(first, 1)}\n" if module else ""
    return where + textwrap.dedent("".join(lines)).rstrip()


def _highlight(text: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    formatter = HtmlFormatter(noclasses=True, nobackground=True, cssstyles=BOX, prestyles=TEXT)
    return highlight(text, PythonLexer(), formatter)


def explorer(draw: Callable[..., Figure], **choices: Sequence[Any]) -> VBox:
    """Sliders and lists above a figure, which is drawn when they come to values not shown yet; the
    next figure in the same direction is drawn before it is asked for.

    A page without a running kernel shows none of it: draw the figure once without widgets, too.

    Args:
        draw: takes the chosen values by name and returns a figure.
        choices: for each name the values to choose from: numbers become a slider, anything else a
            list. The first one is chosen at the start.
    """
    from ipywidgets import HTML, Dropdown, HBox, SelectionSlider, VBox

    canvas, controls = HTML(), {}
    for name, values in choices.items():
        values = list(values)
        numbers = all(isinstance(value, int | float) for value in values)
        kind = SelectionSlider if numbers else Dropdown
        controls[name] = kind(options=values, value=values[0], description=name.replace("_", " "))
    places, waiting = {name: 0 for name in controls}, []

    @functools.cache
    def drawn(*chosen: int) -> str:
        values = {name: control.options[place]
                  for (name, control), place in zip(controls.items(), chosen, strict=True)}
        return image(draw(**values), quick=True)

    def show(name: str, place: int) -> None:
        further = places | {name: place + (1 if place >= places[name] else -1)}
        places[name] = place
        canvas.value = drawn(*places.values())
        while waiting:
            waiting.pop().cancel()
        if 0 <= further[name] < len(controls[name].options):  # while the person looks at this one
            waiting.extend(_soon(lambda: drawn(*further.values())))

    for name, control in controls.items():
        control.observe(lambda change, name=name: show(name, change["new"]), names="index")
    show(next(iter(controls)), 0)
    return VBox([HBox(list(controls.values()), layout={"flex_flow": "row wrap"}), canvas])


def _soon(call: Callable[[], Any]) -> list[asyncio.TimerHandle]:
    """Call something when the kernel is idle; where there is no kernel, never. What fails then is
    told when it is asked for."""
    def quietly() -> None:
        with contextlib.suppress(Exception):
            call()

    with contextlib.suppress(RuntimeError):
        return [asyncio.get_running_loop().call_later(0.05, quietly)]
    return []


def download(path: Path) -> None:
    """Hand a file over to the person's browser on Colab, and say where it is."""
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    if on_colab() and in_notebook():
        importlib.import_module("google.colab.files").download(str(path))


def show_tensorboard(folder: Path, wanted: bool = True) -> None:
    """Show the curves below `folder` in TensorBoard, in the page that a person has open, on Colab
    or in Jupyter; else say in one line how to see them. Only then a server is started.

    Args:
        wanted: whether the person asked for it.
    """
    command = f"--logdir {shlex.quote(str(folder))}"
    if importlib.util.find_spec("tensorboard") is None:
        print("TensorBoard is not installed (pip install tensorboard); the numbers are in "
              f"{folder / 'metrics.csv'} as well")
    elif wanted and _page_is_open():
        program = Path(sys.executable).with_name("tensorboard")
        if program.exists():  # also where the kernel's environment is not the shell's
            os.environ.setdefault("TENSORBOARD_BINARY", str(program))
        importlib.import_module("tensorboard.notebook").start(command)
    else:
        print(f"not shown here; in a shell: tensorboard {command}")


def _page_is_open() -> bool:
    return importlib.import_module("helpers.models.weights.choose").widgets_work()


def skip_the_rest(reason: str) -> None:
    """Say why, and let all later cells of this notebook do nothing until the kernel is restarted.

    For an optional notebook whose extra package is missing: a run that nobody watches ends cleanly.
    """
    print(f"The rest of this notebook is skipped: {reason}.")
    if in_notebook():
        sys.modules["IPython"].get_ipython().input_transformers_cleanup.append(lambda lines: [])


EXTRA = {"11": ("optuna",)}  # packages that single notebooks need as well
_told: set[str] = set()  # plans that this kernel has printed


def prepare(number: str = "", root: Path = ROOT) -> None:
    """Make this kernel ready (packages, folders, figures, errors) and say what the machine allows.

    Args:
        number: of the notebook, such as "03", whose plan is told.

    Raises:
        UserError: a package is missing and pip could not install it.
    """
    install_missing(root / "requirements.txt")
    if number in EXTRA:
        try:
            install_missing(root / "requirements-extra.txt", EXTRA[number])
        except UserError as problem:  # the notebook says what it leaves out
            print(problem)
    share_folders(root)
    with nothing_is_garbage():
        importlib.import_module("helpers.training.trainer")  # Lightning, for all that train
        doctor = importlib.import_module("helpers.cli.doctor")
    print(wrapped(doctor.brief(root)))
    if number:
        with contextlib.suppress(UserError):  # a wrong variable was named above
            tell_plan(number, importlib.import_module("helpers.settings").Settings.resolve())
    shell = _shell()
    if shell is not None:
        show_errors_plainly(shell)
        shell.run_line_magic("matplotlib", "inline")
        backend = importlib.import_module("matplotlib_inline.backend_inline")
        backend.set_matplotlib_formats("retina")
        pandas = importlib.import_module("pandas")
        for option in ("display.html.use_mathjax", "styler.html.mathjax"):
            pandas.set_option(option, False)  # names in tables are no formulas


def tell_plan(number: str, settings: Settings) -> None:
    """Say in a sentence what a notebook will do with these settings, what it downloads and how
    long it takes; what was said before is not said again."""
    line = str(importlib.import_module("helpers.cli.plan").plan(number, settings))
    if line not in _told:
        print(wrapped(line))
    _told.add(line)


def show_errors_plainly(shell: Any) -> None:
    """Show a `UserError` in a cell as its one line; the cell still counts as failed."""

    def one_line(shell: Any, kind: type, error: Exception, trace: Any,
                 tb_offset: int | None = None) -> None:
        # The private method is what IPython 7 to 9 use to print a traceback in a terminal and to
        # send a kernel's error message, which is how a headless run learns that the cell failed.
        shell._showtraceback(kind, error, [f"\x1b[31merror:\x1b[0m {error}"])

    shell.set_custom_exc((UserError,), one_line)


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None
