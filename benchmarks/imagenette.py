"""Learning without labels from photographs: our recipes, a peer's, and what the encoders are worth.

    python benchmarks/imagenette.py VERB FOLDER ...

    train FOLDER --method byol --epochs 60     one training; or --minutes 12, of one core
    race FOLDER --minutes 12 --seeds 0 1 2     ours and lightly's benchmark, one after the other
    evaluate FOLDER --weights NAME_OR_FILE     every protocol on an encoder
    gpu FOLDER --run OUT                       the same on what benchmarks/gpu.py trained into OUT
    labels FOLDER --weights NAME_OR_FILE       from scratch, features, fine-tuned
    baselines FOLDER                           raw pixels and random weights
    search FOLDER                              one change of the recipe at a time
    whitened FOLDER --weights NAME_OR_FILE     the features' directions made alike
    draw                                       the figures anew from what is kept

FOLDER has train/<class>/ and val/<class>/, as Imagenette (https://github.com/fastai/imagenette)
unpacks. Choices are made on 15 % of train that no training sees; the folder's val is read at the
end. Killed? Start the same line again. A CPU trains the miniature at 48 pixels, and minutes are CPU
minutes; a GPU (`--device cuda`) trains ResNet18 at 128 pixels, and minutes are those by the wall.
Encoders and checkpoints lie in runs/, from where a training goes on. Every run leaves a CSV and a
JSON (settings, versions, machine, cost, curve) in results/imagenette/; what was kept lies in
benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.on_gpu.record import facts_in, joined  # noqa: E402
from benchmarks.on_gpu.sizes import SHARES  # noqa: E402
from benchmarks.photos import data, labels, race, runs, whitened  # noqa: E402
from benchmarks.photos import search as search_of  # noqa: E402
from benchmarks.photos.protocols import PROTOCOLS, evaluated  # noqa: E402
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.common.names import METHODS
from helpers.data.splits import Splits
from helpers.models.encoder import Encoder
from helpers.models.weights.checkpoint import load_encoder
from helpers.models.weights.hub import fetch
from helpers.report.collect import KEPT
from helpers.settings import Settings
from helpers.training.released import PHOTOGRAPHS
from helpers.training.runs import fresh_encoder

UNTRAINED = ("knn", "linear", "mlp", "noise")  # protocols that take an encoder as it is, or pixels


def settings_of(options: argparse.Namespace, **choices: object) -> Settings:
    """The suite's settings with what was asked for on the command line."""
    given = {
        key: value
        for key, value in vars(options).items()
        if key in ("device", "size", "seed")
    }
    return data.settings_for(options.folder, **given | choices)


def run_name(method: str, settings: Settings, minutes: float | None,
             epochs: float | None = None) -> str:
    """What the files of a run are called."""
    budget = f"{epochs:g}epochs" if minutes is None else f"{minutes:g}min"
    trained = f"{method}-{settings.encoder}-{settings.image_size}px-{budget}"
    return f"imagenette-{trained}{device_suffix(settings)}-seed{settings.seed}"


def device_suffix(settings: Settings) -> str:
    """What the names of files say of a device other than a CPU."""
    return "" if settings.device == "cpu" else f"-{settings.device}"


def train(options: argparse.Namespace) -> None:
    """One training and its evaluation."""
    settings = settings_of(options, encoder=options.encoder)
    splits = data.photographs(options.folder, settings)
    name = run_name(options.method, settings, options.minutes, options.epochs)
    earlier = data.before(options.start)  # a training from weights has cost what they have
    run = runs.train(options.method, options.folder, splits, settings, out=Path(options.out) / name,
                     epochs=options.epochs, minutes=options.minutes, start=options.start)
    rows = list(evaluated(run.encoder, splits, settings, options.protocols))
    chosen = dict(method=options.method, encoder=settings.encoder, size=settings.image_size,
                  start=options.start or "scratch", minutes=options.minutes, seed=settings.seed,
                  epochs=options.epochs if options.minutes is None else None,
                  test_images=len(splits.test))
    cost = dict(cpu_seconds=run.clock.cpu, seconds=run.clock.wall, steps=run.steps,
                minutes=earlier["minutes"] + run.clock.spent / 60,
                epochs=earlier["epochs"] + run.epochs)
    data.keep(name, chosen | dict(recipe=run.recipe), rows, options.results, settings.device,
              curve=later(run.curve, earlier["minutes"]), losses=run.losses[::50], cost=cost)
    for row in rows:
        print(
            f"{name}: {row['protocol']}, {row['labels_per_class']} labels per class: "
            f"{row['mean']:.1%} of "
            f"{len(splits.test):,} test images", file=sys.stderr)


def later(curve: list[dict[str, float]], minutes: float) -> list[dict[str, float]]:
    """A training's curve, so many minutes later."""
    return [row | dict(minutes=runs.minutes_of(row) + minutes) for row in curve]


def race_all(options: argparse.Namespace) -> None:
    """Seed after seed, one contender after the other; what has ended is not run again."""
    device = data.settings_for(options.folder, device=options.device).device
    contenders = race.CONTENDERS["cpu" if device == "cpu" else "gpu"]
    names = list(dict.fromkeys(options.contenders or contenders))
    if len(names) < 2 or not contenders.keys() >= set(names):
        raise UserError(
            "a race on this device needs two contenders or more of: "
            f"{', '.join(map(repr, contenders))}; "
            "for one training there is `train`")
    for seed in options.seeds:
        kinds = map(contenders.get, names)
        commands = [train_command(options, device, seed, *kind) for kind in kinds]
        race.one_by_one([command for command in commands if command])
        print(race.summarise(options.results).to_string(index=False), flush=True)


def train_command(options: argparse.Namespace, device: str, seed: int, method: str,
                  encoder: str) -> list[str]:
    """The line that trains one contender of a race; empty where its results are there already."""
    settings = data.settings_for(options.folder, device=device, size=options.size, seed=seed,
                                 encoder=encoder)
    if (options.results / f"{run_name(method, settings, options.minutes)}.json").exists():
        return []
    words = dict(method=method, encoder=encoder, seed=seed, minutes=options.minutes, device=device,
                 size=settings.image_size, out=options.out, results=options.results)
    given = [word for key, value in words.items() for word in (f"--{key}", str(value))]
    return [sys.executable, __file__, "train", options.folder, "--protocols", *options.protocols,
            *given]


def loaded(options: argparse.Namespace) -> tuple[Encoder, Splits, Settings]:
    """The encoder that was named, in eval mode, with images of its size and settings for them."""
    path = Path(options.weights)
    encoder = load_encoder(path if path.is_file() else fetch(options.weights)).eval()
    settings = settings_of(options, size=encoder.config["image_size"], encoder=encoder.name,
                           draws=options.draws)
    return encoder.to(settings.device), data.photographs(options.folder, settings), settings


def printed(rows: Iterable[dict]) -> Iterator[dict]:
    """The rows, each printed as it comes."""
    for row in rows:
        print(f"{row['protocol']}, {row['labels_per_class']} labels per class: {row['mean']:.1%}",
              flush=True)
        yield row


def evaluate(options: argparse.Namespace) -> None:
    """All protocols on a released encoder or one of a file."""
    encoder, splits, settings = loaded(options)
    title = titled(encoder)
    rows = [dict(method=title, **row)
            for row in printed(evaluated(encoder, splits, settings, options.protocols))]
    chosen = dict(encoder=encoder.name, size=splits.image_size,
                  weights=data.shown([options.weights])[0], meta=encoder.meta, seed=settings.seed,
                  test_images=len(splits.test))
    data.keep(f"imagenette-{named(options.weights)}{device_suffix(settings)}", chosen, rows,
              options.results, settings.device)


def evaluate_gpu(options: argparse.Namespace) -> None:
    """All protocols on an encoder that `benchmarks/gpu.py` has trained, and the record of its
    training."""
    facts, stage = facts_in(options.run), options.stage
    whole = options.run / f"{stage}.safetensors"
    write_atomically(whole, joined(options.run, stage))
    options.weights = str(whole)
    encoder, splits, settings = loaded(options)
    rows = list(printed(evaluated(encoder, splits, settings, options.protocols)))
    done = facts[stage]
    seconds = done["curve"][-1]["seconds"]
    curve = [dict(step=point["step"], cpu_seconds=0.0, minutes=point["seconds"] / 60,
                  knn=point["validation kNN, k = 20"]) for point in done["curve"]]
    chosen = dict(method=stage, encoder=encoder.name, size=splits.image_size, start="scratch",
                  minutes=None, seed=encoder.meta["seed"], epochs=done["epochs"],
                  images=done["images"], test_images=len(splits.test), recipe=done["recipe"])
    cost = dict(seconds=seconds, steps=done["trained"], minutes=seconds / 60,
                epochs=done["epochs"])
    made_on = facts["facts"]["machine"]
    name = (f"imagenette-{stage}-{encoder.name}-{splits.image_size}px-{done['epochs']:.0f}epochs-"
            f"{made_on['device']}-seed{encoder.meta['seed']}")
    data.keep(name, chosen, rows, options.results, machine_of=made_on, curve=curve,
              losses=done["losses"], cost=cost, evaluated_on=data.machine(settings.device),
              trained_by=facts["facts"]["command"])


def compare_whitened(options: argparse.Namespace) -> None:
    """kNN and few labels on features whose directions are made alike, more and more."""
    encoder, splits, settings = loaded(options)
    rows = []
    for row in whitened.compare(encoder, splits, settings):
        rows.append(dict(weights=named(options.weights), **row))
        print(f"power {row['power']:g}: {row['protocol']}, {row['labels_per_class']} labels per "
              f"class: {row['mean']:.1%}", flush=True)
    path = options.results / f"whitened-{named(options.weights)}{device_suffix(settings)}.csv"
    write_atomically(path, data.as_csv(rows))


def named(weights: str) -> str:
    """What results on weights are called: what `train` wrote by its folder, since all such files
    have one name."""
    path = Path(weights)
    return path.parent.name if path.stem == "encoder" else path.stem


def baselines(options: argparse.Namespace) -> None:
    """What costs no training, under every protocol that needs none either."""
    settings = settings_of(options)
    splits, rows = data.photographs(options.folder, settings), []
    random = fresh_encoder(splits, settings).eval().to(settings.device)
    for title, encoder in {"random encoder": random, "raw pixels": None}.items():
        rows += [
            dict(method=title, **row) for row in evaluated(encoder, splits, settings, UNTRAINED)
        ]
        print(f"{title}: {rows[-1]['mean']:.1%} at the strongest noise", flush=True)
    chosen = dict(encoder=settings.encoder, size=settings.image_size, seed=settings.seed,
                  test_images=len(splits.test))
    data.keep(f"imagenette-baselines{device_suffix(settings)}", chosen, rows, options.results,
              settings.device)


def draw(options: argparse.Namespace) -> None:
    """The figures of all that is kept in a folder of results."""
    if not any(options.results.glob("imagenette-*.json")):
        raise UserError(
            f"no results in {options.results}: train first, or name their folder with --results")
    race.summarise(options.results)
    trials = options.results / f"{search_of.NAME}.csv"
    if trials.exists():
        search_of.draw(pd.read_csv(trials), trials.with_suffix(".png"))
    for path in sorted(options.results.glob("imagenette*-labels.json")):
        record = json.loads(path.read_text())
        labels.draw(pd.DataFrame(record["results"]), record["settings"], path.with_suffix(".png"))
    runs.draw(options.results)


def titled(encoder: Encoder) -> str:
    """What tables call an encoder."""
    method = encoder.meta.get("method", "")
    return METHODS.get(method, method)


def compare_labels(options: argparse.Namespace) -> None:
    """The comparison with few labels, on a released encoder or one of a file."""
    encoder, splits, settings = loaded(options)
    own = "" if options.weights == PHOTOGRAPHS["byol"] else f"-{named(options.weights)}"
    name = f"imagenette{own}{device_suffix(settings)}-labels"
    table = labels.compare(encoder, splits, settings, options.results, name)
    print(table.to_string(index=False))


def search_recipe(options: argparse.Namespace) -> None:
    """The trials behind the recipe for photographs on a CPU."""
    splits = data.photographs(options.folder, data.settings_for(options.folder))
    search_of.search(splits, options.results, options.steps)


def above_zero(text: str) -> float:
    """A budget."""
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"{text} is nothing: give more than 0")
    return float(text)


VERBS = {"train": train, "race": race_all, "evaluate": evaluate, "gpu": evaluate_gpu,
         "labels": compare_labels, "baselines": baselines, "search": search_recipe,
         "whitened": compare_whitened, "draw": draw}


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made = parser.add_subparsers(dest="what", required=True)
    verbs = {name: made.add_parser(name) for name in VERBS}

    def add(names: str, *words: str, **options: Any) -> None:
        """An option of these verbs."""
        for name in names.split():
            verbs[name].add_argument(*words, **options)

    listed = "evaluate labels whitened"  # that look at weights
    one = f"train gpu baselines {listed}"  # of one seed
    add(f"race search {one}", "folder", help="train/<class>/ and val/<class>/")
    add(f"race search {one}", "--results", type=Path, default=data.RESULTS)
    add("draw", "--results", type=Path, default=KEPT)
    add(f"race {one}", "--device", default="cpu",
        help="cpu, cuda, mps or auto (a GPU if one is here)")
    add(one, "--seed", type=int, default=0)
    add("train race baselines", "--size", type=int,
        help="side of the images, pixels (default: 128 on a GPU, else 48)")
    add("train race", "--out", default="runs", help="where encoders and checkpoints go")
    add("train evaluate gpu", "--protocols", nargs="*", choices=PROTOCOLS, default=list(PROTOCOLS))
    add("race", "--protocols", nargs="*", choices=PROTOCOLS, default=["knn", "linear"])
    add(listed, "--weights", default=PHOTOGRAPHS["byol"], help="a name of the list or a file")
    add("gpu", "--run", type=Path, required=True, metavar="OUT", help="the --out of gpu.py")
    add("gpu", "--stage", choices=SHARES, default="dino", help="a training of gpu.py")
    add(f"gpu {listed}", "--draws", type=int, default=5, help="of the labelled images")
    add("search", "--steps", type=int, default=1000)
    add("train", "--method", choices=runs.METHODS, default="byol")
    add("train", "--encoder", help="default: resnet18 on a GPU, else slim")
    add("train", "--start", default="", metavar="NAME", help="go on from these listed weights; "
        "those of slim grow into slim_fine, slim_deep or slim_joined if that is wished for")
    budget = verbs["train"].add_mutually_exclusive_group()
    budget.add_argument("--epochs", type=above_zero, default=60)
    budget.add_argument("--minutes", type=above_zero,
                        help="of the training: CPU minutes, or a GPU's by the wall")
    add("race", "--minutes", type=above_zero, default=12.0, help="for each, counted as for train")
    add("race", "--seeds", type=int, nargs="+", default=[0, 1, 2])
    names = "; ".join(f"on a {kind.upper()}: {', '.join(map(repr, contenders))}"
                      for kind, contenders in race.CONTENDERS.items())
    add("race", "--contenders", nargs="+", metavar="NAME", help=f"default: all; {names}")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    try:
        VERBS[options.what](options)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
