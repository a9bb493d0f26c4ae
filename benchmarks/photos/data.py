"""The images, and how a result is written down."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from helpers.common.compute import precision
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.common.machine import chip
from helpers.data.loading import load
from helpers.data.splits import Splits
from helpers.report.collect import KEPT
from helpers.settings import Settings

# where the trainings of listed weights are written down
RECORDS = {"byol-slim-imagenette": KEPT / "imagenette-byol-slim-48px-40min-seed0.json",
           "byol-fine-imagenette": KEPT / "imagenette-byol-slim_fine-96px-13epochs-seed0.json",
           "dino-deep-imagenette": KEPT / "imagenette-dino-slim_deep-96px-80epochs-seed0.json",
           "dino-joined-imagenette": KEPT / "imagenette-dino-slim_joined-128px-75epochs-seed0.json",
           "noise-byol-joined-imagenette":
               KEPT / "imagenette-noise-byol-slim_joined-128px-65epochs-seed0.json"}
RESULTS = Path(__file__).resolve().parents[2] / "results" / "imagenette"
# of the images, pixels: a CPU's miniature, and that of the public benchmarks
SIDE, GPU_SIDE = 48, 128
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "lightly", "scikit-learn", "numpy",
            "pillow")


def settings_for(folder: str, *, device: str = "cpu", size: int | None = None,
                 **choices: Any) -> Settings:
    """The suite's settings for photographs, with `choices` made.

    Args:
        device: "auto" takes a GPU if one is here. A CPU gets the miniature, a GPU the public
            benchmarks' ResNet18.
        size: side of the images, pixels; None takes what suits the device.
    """
    device = Settings.resolve(dataset=folder, device=device).device
    return Settings.resolve(dataset=folder, preset="quick" if device == "cpu" else "full",
                            device=device, image_size=size
                            or (SIDE if device == "cpu" else GPU_SIDE), **choices)


def photographs(folder: str, settings: Settings) -> Splits:
    """The folder's images; its val is kept for the end, so choices are made on the part split off
    train."""
    splits = load(folder, image_size=settings.image_size, seed=settings.seed,
                  data_dir=settings.data_dir)
    return dataclasses.replace(splits, val=splits.test, test=splits.val,
                               unlabeled=splits.train.images)


def before(start: str) -> dict[str, float]:
    """Minutes and epochs that the listed weights `start` took before a training goes on from them;
    "" are random ones.

    Raises:
        UserError: nothing is written down of their training.
    """
    if not start:
        return dict(minutes=0.0, epochs=0.0)
    if start not in RECORDS:
        raise UserError(f"nobody wrote down what {start} cost: start from {', '.join(RECORDS)}")
    cost = json.loads(RECORDS[start].read_text())["cost"]
    return dict(minutes=cost.get("minutes", cost["cpu_seconds"] / 60), epochs=cost["epochs"])


def as_csv(rows: list[dict] | pd.DataFrame) -> str:
    """Rows as the text of a CSV file with four decimals."""
    return pd.DataFrame(rows).to_csv(index=False, float_format="%.4f", lineterminator="\n")


def keep(name: str, settings: dict[str, Any], rows: list[dict], results: Path = RESULTS,
         device: str = "cpu", machine_of: dict[str, Any] | None = None, **more: Any) -> None:
    """Write one run to `name`.csv (its rows) and `name`.json (rows, settings, versions, machine
    and `more`).

    Args:
        machine_of: that trained, where it was another one; None is this one with `device`.
    """
    versions = {package: version(package) for package in PACKAGES}
    record = dict(command=command(), settings=settings, versions=versions,
                  machine=machine_of or machine(device), **more, results=rows)
    write_atomically(results / f"{name}.csv", as_csv(rows))
    write_atomically(results / f"{name}.json", json.dumps(record, indent=1, default=str) + "\n")


def command() -> str:
    """The line that was typed, for another machine."""
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *shown(sys.argv[1:])])


def shown(words: list[str]) -> list[str]:
    """The words of a command without folders of this machine: of a path its last part stays."""
    return [Path(word).name if os.sep in word else word for word in words]


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the numbers were measured on."""
    return dict(device=device, chip=chip(device), cores=os.cpu_count(),
                threads=torch.get_num_threads(), precision=precision(device),
                system=platform.system(), python=platform.python_version())
