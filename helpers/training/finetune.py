"""Training with labels: from scratch or fine-tuning, with all labels or a few. The same care for
both."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from helpers.data.splits import Labeled, Splits
from helpers.evaluation.features import predict_logits
from helpers.evaluation.probes import accuracy, label_draws
from helpers.methods.classifier import Classifier, linear_head, mlp_head
from helpers.models.encoder import Encoder
from helpers.settings import Settings
from helpers.training.callbacks import AccuracyCurve, EarlyStop
from helpers.training.loader import BatchLoader
from helpers.training.trainer import fit
from helpers.transforms import views

HEADS = {"linear": linear_head, "mlp": mlp_head}


@dataclass
class Trained:
    """A classifier in eval mode with its losses, its accuracy rows (see `AccuracyCurve`) and its
    cost."""

    classifier: Classifier
    losses: list[float]
    curve: list[dict[str, float]]
    seconds: float

    def score(self, data: Labeled) -> float:
        """Accuracy on labelled images."""
        return accuracy(predict_logits(self.classifier, data.images), data.labels)


def train_classifier(encoder: Encoder, data: Labeled, classes: int, settings: Settings, *,
                     steps: int, head: str | nn.Module = "linear",
                     view: Callable[..., Tensor] | None = None, lr: float = 2e-3,
                     head_lr: float | None = None, seed: int | None = None,
                     val: Labeled | None = None, title: str = "", patience: int | None = None,
                     schedule: str = "cosine", eight_bit: bool = False) -> Trained:
    """Train `encoder` and a fresh head on labelled images.

    Args:
        encoder: it is trained in place.
        data: uint8 N x C x S x S images with N labels from 0 to `classes` - 1.
        head: "linear" (starts at zero), "mlp" (512-128-classes) or a module.
        view: the augmentation of a batch, B x C x S x S; by default the dataset's own, the one that
            BYOL uses too.
        lr, head_lr: peak learning rates of encoder and head.
        val: draws accuracy curves against these images.
        patience: stops early, see `EarlyStop`; needs `val`.
        schedule, eight_bit: of the optimizer, see `helpers.methods.optim`.
    """
    seed = settings.seed if seed is None else seed
    torch.manual_seed(seed)
    if isinstance(head, str):
        head = HEADS[head](encoder.num_features, classes)
    view = view or views.view_for(settings.dataset, settings.image_size,
                                  getattr(encoder, "patch_size", 1))
    module = Classifier(encoder, head, view, steps=steps, lr=lr, head_lr=head_lr, schedule=schedule,
                        eight_bit=eight_bit)
    loader = BatchLoader(data.images, data.labels, batch_size=settings.batch_size, steps=steps,
                         seed=seed, device=settings.device)
    watch = [] if val is None else [
        EarlyStop(data, val, patience) if patience else AccuracyCurve(data, val)
    ]
    history = fit(module, loader, title=title, seed=seed, callbacks=watch)
    return Trained(module.eval(), history.losses, watch[0].rows if watch else [], history.seconds)


def few_label_training(encoder: Encoder, splits: Splits, settings: Settings, *, per_class: int,
                       lr: float, head_lr: float, steps: int | None = None,
                       evaluate_on: Labeled | None = None) -> list[float]:
    """Accuracy after training a copy of `encoder` on each of several draws of a few labels.

    Args:
        encoder: the start, pretrained or random; it is not changed.
        per_class: labels per class, 0 for all. All labels are one draw, trained from
            `settings.draws` seeds.
        steps: the preset's by default.
        evaluate_on: test by default; choices are made on `splits.val`.
    """
    evaluate_on = evaluate_on or splits.test
    draws = label_draws(splits.train.labels, per_class, settings.draws, settings.seed)
    draws = draws if per_class else draws * settings.draws
    scores = []
    for number, index in enumerate(draws):
        part = Labeled(splits.train.images[index], splits.train.labels[index])
        trained = train_classifier(copy.deepcopy(encoder), part, len(splits.classes), settings,
                                   lr=lr, head_lr=head_lr, steps=steps or settings.finetune_steps,
                                   seed=settings.seed + number)
        scores.append(trained.score(evaluate_on))
    return scores
