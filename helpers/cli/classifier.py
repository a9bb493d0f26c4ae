"""What `python -m helpers train`, `predict` and `evaluate my.safetensors` do."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from helpers.cli.features import latents_of
from helpers.cli.parsing import refuse_split, split_of
from helpers.cli.recipe_options import given_fields
from helpers.common.errors import UserError
from helpers.common.files import atomic_path, check_writable, one_at_a_time
from helpers.common.names import DATASETS
from helpers.data.archive import unpacked
from helpers.data.folder import broken_note, held_out_share, load_listing
from helpers.data.labels import labelled_listing
from helpers.data.latents import is_latents
from helpers.data.listing import OF_AN_ARCHIVE, Listing, count_files
from helpers.data.loading import check_size, load, load_for, name_or_path
from helpers.data.scan import scan
from helpers.data.splits import Labeled, Splits
from helpers.data.stream import image_files
from helpers.evaluation.judge import details, details_in_words, in_words, judged
from helpers.evaluation.predictions import (
    Extremes,
    labelled_predictions,
    predict,
    write_predictions,
)
from helpers.evaluation.probes import label_subsets
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.classifier_file import KeptClassifier, load_classifier
from helpers.models.weights.hub import for_channels, named_encoder, weights_file
from helpers.models.weights.registry import sha256
from helpers.settings import Settings
from helpers.training.best import fetched_best
from helpers.training.kept import keep_classifier
from helpers.training.protocols import (
    LONGER,
    Features,
    FeaturesOnDisk,
    train_linear,
    train_mlp,
    train_whole,
)
from helpers.training.released import FOR_FOLDERS, PHOTOGRAPHS
from helpers.training.runs import fresh_encoder

SCRATCH = "scratch"  # in place of weights
WHOLE = ("finetune", "last-block")  # protocols that train the encoder, too
WHOLE_OPTIONS = ("epochs", "eval_every", "log_every", "save_every")
SHEETS = (".png", ".jpg", ".pdf", ".svg")  # endings of a sheet
USUAL = {"digits": "byol-slim-digits", "fashion-mnist": "byol-slim-digits"}  # by dataset


def train(options: argparse.Namespace) -> None:
    """`train DATA`: a classifier from a folder, a labels file or a dataset, in one file."""
    out = Path(options.out)
    if out.suffix != ".safetensors":
        raise UserError(f"--out {out}: the file must end in .safetensors")
    check_writable(out)
    if is_latents(options.data):
        _train_on_disk(out, options)
        return
    whole = options.protocol in WHOLE
    changes = _changes(options)
    name = options.weights or _usual_weights(options)
    scratch = name == SCRATCH
    if scratch and not whole:
        raise UserError("random weights are trained as a whole: add --protocol finetune")
    if options.encoder and not scratch:
        raise UserError("--encoder is for --weights scratch: other weights have their own")
    encoder = None if scratch else named_encoder(name, options.image_size)[0]
    size = encoder.config["image_size"] if encoder else options.image_size
    settings = Settings.resolve(dataset=options.data, seed=options.seed, device=options.device,
                                encoder=options.encoder, image_size=size, run_dir=options.run_dir,
                                precision=options.precision, split=split_of(options))
    splits = _splits(options, settings)
    encoder = (for_channels(encoder, name, splits.channels) if encoder else
               fresh_encoder(splits, settings)).eval().to(settings.device)
    print(splits)
    features = None
    if whole:
        start = name if scratch else f"{name} {sha256(weights_file(name))[:8]}"
        head, recipe = train_whole(
            encoder, splits, settings, start, changes=changes, epochs=options.epochs,
            resume=options.resume, last_block=options.protocol == "last-block",
            eval_every=options.eval_every, log_every=options.log_every,
            save_every=options.save_every)
    else:
        features = Features(encoder, splits)
        head, recipe = _head(features, options.protocol, settings.seed)
    keep_classifier(out, head, splits, features=features, protocol=options.protocol, recipe=recipe,
                    weights=str(name))


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """The recipe's fields that are given; a UserError where the protocol trains a head alone."""
    changes = given_fields(options)
    ClassifierRecipe(**{"steps": 1} | changes)  # complains of values that are none
    if options.protocol not in WHOLE:
        named = [*changes, *(name for name in WHOLE_OPTIONS if getattr(options, name))]
        if named:
            raise UserError(f"--{named[0].replace('_', '-')} is for --protocol "
                            f"{' or '.join(WHOLE)}, and {options.protocol} trains a head alone")
    return changes


def _head(features: Features, protocol: str, seed: int) -> tuple[Pipeline, dict]:
    return train_linear(features) if protocol == "linear" else train_mlp(features, seed)


def _train_on_disk(out: Path, options: argparse.Namespace) -> None:
    """A head on features that were written before; their images are not needed."""
    refuse_split(options, f"{options.data} was split when its features were written")
    _changes(options)
    if options.protocol in WHOLE or options.labels or options.per_class:
        raise UserError(f"{options.data} holds features: for fine-tuning, --labels and --per-class "
                        "name the images")
    latents, encoder = latents_of(options.data, options.weights)
    features = FeaturesOnDisk(encoder, latents)
    if not len(features.splits.train):
        raise UserError(f"{options.data} has features of no labelled image: write those of a "
                        "folder with classes")
    seed = Settings.resolve(dataset=options.data, seed=options.seed).seed
    head, recipe = _head(features, options.protocol, seed)
    keep_classifier(out, head, features.splits, features=features, protocol=options.protocol,
                    recipe=recipe, weights=options.weights or latents.made.weights)


def _usual_weights(options: argparse.Namespace) -> str:
    """The weights where none are named: for a folder the best that this machine runs in minutes."""
    settings = Settings.resolve(dataset=options.data, seed=options.seed, device=options.device)
    if settings.dataset in DATASETS or settings.preset == "smoke":
        return USUAL.get(settings.dataset, PHOTOGRAPHS["byol"])
    passes = count_files(settings.dataset) or OF_AN_ARCHIVE
    if options.protocol in WHOLE:
        passes = 3 * LONGER * settings.finetune_steps * settings.batch_size
    return fetched_best(passes, settings.device, "train") or FOR_FOLDERS


def _splits(options: argparse.Namespace, settings: Settings) -> Splits:
    """The images that are named, with the labels that are given.

    Of a folder that has too few labels for it, nothing is kept apart for validation and test.
    """
    wanted = name_or_path(settings.dataset)
    check_size(settings.image_size)
    if wanted in DATASETS and options.labels:
        raise UserError(f"--labels is for a folder, and {settings.dataset} has its own labels")
    if wanted in DATASETS:
        splits = load_for(settings)
    else:
        with one_at_a_time(settings.data_dir):
            listing = _listing(options, settings, Path(wanted))
            splits = load_listing(listing, settings.image_size, settings.seed, settings.data_dir,
                                  held_out=held_out_share(listing), split=settings.split)
    if not options.per_class:
        return splits
    (some,) = label_subsets(splits.train.labels, options.per_class, 1, settings.seed)
    return replace(splits, train=Labeled(splits.train.images[some], splits.train.labels[some]))


def _listing(options: argparse.Namespace, settings: Settings, root: Path) -> Listing:
    """The images of a folder or archive by its folders, or by a table of labels."""
    root = unpacked(root, settings.data_dir) if root.is_file() else root
    if not options.labels:
        return scan(root, classes=settings.split.classes)
    return labelled_listing(root, Path(options.labels), settings.split.classes)


def predict_files(options: argparse.Namespace) -> None:
    """`predict FILE IMAGES`: a table of predictions, and a sheet of them."""
    check_writable(options.out)
    if options.sheet and Path(options.sheet).suffix.lower() not in SHEETS:
        raise UserError(f"--sheet {options.sheet}: the file must end in {', '.join(SHEETS)}")
    if options.sheet:
        check_writable(options.sheet)
    classifier = _loaded(options.file, options.device)
    files = image_files(options.images)
    extremes = Extremes(classifier.classes) if options.sheet else None
    totals = write_predictions(classifier, files, Path(options.out), extremes)
    if extremes:
        from helpers.report.plots.sheet import prediction_sheet

        with atomic_path(options.sheet) as path:
            prediction_sheet(extremes.rows()).savefig(path)
    share = totals.unlike / totals.classified
    print(f"{options.out}: {totals.classified:,} images, of which {totals.unlike:,} ({share:.1%}) "
          "look unlike anything seen in training")
    if totals.broken:
        print(broken_note({str(path): why for path, why in totals.broken.items()}))


def evaluate(path: Path, options: argparse.Namespace) -> None:
    """`evaluate FILE FOLDER`: how many new images a classifier gets right, and which it does not.

    Of a folder with test/ these are the test images, else all of them.

    Raises:
        UserError: the images have classes that the classifier does not know.
    """
    classifier = _loaded(path, options.device)
    settings = Settings.resolve(dataset=options.folder or options.dataset)
    wanted, left_out = name_or_path(settings.dataset), {}
    if wanted in DATASETS:
        splits = load(wanted, image_size=classifier.image_size, data_dir=settings.data_dir)
        check_classes(classifier, splits.classes, wanted)
        probabilities, labels = predict(classifier, splits.test.images)[0], splits.test.labels
        names = splits.classes
    else:
        root = Path(wanted)
        listing = scan(unpacked(root, settings.data_dir) if root.is_file() else root)
        names = listing.classes
        check_classes(classifier, names, wanted)
        images = [image for image in listing.images if image.label >= 0]
        test = [image for image in images if image.split == "test"]
        probabilities, labels, left_out = labelled_predictions(classifier, test or images)
    labels = labels.clone().apply_(lambda label: classifier.classes.index(names[label]))
    _say(classifier, wanted, judged(probabilities, labels),
         details(probabilities, labels, classifier.classes), left_out, options.json)


def _say(classifier: KeptClassifier, wanted: str, found: dict, more: dict, left_out: dict,
         as_json: bool) -> None:
    if as_json:
        print(json.dumps({"images": wanted, **found, **more, "left_out": left_out}, indent=1))
        return
    print(in_words(found))
    print(f"expected calibration error {found['calibration_error']:.3f}")
    print(details_in_words(more, classifier.classes))
    for what, count in left_out.items():
        if count:
            print(f"left out: {count:,} images, {what}")


def check_classes(classifier: KeptClassifier, names: tuple[str, ...], where: str) -> None:
    """A UserError unless a classifier knows all classes of some images."""
    unknown = [name for name in names if name not in classifier.classes]
    if unknown:
        raise UserError(f"{where} has the class {unknown[0]} ({len(unknown)} of {len(names)} are "
                        f"unknown), and the classifier knows {', '.join(classifier.classes[:12])}: "
                        "evaluate it on images of its own classes")


def _loaded(path: str | Path, device: str | None) -> KeptClassifier:
    settings = Settings.resolve(dataset="digits", device=device)
    return load_classifier(path).to(settings.device)
