"""What `python -m helpers search`, `robustness` and `similarity` do: notebooks 11 and 07, from a
shell."""

from __future__ import annotations

import argparse
import shlex

import pandas as pd
import torch
from torch import Tensor

from helpers.cli.classifier import check_classes
from helpers.common.errors import UserError
from helpers.common.files import atomic_path, check_writable
from helpers.data.latents import marks_of
from helpers.data.loading import load_for
from helpers.data.splits import Labeled, Splits
from helpers.evaluation.features import predict_logits
from helpers.evaluation.layers import layer_similarity
from helpers.evaluation.noise import noisy_images, sigmas_for
from helpers.evaluation.predictors import Predictor, best_probe
from helpers.evaluation.robustness import Sweep, noise_sweep
from helpers.models.classifier_file import is_classifier, load_classifier
from helpers.models.encoder import Encoder
from helpers.models.weights.hub import for_channels, named_encoder
from helpers.settings import Settings
from helpers.training import search as searching
from helpers.training.noise_methods import sweep_rows
from helpers.transforms.views import normalise

SHOWN = 5  # trials


def search(options: argparse.Namespace) -> None:
    """`search`: go on with a study until it has so many trials; its best ones, and the command that
    trains with the best."""
    settings = Settings.resolve(
        run_dir=options.out, **{name: getattr(options, name) for name in (
            "dataset", "encoder", "preset", "seed", "device", "precision", "batch_size",
            "image_size")})
    steps = options.steps or max(searching.EVALUATIONS, settings.pretrain_steps // 10)
    name = f"noise-byol {settings.encoder} {steps} steps sigma {options.sigma:g}"
    storage = settings.run_dir / "search" / f"{settings.checkpoints.name}.db"
    study = searching.open_study(name, storage, settings)
    splits = load_for(settings)
    searching.run(study, splits, settings, trials=options.trials or settings.trials, steps=steps,
                  sigma=options.sigma)
    rows = searching.rows(study)
    best = sorted((row for row in rows if not row["pruned"]), key=lambda row: -row["score"])
    if not best:
        raise UserError(f"none of the {len(rows)} trials came to its end: give --trials a larger "
                        "number")
    pruned = sum(row["pruned"] for row in rows)
    print(f"study {name!r} in {storage}: {len(rows)} trials, {pruned} of them pruned; kNN on "
          f"validation, mean of sigma 0 and {options.sigma:g}:")
    for row in best[:SHOWN]:
        values = ", ".join(f"{key} {value}" if isinstance(value, int) else f"{key} {value:.3g}"
                           for key, value in row["values"].items())
        print(f"trial {row['number']:>3}  {row['score']:.1%}  {values}")
    recipe = searching.recipe_of(best[0]["values"], settings, steps)
    words = ["python", "-m", "helpers", "pretrain", "noise-byol", "--dataset", settings.dataset,
             "--encoder", settings.encoder, "--image-size", settings.image_size,
             "--batch-size", recipe.batch_size, "--lr", f"{recipe.lr:.4g}",
             "--ema", f"{recipe.ema:.6g}", "--noise", *(f"{sigma:.4g}" for sigma in recipe.noise),
             "--hidden-dim", recipe.hidden_dim, "--projection-dim", recipe.projection_dim]
    print("with the best: " + shlex.join(map(str, words)))


def robustness(options: argparse.Namespace) -> None:
    """`robustness FILE ...`: test accuracy at each deviation of the noise, all on the same noise.

    A kept classifier is taken as it is; on an encoder's features of clean training images a linear
    probe is trained.
    """
    _check_outputs(options)
    sweeps: dict[str, Sweep] = {}
    for file in options.files:
        settings, encoder, splits = _asked(file, options)
        sigmas = options.sigmas or sigmas_for(settings.dataset)
        if min(sigmas) < 0:
            raise UserError(f"--sigmas {min(sigmas):g}: a deviation is 0 or larger")
        predictor, test = _predictor(file, encoder, splits, settings, max(sigmas) / 2)
        sweeps[file] = noise_sweep({file: predictor}, test, sigmas,
                                   range(settings.seed, settings.seed + options.draws),
                                   settings.device)
        print(f"{file}: {len(test):,} test images of {splits.name}")
    rows = pd.concat([sweep_rows({settings.seed: sweep}) for sweep in sweeps.values()])
    grouped = rows.groupby(["sigma", "method"], sort=False)
    means = grouped[["accuracy", "similarity"]].mean()
    deviations = grouped["accuracy"].std().fillna(0)
    print(f"{'sigma':>6}  accuracy          similarity to the clean features")
    for (sigma, file), row in means.iterrows():
        print(f"{sigma:>6g}  {row['accuracy']:6.1%} ± {deviations[sigma, file]:5.1%}   "
              f"{row['similarity']:5.3f}  {file}")
    _write_table(options, rows.drop(columns="training_seed"))
    if options.figure:
        from helpers.report.plots.sweeps import noise_curve

        series = {file: (sweep.sigmas, sweep.accuracy[file]) for file, sweep in sweeps.items()}
        figure = noise_curve(series, f"Accuracy under noise, {splits.name}",
                             1 / len(splits.classes), over="draws of the noise")
        with atomic_path(options.figure) as path:
            figure.savefig(path)


def similarity(options: argparse.Namespace) -> None:
    """`similarity FILE ...`: mean cosine of what each layer makes of clean and of noisy images."""
    _check_outputs(options)
    found = {}
    for file in options.files:
        settings, encoder, splits = _asked(file, options)
        images = splits.test.images[:options.images]
        noisy = noisy_images(images, options.sigma, settings.seed)
        try:
            found[file] = layer_similarity(encoder, normalise(images), noisy, options.token)
        except ValueError as problem:
            raise UserError(f"--token of {file}: {problem}") from None
    for file, layers in found.items():
        print(f"{file}: {len(images)} test images of {splits.name}, sigma {options.sigma:g}")
        for layer, cosine in layers:
            print(f"{layer:<12} {cosine:6.3f}")
    rows = [dict(file=file, layer=layer, sigma=options.sigma, similarity=round(cosine, 4))
            for file, layers in found.items() for layer, cosine in layers]
    _write_table(options, pd.DataFrame(rows))
    if options.figure:
        from helpers.report.plots.sweeps import layer_curve

        if len({tuple(layer for layer, _ in layers) for layers in found.values()}) > 1:
            raise UserError("--figure: these networks have different layers: draw each by itself")
        figure = layer_curve(found, f"Clean and noisy images, sigma {options.sigma:g}")
        with atomic_path(options.figure) as path:
            figure.savefig(path)


def _check_outputs(options: argparse.Namespace) -> None:
    for path in filter(None, (options.out, options.figure)):
        check_writable(path)


def _write_table(options: argparse.Namespace, rows: pd.DataFrame) -> None:
    if options.out:
        with atomic_path(options.out) as path:
            rows.to_csv(path, index=False)
        print(f"{options.out}: {len(rows):,} rows")


def _asked(file: str, options: argparse.Namespace) -> tuple[Settings, Encoder, Splits]:
    """An encoder (a classifier's, too) on the device, and images of the size that it takes."""
    encoder, _ = named_encoder(file)
    settings = Settings.resolve(dataset=options.dataset, seed=options.seed, device=options.device,
                                image_size=encoder.config["image_size"])
    splits = load_for(settings)
    encoder = for_channels(encoder, file, splits.channels)
    return settings, encoder.eval().to(settings.device), splits


def _predictor(file: str, encoder: Encoder, splits: Splits, settings: Settings,
               sigma: float) -> tuple[Predictor, Labeled]:
    """What classifies, and the test images as it takes them; a classifier's without those that it
    was trained on. `sigma` is that of the noise on validation images which choose a probe."""
    if not is_classifier(file):
        return best_probe(encoder, splits, sigma, settings.seed), splits.test
    kept = load_classifier(file).to(settings.device)  # its encoder is the one that is given
    check_classes(kept, splits.classes, splits.name)
    new = ~torch.isin(marks_of(splits.test.images), kept.seen.marks)
    images, labels = splits.test.images[new], splits.test.labels[new]
    if not len(images):
        raise UserError(f"{splits.name}: {file} was trained on all of its test images: name others")
    labels = torch.tensor([kept.classes.index(splits.classes[label]) for label in labels.tolist()])

    def predict(features: Tensor) -> Tensor:
        return predict_logits(kept.head, features).argmax(1)

    return Predictor(encoder, predict), Labeled(images, labels)
