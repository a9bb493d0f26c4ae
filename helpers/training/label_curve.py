"""What notebook 09 compares: which numbers of labels, and which networks are at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.common.progress_bar import progress
from helpers.data.splits import Labeled, Splits
from helpers.evaluation.label_counts import usable_counts
from helpers.methods.presets import HEAD_RATE, RATES, fine_tuning
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import BACKBONES, Encoder
from helpers.models.weights import registry as manifest
from helpers.models.weights.convert import read_weights
from helpers.models.weights.hub import IMAGENET, default_folder
from helpers.report.claims import gain_over
from helpers.settings import ALL_LABELS, PRESETS, Settings, parse_label_counts
from helpers.training.finetune import Trained, few_label_training
from helpers.training.runs import fresh_encoder

AUTO = "auto"
TRIAL_LABELS = 5  # labels per class of the trainings that choose a rate
SAMPLED = 256  # images of a part that tell it from another


def label_counts(text: str | Sequence[int], splits: Splits) -> list[int]:
    """Numbers of labels per class from words such as "1 10 all", rising, "all" (0) at the end.

    Those that no class of the training images has are left out, and it prints which. Other words
    raise a UserError.
    """
    given = set(parse_label_counts(text, "labels per class"))
    rising = sorted(given, key=lambda count: (count == ALL_LABELS, count))
    used, notes = usable_counts(rising, splits.train.labels, splits.classes)
    print("\n".join(notes), end="\n" * bool(notes))
    return used


def trained_counts(text: str, settings: Settings, splits: Splits) -> list[int]:
    """`label_counts` for whole networks; "auto" is as many as the preset has the time for."""
    text = settings.network_counts if str(text).strip() == AUTO else text
    return label_counts(text, splits)


def model_names(text: str, settings: Settings) -> tuple[str, ...]:
    """Networks to train from scratch, from words such as "resnet18, vit_small"; "auto" is what the
    preset has time for, "all" those of the preset full. An unknown name raises a UserError."""
    if str(text).strip() in (AUTO, "all"):
        return settings.networks if str(text).strip() == AUTO else PRESETS["full"]["networks"]
    names = tuple(dict.fromkeys(re.split(r"[,\s]+", str(text).strip())))
    unknown = [name for name in names if name not in BACKBONES]
    if unknown:
        raise UserError(
            f"no network is called {unknown[0]!r}: choose among {', '.join(BACKBONES)}, "
            "or auto, or all")
    return names


def scratch_encoders(names: Sequence[str], splits: Splits,
                     settings: Settings) -> dict[str, Encoder]:
    """Each network with random weights that depend on the seed alone, on the settings' device."""
    return {name: fresh_encoder(splits, settings.replace(encoder=name)).to(settings.device)
            for name in names}


def imagenet_encoders(names: Sequence[str], splits: Splits,
                      settings: Settings) -> dict[str, Encoder]:
    """Those of `names` (else ResNet18) that torchvision trained on ImageNet and whose weights lie
    on this disk, in our folder or torch's own. Each other one gets a line, and no download."""
    made, folder = {}, default_folder()
    for name in [name for name in names if name in IMAGENET] or ["resnet18"]:
        entry = manifest.entry(IMAGENET[name])
        places = [folder / entry.file, Path(torch.hub.get_dir()) / "checkpoints" / entry.file]
        path = next((path for path in places if path.is_file()), None)
        wrong = "its weights are not on this disk"
        if path is not None:
            wrong = manifest.check_hash(entry, path, folder)
        if wrong:
            print(f"ImageNet {name} is left out: {wrong} (`python -m helpers weights fetch "
                  f"{entry.name}` gets them)")
            continue
        encoder, _ = read_weights(path, image_size=splits.image_size, channels=splits.channels)
        made[name] = encoder.eval().to(settings.device)
    return made


def kept_training(name: str, encoder: Encoder, splits: Splits, settings: Settings,
                  recipe: ClassifierRecipe, *, per_class: int,
                  evaluate_on: Labeled | None = None,
                  finished: list[Trained] | None = None,
                  folder: Path | None = None) -> list[float]:
    """`few_label_training`, kept in the run folder as soon as it is done and read back from there
    for the same weights, images and numbers. `name` is for people, in the file's name. Whoever
    wants the `finished` classifiers has them trained again. `folder` is the settings' by default.
    """
    evaluate_on = evaluate_on or splits.test
    numbers = {**asdict(recipe), "per_class": per_class, "draws": settings.draws,
               "seed": settings.seed}
    if settings.precision != "auto":
        numbers["precision"] = settings.precision
    weights = {key: value.cpu().numpy() for key, value in encoder.state_dict().items()}
    samples = [(images[::max(1, len(images) // SAMPLED)].numpy(), labels.numpy())
               for images, labels in (splits.train, evaluate_on)]
    mark = joblib.hash((numbers, encoder.config, weights, samples))[:10]
    title = re.sub("[^a-z0-9]+", "_", name.lower())
    folder = (folder or settings.checkpoints) / "label_curve"
    path = folder / f"{title}-{per_class or 'all'}-{mark}.json"
    try:
        if finished is None:  # another notebook may have named it otherwise
            there = next(folder.glob(f"*-{mark}.json"), path)
            return json.loads(there.read_text(encoding="utf-8"))["scores"]
    except (OSError, ValueError, KeyError):  # not made yet, or not whole
        pass
    scores = few_label_training(encoder, splits, settings, recipe, per_class=per_class,
                                evaluate_on=evaluate_on, finished=finished)
    kept = {"network": name, **numbers, "encoder": encoder.config, "scores": scores}
    write_atomically(path, json.dumps(kept, indent=1) + "\n")
    return scores


def curve_row(method: str, protocol: str, count: int, scores: Sequence[float]) -> dict[str, Any]:
    """One line of the results: mean and deviation of accuracies over label subsets; `count` is
    labels per class, 0 for all."""
    deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return dict(method=method, protocol=protocol, labels_per_class=count or "all",
                metric="test accuracy", mean=float(np.mean(scores)), std=deviation, n=len(scores))


def gain_row(method: str, protocol: str, other: str, count: int, scores: Sequence[float],
             others: Sequence[float]) -> dict[str, Any]:
    """One line of the results: what `method` adds to `other` over the same label subsets, in
    percentage points."""
    gains = 100 * (np.asarray(scores) - np.asarray(others))
    return curve_row(method, protocol, count, gains) | {"metric": gain_over(other)}


def choose_rate(name: str, encoder: Encoder, splits: Splits,
                settings: Settings) -> ClassifierRecipe:
    """The recipe with that rate of `RATES` that is best on validation, of equal ones the middle.

    One training a rate, on a label subset that is not among the reported ones, is evaluated on all
    validation images. They are kept in the run folder as `kept_training` keeps them. It prints what
    was found, and where the winner stands at an end of the grid.
    """
    trial = settings.replace(draws=1, seed=settings.seed + 100)
    tried = {lr: fine_tuning(settings, lr=lr, head_lr=HEAD_RATE) for lr in RATES}
    found = {
        lr: kept_training(f"rate {lr:g}, {name}", encoder, splits, trial, recipe,
                          per_class=TRIAL_LABELS, evaluate_on=splits.val,
                          folder=settings.checkpoints)[0]
        for lr, recipe in progress(list(tried.items()), f"rates of {name}", "trainings")
    }
    middle = RATES[len(RATES) // 2]
    best = max(RATES, key=lambda lr: (found[lr], -abs(RATES.index(lr) - RATES.index(middle))))
    shown = ", ".join(f"{lr:g}: {value:.1%}" for lr, value in found.items())
    at_the_end = ", at the end of the grid: try further rates" * (best in (RATES[0], RATES[-1]))
    print(f"{name}: rate {best:g}{at_the_end} (on validation {shown})")
    return tried[best]
