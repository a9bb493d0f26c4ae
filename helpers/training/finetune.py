"""Training with labels: from scratch or fine-tuning, with all labels or a few."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from helpers.data.splits import Labeled, Splits
from helpers.evaluation.features import predict_logits
from helpers.evaluation.probes import accuracy, label_subsets
from helpers.methods.classifier import HEADS, Classifier
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import Encoder
from helpers.settings import Settings
from helpers.training.accuracy_curve import AccuracyCurve
from helpers.training.loader import BatchLoader
from helpers.training.trainer import Hardware, fit
from helpers.transforms import views


@dataclass
class Trained:
    """A classifier in eval mode, its losses, the rows of its `AccuracyCurve` and its cost."""

    classifier: Classifier
    losses: list[float]
    curve: list[dict[str, float]]
    seconds: float

    def score(self, data: Labeled) -> float:
        """Accuracy on labelled images."""
        return accuracy(predict_logits(self.classifier, data.images), data.labels)


def train_classifier(encoder: Encoder, data: Labeled, classes: int, settings: Settings,
                     recipe: ClassifierRecipe, *, view: Callable[..., Tensor] | None = None,
                     seed: int | None = None, val: Labeled | None = None, title: str = "",
                     folder: Path | None = None, resume: bool = False,
                     eval_every: int | None = None, log_every: int | None = None,
                     save_every: int = 0) -> Trained:
    """Train `encoder`, in place, and a fresh head on labelled images.

    Args:
        data: uint8 N x C x S x S images with N labels from 0 to `classes` - 1.
        view: the augmentation of a batch, B x C x S x S; by default the dataset's, as BYOL's is.
        seed: the settings' by default.
        val: draws accuracy curves against these images; a recipe with patience needs them.
        title: of the progress bar; without one there is none.
        folder, resume: keeps checkpoints and logs there, and goes on from the newest one.
        eval_every, log_every: steps, see `AccuracyCurve`.
        save_every: epochs, see `fit`.
    """
    seed = settings.seed if seed is None else seed
    torch.manual_seed(seed)
    head = HEADS[recipe.head](encoder.num_features, classes)
    view = view or views.view_for(settings.dataset, settings.image_size,
                                  getattr(encoder, "patch_size", 1))
    loader = BatchLoader(data.images, data.labels, batch_size=recipe.batch_size,
                         steps=recipe.steps, seed=seed, device=settings.device)
    logs = None if folder is None else folder / "logs"
    watch = []
    if val is not None or logs is not None:
        watch = [AccuracyCurve(data, val, recipe.patience, logs, eval_every, log_every)]
    module = Classifier(encoder, head, view, recipe)
    history = fit(module, loader, title=title, seed=seed, callbacks=watch, folder=folder,
                  resume=resume, save_every=save_every, hardware=Hardware(half=settings.precision))
    return Trained(module.eval(), history.losses, watch[0].rows if watch else [], history.seconds)


def few_label_training(encoder: Encoder, splits: Splits, settings: Settings,
                       recipe: ClassifierRecipe, *, per_class: int,
                       evaluate_on: Labeled | None = None,
                       finished: list[Trained] | None = None) -> list[float]:
    """Accuracies of copies of `encoder`, each trained on another draw of a few labels.

    Args:
        per_class: labels per class. 0 for all, which are one draw, trained from `settings.draws`
            seeds.
        evaluate_on: test by default; choices are made on `splits.val`.
        finished: a list that gets the trained classifiers.
    """
    evaluate_on = evaluate_on or splits.test
    draws = label_subsets(splits.train.labels, per_class, settings.draws, settings.seed)
    draws = draws if per_class else draws * settings.draws
    scores = []
    for number, index in enumerate(draws):
        part = Labeled(splits.train.images[index], splits.train.labels[index])
        trained = train_classifier(copy.deepcopy(encoder), part, len(splits.classes), settings,
                                   recipe, seed=settings.seed + number)
        scores.append(trained.score(evaluate_on))
        if finished is not None:
            finished.append(trained)
    return scores
