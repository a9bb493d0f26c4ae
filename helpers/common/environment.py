"""What the first cell of every notebook does, on Colab and on any other machine.

Only the standard library is imported here: this module runs before the packages are there.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from helpers.common.errors import UserError

GPU_DATASET = "imagenette"  # what "auto" takes on a GPU
PUBLIC_HOST = ("s3.amazonaws.com", 443)  # its server

ROOT = Path(__file__).resolve().parents[2]
# where people mount their Google Drive; Colab's own button takes the first
DRIVES = (Path("/content/drive"), Path("/content/gdrive"), Path("/gdrive"))
# what pip says, and what helps
PIP_CURES = {
    "externally-managed-environment": "this Python belongs to the system: make a virtual "
    "environment (python3 -m venv .venv) and start Jupyter from it",
    "No module named pip": "this Python has no pip: run `python -m ensurepip`, or `uv pip install "
    "-r requirements.txt` in an environment of uv",
    "No space left": "free some disk space",
    "Permission denied": "this environment cannot be written: make one of your own (python3 -m "
    "venv .venv)",
}
REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:>=\s*([\d.]+))?")


def on_colab() -> bool:
    """Whether this runs on Google Colab."""
    if "google.colab" in sys.modules:
        return True
    try:
        return importlib.util.find_spec("google.colab") is not None
    except ModuleNotFoundError:  # not even a package named google
        return False


def in_notebook() -> bool:
    """Whether this is a Jupyter or Colab kernel; not a process forked from one."""
    if "IPython" not in sys.modules or multiprocessing.parent_process() is not None:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def run_folder(run_dir: str, save_to_drive: bool) -> str:
    """Where the runs of a notebook go: `run_dir`, or the same on the person's Google Drive, which
    is mounted where it is not; "auto" is there the folder `few-labels`.

    Raises:
        UserError: the Drive cannot be mounted, or `run_dir` lies somewhere else.
    """
    if not save_to_drive:
        return run_dir
    drives = [place / "MyDrive" for place in DRIVES]
    named = next((each for each in drives if Path(run_dir).is_relative_to(each)), drives[0])
    drive = next((each for each in drives if each.is_dir()), named)
    folder = drive / ("few-labels" if run_dir == "auto" else run_dir)
    if not folder.is_relative_to(drive):
        raise UserError(f"RUN_DIR {run_dir} is not on the Drive at {drive}: let it be auto, or "
                        "SAVE_TO_DRIVE be False")
    need_drive(folder)
    return str(folder)


def need_drive(folder: Path) -> None:
    """Mount the person's Google Drive if `folder` lies on it and it is not mounted yet.

    Raises:
        UserError: it cannot be mounted from here. Without it the folder would vanish with the
            machine.
    """
    place = next((each for each in DRIVES if folder.absolute().is_relative_to(each)), None)
    if place is None:
        # a Drive of a name of its own: without it the folder would be made on this machine's disk
        parts = folder.absolute().parts
        named = next((name for name in ("MyDrive", "My Drive") if name in parts), None)
        place = Path(*parts[:parts.index(named)]) if named else None
    if place is None or any((place / name).is_dir() for name in ("MyDrive", "My Drive")):
        return
    try:
        importlib.import_module("google.colab.drive").mount(str(place))
    # Colab's differ: refused by the person, timed out, not asked from a notebook
    except Exception as error:
        refused = str(error).split("\n")[0]
        reason = refused if on_colab() else "Google Drive can be mounted on Colab only"
        raise UserError(
            f"{folder} is on a Google Drive that is not mounted ({reason}): on Colab run `from "
            f"google.colab import drive; drive.mount('{place}')` in a cell first, or choose "
            "another folder") from error


def share_folders(root: Path = ROOT) -> None:
    """Let every notebook use the repository's `runs`, `results` and `data`, wherever it was opened.

    Jupyter starts a kernel in the notebook's own folder; what one notebook trained, the next must
    find. Set FEWLABELS_RUN_DIR, FEWLABELS_RESULTS_DIR or FEWLABELS_DATA_DIR to use other folders.
    """
    for variable, name in (("RUN_DIR", "runs"), ("RESULTS_DIR", "results"), ("DATA_DIR", "data")):
        os.environ.setdefault(f"FEWLABELS_{variable}", os.path.relpath(root / name))


def requirements(path: Path) -> dict[str, str]:
    """The packages of a requirements file and their lowest versions ("" where there is none)."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    found = (REQUIREMENT.match(line) for line in lines if line and not line.startswith("-"))
    return {match[1]: match[2] or "" for match in found if match}


def installed(name: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def is_older(version: str, lowest: str) -> bool:
    """Whether a version is below another by its leading numbers ("2.11.0+cu128" is 2.11.0)."""
    numbers = [[int(part) for part in re.match(r"[\d.]*", text)[0].split(".") if part]
               for text in (version, lowest)]
    return numbers[0] < numbers[1]


def install_missing(path: Path, only: Collection[str] = ()) -> None:
    """Install the packages of a requirements file, or `only` some, and replace none that is here.

    One line says what was done. A package that is here but older than asked for is named, not
    replaced: on Colab that would break what else is installed.
    """
    wanted = {name: lowest for name, lowest in requirements(path).items()
              if not only or name in only}
    here = {name: installed(name) for name in wanted}
    missing = [f"{name}>={lowest}" if lowest else name
               for name, lowest in wanted.items() if here[name] is None]
    old = [f"{name} {here[name]} (wants {lowest})" for name, lowest in wanted.items()
           if here[name] and is_older(here[name], lowest)]
    if missing:
        _pip_install(missing)
        importlib.invalidate_caches()
    said = f"installed {', '.join(missing)}" if missing else "nothing is missing"
    print(f"Packages: {said}." + (f" Older than asked for: {', '.join(old)}." if old else ""))


def _pip_install(packages: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        keep = Path(folder) / "keep.txt"
        keep.write_text("\n".join(_versions_here()), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                   "--no-input", "-c", str(keep), *packages]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines()
                if line.lower().startswith("error") or "No module named pip" in line]
        cure = next((cure for words, cure in PIP_CURES.items() if words in done.stderr),
                    "check the network, or install them by hand")
        reason = said[0] if said else "pip gave no reason"
        raise UserError(f"pip could not install {', '.join(packages)}: {cure} ({reason})")


def _versions_here() -> list[str]:
    """Every installed package pinned to its version: pip may add to these, not change them."""
    pairs = {(found.metadata["Name"], found.version) for found in metadata.distributions()}
    return sorted(
        f"{name}=={version}" for name, version in pairs
        if name and version and re.fullmatch(r"[\w.-]+", name) and re.match(r"\d", version))


def locate(path: str | Path) -> Path | None:
    """The first place of `places_of` that exists, or None."""
    return next((place for place in places_of(path) if place.exists()), None)


def places_of(path: str | Path) -> list[Path]:
    """Where a path is looked for: seen from here, then from the repository.

    Jupyter starts a kernel in the notebook's folder, and people think of the repository's.
    """
    path = Path(path).expanduser()
    return list(dict.fromkeys([Path.cwd() / path, ROOT / path]))  # one for an absolute path


def has_network(timeout: float = 2.0) -> bool:
    """Whether the server of Imagenette answers in `timeout` seconds; never when `offline`."""
    if offline():
        return False
    answered = threading.Event()
    # In a thread, because looking up a name can take much longer than the timeout of the socket.
    thread = threading.Thread(target=_connect, args=(timeout, answered), daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def offline() -> bool:
    """Whether FEWLABELS_OFFLINE=1 asks to leave the network alone."""
    return os.environ.get("FEWLABELS_OFFLINE", "").strip().lower() in {"1", "true", "yes", "on"}


def _connect(timeout: float, answered: threading.Event) -> None:
    with contextlib.suppress(OSError), socket.create_connection(PUBLIC_HOST, timeout=timeout):
        answered.set()


def default_dataset(device: str) -> tuple[str, str]:
    """What "auto" stands for, and why: Imagenette on a GPU with a network, else the digits."""
    if not device.startswith("cuda"):
        return "digits", "embedded: no GPU here"
    if not has_network():
        return "digits", "embedded: no network here"
    return GPU_DATASET, "a GPU and a network are here"
