"""What `python -m helpers pretrain` and `evaluate` do: the notebooks' functions, from a shell."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from helpers.cli import classifier
from helpers.cli.features import latents_of
from helpers.cli.parsing import refuse_split, split_of
from helpers.cli.plan import of_training
from helpers.cli.recipe_options import overrides, value_of_words
from helpers.common.errors import UserError
from helpers.data.latents import LatentPart, in_memory, is_latents
from helpers.data.loading import load_for
from helpers.data.splits import Splits
from helpers.evaluation.batch_probe import adam_probe, batch_accuracy
from helpers.evaluation.features import extract_features
from helpers.evaluation.label_counts import usable_counts
from helpers.evaluation.linear_sgd import (
    EPOCHS,
    choose_linear,
    crop_view,
    linear_features,
    view_features,
)
from helpers.evaluation.probes import few_label_scores, knn_accuracy, mlp_probe, score
from helpers.methods.presets import fine_tuning, recipe_for, within_epochs
from helpers.methods.recipes import Recipe
from helpers.models.classifier_file import is_classifier
from helpers.models.encoder import Encoder
from helpers.models.weights import registry
from helpers.models.weights.checkpoint import halved, load_encoder
from helpers.models.weights.choose import TRAIN, ask_start
from helpers.models.weights.hub import for_channels, named_encoder
from helpers.settings import Settings
from helpers.training import pretraining, runs
from helpers.training.distributed import is_first, settle_rank
from helpers.training.finetune import few_label_training
from helpers.training.recipe_file import read_recipe
from helpers.training.trainer import Hardware

MOST_NAMED = 3  # runs in a line
USUAL_PROTOCOLS = ("knn", "linear")
LISTED_KS = (20, 200)  # of kNN, in the list of released weights

Frozen = Callable[[LatentPart, LatentPart, Settings], list[dict]]  # of train and test


def pretrain(options: argparse.Namespace) -> None:
    """`pretrain METHOD`: train on unlabelled images and say where the encoder is."""
    settle_rank(options.devices, options.num_nodes)
    settings, recipe, start = _asked(options)
    if is_first() and settings.preset == "full" and not options.epochs:
        print(of_training(options.method, recipe.steps, settings))
    splits = load_for(settings, labelled=False)
    if options.epochs:
        steps = math.ceil(options.epochs * len(splits.unlabeled) / recipe.batch_size)
        recipe = recipe.replace(steps=steps)
    elif recipe.steps == recipe_for(options.method, settings).steps:
        recipe = within_epochs(recipe, settings.dataset, len(splits.unlabeled))
    start = ask_start(start).choice()
    encoder = start.encoder(settings.encoder, splits.image_size, splits.channels)
    if options.resume and is_first():
        images = runs.images_of(splits, settings)
        _say_if_nothing_to_resume(runs.Run(recipe, settings, start.start, images), splits)
    hardware = Hardware(options.devices, options.num_nodes, settings.precision, options.compile,
                        options.graphs)
    done = pretraining.pretrain(splits, settings, recipe, encoder=encoder, start=start,
                                resume=options.resume, hardware=hardware,
                                save_every=options.save_every,
                                stop_on_collapse=options.stop_on_collapse)
    if not is_first():  # one of several processes says it
        return
    last = done.monitor[-1]
    knn = f"kNN on validation {last['knn']:.1%}" if len(splits.train) else "no labels for a kNN"
    print(f"{done.path}: {knn}, feature std {last['feature_std']:.2f}, "
          f"effective rank {last['rank']:.0f} of {last['dimensions']}, {done.seconds:.0f} s")


def _asked(options: argparse.Namespace) -> tuple[Settings, Recipe, str]:
    """Settings, recipe and start: what the command line says, else the file, else the preset."""
    kept = read_recipe(options.config) if options.config else {}
    if kept.get("method", options.method) != options.method:
        raise UserError(f"{options.config} is a recipe of {kept['method']}, not {options.method}")
    chosen = {name: getattr(options, name) if getattr(options, name) is not None else
              kept.get(name) for name in ("dataset", "preset", "encoder", "image_size", "seed")}
    settings = Settings.resolve(**chosen, batch_size=options.batch_size, device=options.device,
                                precision=options.precision, noise_sigma=options.noise_sigma,
                                run_dir=options.out, split=split_of(options),
                                noise_schedule=options.noise_schedule)
    usual = recipe_for(options.method, settings)
    recipe = usual.replace(**kept.get("recipe", {})).replace(**overrides(options, usual))
    if options.views:
        views = {name: value_of_words(words) for name, words in options.views.items()}
        recipe = recipe.replace(views={**(recipe.views or {}), **views})
    if recipe.method != options.method:
        raise UserError(f"this is a recipe of {recipe.method}, not {options.method}: only "
                        "noise-byol has noise")
    start = options.start or kept.get("start", TRAIN)
    return settings, recipe, TRAIN if start == "scratch" else start


def _say_if_nothing_to_resume(run: runs.Run, splits: Splits) -> None:
    """Another recipe or folder begins from zero: say so where there are other runs."""
    others = runs.runs_before(run.recipe.method, run.settings)
    if others and run.folder not in others:
        print(f"nothing to resume in {run.folder}, so it begins from zero; other runs of "
              f"{splits.name}: " + ", ".join(map(str, others[:MOST_NAMED])))


def evaluate(options: argparse.Namespace) -> None:
    """`evaluate FILE`: of a classifier, see `helpers.cli.classifier`; test accuracies of an encoder
    by the chosen protocols."""
    if is_classifier(options.checkpoint) and not options.protocol:
        refuse_split(options, "a classifier is judged by the folder's own test images, or by all")
        classifier.evaluate(Path(options.checkpoint), options)
        return
    images = options.folder or options.dataset
    if is_latents(images):
        refuse_split(options, f"{images} was split when its features were written")
        latents, _ = latents_of(images, options.checkpoint)
        settings = Settings.resolve(dataset=images, seed=options.seed, device=options.device)
        rows = _measured_frozen(options.protocol or USUAL_PROTOCOLS, latents.part("train"),
                                latents.part("test"), settings, options.k)
        _say_rows(options, latents.name, rows)
        return
    encoder, _ = named_encoder(options.checkpoint)
    settings = Settings.resolve(dataset=images, seed=options.seed,
                                device=options.device, precision=options.precision,
                                image_size=encoder.config["image_size"], split=split_of(options))
    splits = load_for(settings)
    encoder = for_channels(encoder, options.checkpoint, splits.channels)
    rows = _measured(encoder, options.checkpoint, options.protocol or USUAL_PROTOCOLS, splits,
                     settings, options.k)
    _say_rows(options, splits.name, rows)


def _say_rows(options: argparse.Namespace, dataset: str, rows: list[dict]) -> None:
    if options.json:
        found = {"checkpoint": str(options.checkpoint), "dataset": dataset, "results": rows}
        print(json.dumps(found, indent=1))
        return
    for row in rows:
        deviation = f" ± {row['std']:.1%}" if row["n"] > 1 else ""
        print(f"{row['protocol']:<30} {row['labels_per_class']!s:>4} labels/class  "
              f"{row['mean']:.1%}{deviation}  (n {row['n']})")


def release(options: argparse.Namespace) -> None:
    """`weights release FILE NAME`: measure one of our encoders and put it into the list."""
    encoder = load_encoder(options.file)
    if options.half:
        encoder.load_state_dict(halved(encoder))  # what is measured is what is kept
    meta = {"dataset": "auto", "seed": 0, **encoder.meta}
    settings = Settings.resolve(dataset=options.dataset or meta["dataset"], seed=meta["seed"],
                                image_size=encoder.config["image_size"])
    rows = _measured(encoder, options.file, ("knn", "linear"), load_for(settings), settings)
    accuracy = {_protocol(row): round(row["mean"], 4) for row in rows
                if row["labels_per_class"] in (1, 10, "all")}
    entry = registry.release(options.file, options.name, what=options.what, licence=options.licence,
                             accuracy=accuracy, half=options.half, input_size=options.input_size)
    print(f"{entry.name}: {entry.what}; {entry.bytes:,} bytes, "
          + ", ".join(f"{protocol} {value:.1%}" for protocol, value in accuracy.items()))


def _protocol(row: dict) -> str:
    count = row["labels_per_class"]
    if count == "all":
        return row["protocol"]
    return f"{row['protocol']}, {count} label{'s' * (count > 1)} per class"


def _measured(encoder: Encoder, name: str, protocols: Iterable[str], splits: Splits,
              settings: Settings, ks: Sequence[int] = LISTED_KS) -> list[dict]:
    """One row a protocol and label count; of kNN one for each of the `ks`."""
    if splits.channels != encoder.config["channels"]:
        raise UserError(
            f"{name} takes images of {encoder.config['channels']} channel(s), but {splits.name} "
            f"has {splits.channels}: measure it on the kind of images it was trained on")
    encoder.eval().to(settings.device)
    frozen = [protocol for protocol in protocols if protocol in PROTOCOLS]
    parts = [in_memory(extract_features(encoder, part.images), part.labels)
             for part in (splits.train, splits.test)] if frozen else []
    rows = _measured_frozen(frozen, *parts, settings, ks) if frozen else []
    return rows + [row for protocol in protocols if protocol in OF_IMAGES
                   for row in OF_IMAGES[protocol](encoder, splits, settings)]


def _measured_frozen(protocols: Iterable[str], train: LatentPart, test: LatentPart,
                     settings: Settings, ks: Sequence[int]) -> list[dict]:
    """Rows of the protocols that need features alone."""
    if set(protocols) & set(OF_IMAGES):
        raise UserError(f"{' and '.join(OF_IMAGES)} need the images: name their folder in place of "
                        "features")
    if not (len(train) and len(test)):
        raise UserError("these features have no labelled train and test images: write those of a "
                        "folder with classes")
    chosen = PROTOCOLS | {"knn": partial(_knn, ks=ks)}
    return [row for protocol in protocols for row in chosen[protocol](train, test, settings)]


def _row(protocol: str, count: int, scores: list[float]) -> dict:
    deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return dict(protocol=protocol, labels_per_class=count or "all", mean=float(np.mean(scores)),
                std=deviation, n=len(scores))


def _knn(train: LatentPart, test: LatentPart, settings: Settings,
         ks: Sequence[int] = LISTED_KS) -> list[dict]:
    bank, queries = train.take(), test.take()
    ks = dict.fromkeys(min(k, len(bank)) for k in ks)  # of fewer images all vote
    return [_row(f"kNN, k = {k}", 0,
                 [knn_accuracy(bank, train.labels, queries, test.labels, k)]) for k in ks]


def _linear(train: LatentPart, test: LatentPart, settings: Settings) -> list[dict]:
    features, queries, subsets = train.take(), test.take(), max(10, settings.draws)
    return [_row("linear probe", count,
                 few_label_scores(features, train.labels, queries, test.labels, count, subsets,
                                  settings.seed)) for count in _counts(train.labels, settings)]


def _mlp(train: LatentPart, test: LatentPart, settings: Settings) -> list[dict]:
    features, queries = train.take(), test.take()
    scores = [score(mlp_probe(features, train.labels, seed), queries, test.labels)
              for seed in range(3)]
    return [_row("MLP 512-128", 0, scores)]


def _batched(name: str, hidden: tuple[int, ...]) -> Frozen:
    """A head that Adam trains, reading the features a batch at a time."""
    def measure(train: LatentPart, test: LatentPart, settings: Settings) -> list[dict]:
        classes = int(max(train.labels.max(), test.labels.max())) + 1
        return [_row(name, 0, [batch_accuracy(adam_probe(train, classes, hidden, seed=seed), test)
                               for seed in range(3)])]

    return measure


def _sgd(encoder: Encoder, splits: Splits, settings: Settings) -> list[dict]:
    """DINO's linear protocol, see `helpers.evaluation.linear_sgd`, its rate chosen on validation.

    Raises:
        UserError: there are no validation images.
    """
    train, val, test = splits.train, splits.val, splits.test
    if not len(val):
        raise UserError("sgd chooses its learning rate on validation images, and there are none")
    describe = partial(linear_features, encoder)
    views = view_features(describe, train.images, crop_view(settings.dataset, settings.image_size),
                          settings.linear_views, settings.seed, settings.device)
    found = choose_linear(views, train.labels, describe(val.images), val.labels,
                          len(splits.classes), epochs=settings.scale(EPOCHS), seed=settings.seed)
    return [_row(f"linear, SGD, rate {found.rate:g}", 0,
                 [found.score(describe(test.images), test.labels)])]


def _finetune(encoder: Encoder, splits: Splits, settings: Settings) -> list[dict]:
    recipe = fine_tuning(settings)
    return [_row(f"fine-tuned, {settings.finetune_steps} steps", count,
                 few_label_training(encoder, splits, settings, recipe, per_class=count))
            for count in _counts(splits.train.labels, settings, splits.classes)]


def _counts(labels: Tensor, settings: Settings, classes: Sequence[str] = ()) -> list[int]:
    """The numbers of labels per class that the training images have; it says what they lack."""
    counts, notes = usable_counts(settings.label_counts, labels, classes)
    for note in notes:
        print(note, file=sys.stderr)
    return counts


PROTOCOLS: dict[str, Frozen] = {
    "knn": _knn, "linear": _linear, "mlp": _mlp,
    "adam": _batched("logistic regression (Adam)", ()),
    "mlp-adam": _batched("MLP 512-128 (Adam)", (512, 128))}
OF_IMAGES = {"sgd": _sgd, "finetune": _finetune}  # these need them, not features alone
