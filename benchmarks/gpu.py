"""Ten minutes of one GPU, in one command: what runs, how fast, and how good an encoder gets.

    python benchmarks/gpu.py FOLDER_OR_ZIP --out OUT           at most 570 seconds
    python benchmarks/gpu.py FOLDER_OR_ZIP --out OUT --only byol     all of them for the record
    python benchmarks/gpu.py FOLDER_OR_ZIP --out OUT --small   all stages on a CPU, small

The images are those of `benchmarks/imagenette.py`. Stages, in this order:

    paths          each method in each precision; does the GPU wait for the host?
    side by side   ours, lightly's parts and the plain loop (see `benchmarks/throughput.py`)
    variants       precisions, batch, size of the views, torch.compile; the quickest goes on
    plan           a step of the preset gpu beside the cost model of `doctor --plan`
    byol           DeepMind's recipe for Imagenette, for two thirds of the time that is left
    noise-byol     the same with noise, for the rest

OUT/summary.json is written anew whenever something is known, and weights come in parts of 12 MiB
(`cat byol-*.safetensors.* > byol.safetensors`): cut at any second, what was found is there. On a
machine without a network `benchmarks/gpu_pack.py` brings what is needed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

BEGAN = time.monotonic()  # the imports take time as well
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402

from benchmarks.on_gpu import learn, paths, speed  # noqa: E402
from benchmarks.on_gpu.record import Record  # noqa: E402
from benchmarks.on_gpu.sizes import GPU, SMALL, Task  # noqa: E402
from benchmarks.photos import data  # noqa: E402
from helpers.common.compute import one_thread  # noqa: E402
from helpers.common.errors import UserError  # noqa: E402
from helpers.methods.presets import PHOTO_NOISE  # noqa: E402

STAGES = ("paths", "side by side", "variants", "plan", "byol", "noise-byol")
# Seconds without which a stage is not begun, and of a training what it leaves for the test images.
LEAST = {"paths": 60, "side by side": 90, "variants": 60, "plan": 30, "byol": 20, "noise-byol": 15}
TEST = 12
FIRST_SHARE = 0.64  # of the time left, for the first of two trainings


def task_of(options: argparse.Namespace) -> Task:
    """The images and the sizes."""
    sizes = SMALL if options.small else GPU
    settings = data.settings_for(options.data, device=options.device, size=sizes.image,
                                 encoder=sizes.encoder)
    return Task(data.photographs(options.data, settings), settings, sizes)


def trainings(record: Record, task: Task, wanted: list[str],
              quickest: tuple[speed.Variant, float] | None) -> None:
    """BYOL, then noise-BYOL, each in its share of what is left."""
    changes: dict[str, dict[str, Any]] = {
        "byol": {}, "noise-byol": dict(noise=PHOTO_NOISE, ramp=(0.05, 0.3))}
    names = [name for name in changes if name in wanted]
    for number, name in enumerate(names):
        share = FIRST_SHARE if number < len(names) - 1 else 1.0

        seconds = min(task.sizes.longest, share * (record.left - TEST))
        record.run(name, needed(name, task), learn.run, record, name, task, seconds, quickest,
                   changes[name])


def needed(stage: str, task: Task) -> float:
    """Seconds without which a stage is not begun."""
    return LEAST[stage] if task.device == "cuda" else TEST + 1


def stages(record: Record, task: Task, wanted: list[str]) -> None:
    """All that were asked for, in order."""
    measure: dict[str, Callable[[Record, Task], Any]] = {
        "paths": paths.run, "side by side": speed.side_by_side, "variants": speed.variants,
        "plan": speed.plan}
    found = {}
    for name, work in measure.items():
        if name in wanted:
            found[name] = record.run(name, needed(name, task), work, record, task)
    trainings(record, task, wanted, found.get("variants"))


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="train/<class>/ and val/<class>/, or a zip of them")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=570.0, help="default: 570")
    parser.add_argument("--small", action="store_true", help="all stages, small, on a CPU")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES), metavar="STAGE",
                        help=f"of {', '.join(STAGES)}")
    parser.add_argument("--device", help="default: cuda, with --small cpu")
    options = parser.parse_args(words)
    options.device = options.device or ("cpu" if options.small else "cuda")
    return options


def main(words: list[str] | None = None, began: float | None = None) -> None:
    options = parsed(words)
    record = Record(options.out, options.seconds, began)
    task = task_of(options)
    # two threads on small work wait for each other wherever something else wants a core
    with one_thread() if options.device == "cpu" else nullcontext():
        measure(record, task, options)


def measure(record: Record, task: Task, options: argparse.Namespace) -> None:
    """All that was asked for, between what the machine is and what is left."""
    record.add("facts", machine=data.machine(task.device), images=str(task.splits),
               torch=torch.__version__, cores=os.cpu_count(), read_after=round(
                   options.seconds - record.left, 1))
    stages(record, task, options.only)
    record.add("end", seconds_left=round(record.left, 1),
               files=sorted(path.name for path in options.out.iterdir()))


if __name__ == "__main__":
    try:
        main(began=BEGAN)
    except UserError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
