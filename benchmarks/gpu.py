"""Ten minutes of one GPU, in one command: what runs, how fast, and how good an encoder gets.

    python benchmarks/gpu.py FOLDER_OR_ZIP --out OUT           at most 570 seconds
    python benchmarks/gpu.py FOLDER_OR_ZIP --out OUT --only dino     all of them for the record
    python benchmarks/gpu.py FOLDER_OR_ZIP --out OUT --small   all stages on a CPU, small

The images are those of `benchmarks/imagenette.py`. Stages, in this order:

    paths          each method in each precision; does the GPU wait for the host?
    side by side   ours, lightly's parts and the plain loop (see `benchmarks/throughput.py`)
    variants       precisions, batch, size of the views; the quickest of them and the next goes on
    compiled       torch.compile
    graphs         steps with recorded passes beside plain ones
    plan           a step of the preset gpu beside the cost model of `doctor --plan`
    byol           DeepMind's recipe for Imagenette, for its share of the time that is left
    noise-byol     the same with noise
    dino           the recipe of the slim encoders, with larger heads and batches

OUT/summary.json is written anew whenever something is known, and weights come in parts of 12 MiB
(`cat byol-*.safetensors.* > byol.safetensors`): cut at any second, what was found is there. On a
machine without a network `benchmarks/gpu_pack.py` brings what is needed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

BEGAN = time.monotonic()  # the imports take time as well
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402

from benchmarks.on_gpu import learn, paths, speed  # noqa: E402
from benchmarks.on_gpu.record import Record  # noqa: E402
from benchmarks.on_gpu.sizes import GPU, SHARES, SMALL, Task  # noqa: E402
from benchmarks.photos import data  # noqa: E402
from helpers.cli.recipe_options import value_of_words  # noqa: E402
from helpers.common.compute import one_thread  # noqa: E402
from helpers.common.errors import UserError  # noqa: E402
from helpers.methods.presets import PHOTO_NOISE  # noqa: E402
from helpers.methods.recipes import BYOLRecipe, DINORecipe  # noqa: E402
from helpers.training.trainer import Hardware  # noqa: E402

STAGES = ("paths", "side by side", "variants", "compiled", "graphs", "plan", *SHARES)
# Seconds without which a stage is not begun, and of a training what it leaves for the test images.
LEAST = {"paths": 60, "side by side": 90, "variants": 60, "compiled": 90, "graphs": 60,
         "plan": 30}
TRAINING, TEST = 20, 12


def task_of(options: argparse.Namespace) -> Task:
    """The images and the sizes."""
    sizes = SMALL if options.small else GPU
    settings = data.settings_for(options.data, device=options.device, size=sizes.image,
                                 encoder=sizes.encoder)
    splits = data.photographs(options.data, settings)
    if options.with_val:
        splits = replace(splits, unlabeled=torch.cat([splits.train.images, splits.val.images]))
    return Task(splits, settings, sizes)


def trainings(record: Record, task: Task, options: argparse.Namespace,
              hardware: Hardware) -> None:
    """The trainings that were asked for, each in its share of what is left."""
    changes: dict[str, dict[str, Any]] = {"noise-byol": dict(noise=PHOTO_NOISE, ramp=(0.05, 0.3))}
    names = [name for name in SHARES if name in options.only]
    for number, name in enumerate(names):
        share = SHARES[name] / sum(SHARES[each] for each in names[number:])
        seconds = min(task.sizes.longest, share * (record.left - TEST))
        record.run(name, needed(name, task), learn.run, record, name, task, seconds, hardware,
                   changes.get(name, {}) | options.set)


def needed(stage: str, task: Task) -> float:
    """Seconds without which a stage is not begun."""
    return LEAST.get(stage, TRAINING) if task.device == "cuda" else TEST + 1


def stages(record: Record, task: Task, options: argparse.Namespace) -> None:
    """All that were asked for, in order; the trainings in the quickest way that was found."""
    measure: dict[str, Callable[[Record, Task], Any]] = {
        "paths": paths.run, "side by side": speed.side_by_side, "variants": speed.variants,
        "compiled": speed.compiled, "graphs": speed.graphs, "plan": speed.plan}
    found = {name: record.run(name, needed(name, task), work, record, task)
             for name, work in measure.items() if name in options.only}
    quick = [found[name] for name in ("variants", "compiled") if found.get(name)]
    hardware = Hardware()
    if quick:
        variant = max(quick, key=lambda item: item[1])[0]
        hardware = Hardware(half=variant.half, compiled=variant.compiled)
    trainings(record, task, options, hardware)


def change(word: str) -> tuple[str, Any]:
    """name=value of the command line; of several values, with commas between."""
    name, sign, value = word.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{word!r} is no name=value, such as lr=1e-3")
    return name, value_of_words([value])


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="train/<class>/ and val/<class>/, or a zip of them")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=570.0, help="default: 570")
    parser.add_argument("--small", action="store_true", help="all stages, small, on a CPU")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES), metavar="STAGE",
                        help=f"of {', '.join(STAGES)}")
    parser.add_argument("--set", nargs="+", type=change, default=[], metavar="NAME=VALUE",
                        help="fields of the trainings' recipes, such as lr=1e-3")
    parser.add_argument("--with-val", action="store_true",
                        help="train on the images that choices are made on as well")
    parser.add_argument("--device", help="default: cuda, with --small cpu")
    options = parser.parse_args(words)
    options.set = dict(options.set)
    options.device = options.device or ("cpu" if options.small else "cuda")
    return options


def check_fields(options: argparse.Namespace) -> None:
    """A UserError where a training that was asked for has no such field, or no such value of it."""
    for name in SHARES.keys() & set(options.only):
        (DINORecipe if name == "dino" else BYOLRecipe)(**dict(steps=1) | options.set)


def main(words: list[str] | None = None, began: float | None = None) -> None:
    options = parsed(words)
    check_fields(options)
    record = Record(options.out, options.seconds, began)
    task = task_of(options)
    # two threads on small work wait for each other wherever something else wants a core
    with one_thread() if options.device == "cpu" else nullcontext():
        measure(record, task, options)


def measure(record: Record, task: Task, options: argparse.Namespace) -> None:
    """All that was asked for, between what the machine is and what is left."""
    record.add("facts", command=data.command(), machine=data.machine(task.device),
               images=str(task.splits), torch=torch.__version__,
               read_after=round(options.seconds - record.left, 1))
    stages(record, task, options)
    record.add("end", seconds_left=round(record.left, 1),
               files=sorted(path.name for path in options.out.iterdir()))


if __name__ == "__main__":
    try:
        main(began=BEGAN)
    except UserError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
