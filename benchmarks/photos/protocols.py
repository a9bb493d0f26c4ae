"""What an encoder is worth: choices on validation, the folder's val read at the end."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from torch import Tensor

from helpers.data.splits import Labeled, Splits
from helpers.evaluation.predictors import best_probe, features_of
from helpers.evaluation.probes import few_label_scores, knn_accuracy, mlp_probe, score
from helpers.evaluation.robustness import noise_sweep
from helpers.methods.presets import FINE_TUNING
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import Encoder
from helpers.settings import Settings
from helpers.training.finetune import few_label_training

STRENGTHS = (0.1, 1.0, 10.0)  # of a linear probe, scikit-learn's C
RATES = [tuple(FINE_TUNING.values()), (2e-3, 2e-3)]  # of encoder and head, for a pretrained start
SCRATCH_RATES = [(2e-3, 2e-3), (5e-3, 5e-3)]  # and for random weights
STEPS = {1: 100, 5: 200, 10: 300, 50: 600, 0: 1000}  # of a training, by labels per class (0 = all)
# of the labels, and the steps that fine-tuning takes with them
SHARES = {"1 %": 200, "10 %": 600, "100 %": 1000}
SIGMAS, NOISE_SEEDS = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5), 3
# the noise, normalised units, on validation images that chooses the probe of the sweep
MIDDLE = 0.75
OTHER_DRAWS = 100  # added to the seed: choices are made on other draws than the ones reported


def row(protocol: str, labels: object, scores: Iterable[float], **more: object) -> dict:
    """A line of a table: mean and deviation of test accuracies."""
    scores = list(scores)
    return dict(protocol=protocol, labels_per_class=labels, n=len(scores),
                mean=statistics.fmean(scores),
                std=statistics.stdev(scores) if len(scores) > 1 else None, **more)


def knn(encoder: Encoder | None, splits: Splits, settings: Settings) -> Iterator[dict]:
    """k = 20 and k = 200, all training images as neighbours."""
    bank, queries = (features_of(encoder, part.images) for part in (splits.train, splits.test))
    yield from knn_on(bank, queries, splits)


def knn_on(bank: Tensor, queries: Tensor, splits: Splits) -> Iterator[dict]:
    """The same on features of the training and the test images, N x D and M x D."""
    for k in (20, 200):
        yield row(f"kNN, k = {k}", "all",
                  [knn_accuracy(bank, splits.train.labels, queries, splits.test.labels, k)])


def linear(encoder: Encoder | None, splits: Splits, settings: Settings) -> Iterator[dict]:
    """Linear probes with 1, 5, 10, 50 and all labels per class, each with the strength that
    validation chose for it."""
    features = [features_of(encoder, part.images)
                for part in (splits.train, splits.val, splits.test)]
    yield from linear_on(*features, splits, settings)


def linear_on(bank: Tensor, val: Tensor, test: Tensor, splits: Splits, settings: Settings,
              counts: Iterable[int] = STEPS) -> Iterator[dict]:
    """The same on features, N x D, of the three parts; `counts` of labels per class (0 = all)."""
    def scores(count: int, strength: float, part: Labeled, features: Tensor, draws: int,
               seed: int) -> list[float]:
        return few_label_scores(bank, splits.train.labels, features, part.labels, count, draws,
                                seed, strength)

    for count in counts:
        tried = {
            strength: statistics.fmean(
                scores(count, strength, splits.val, val, 2, settings.seed + OTHER_DRAWS))
            for strength in STRENGTHS
        }
        best = max(tried, key=tried.get)
        yield row("linear probe", count or "all",
                  scores(count, best, splits.test, test, 5, settings.seed), chosen=f"C {best:g}")


def mlp(encoder: Encoder | None, splits: Splits, settings: Settings) -> Iterator[dict]:
    """The Self-Learner project's head on frozen features, all labels."""
    bank, test = (features_of(encoder, part.images) for part in (splits.train, splits.test))
    yield row(
        "MLP 512-128", "all",
        [score(mlp_probe(bank, splits.train.labels, settings.seed), test, splits.test.labels)])


def labelled(settings: Settings, rates: tuple[float, float], steps: int) -> ClassifierRecipe:
    """Training with labels at these rates of encoder and head."""
    return ClassifierRecipe(steps=steps, batch_size=settings.batch_size, lr=rates[0],
                            head_lr=rates[1])


def best_rates(encoder: Encoder, splits: Splits, settings: Settings,
               rates: list[tuple[float, float]]) -> tuple[float, float]:
    """The learning rates of encoder and head that are best on validation, with ten labels per
    class and two draws."""
    trial = settings.replace(draws=2, seed=settings.seed + OTHER_DRAWS)
    scores = {
        pair: statistics.fmean(
            few_label_training(encoder, splits, trial, labelled(trial, pair, STEPS[10]),
                               per_class=10, evaluate_on=splits.val))
        for pair in rates
    }
    return max(scores, key=scores.get)


def finetune(encoder: Encoder, splits: Splits, settings: Settings) -> Iterator[dict]:
    """Fine-tuning with 1 %, 10 % and 100 % of the labels, the same share of every class."""
    per_class = len(splits.train) / len(splits.classes)
    rates = best_rates(encoder, splits, settings, RATES)
    for share, steps in SHARES.items():
        count = 0 if share == "100 %" else max(1, round(per_class * float(share.rstrip(" %"))
                                                        / 100))
        scores = few_label_training(encoder, splits, settings, labelled(settings, rates, steps),
                                    per_class=count)
        yield row(f"fine-tuned, {share} of the labels", count or "all", scores,
                  chosen=f"rates {rates[0]:g}, {rates[1]:g}", steps=steps)


def noise(encoder: Encoder | None, splits: Splits, settings: Settings) -> Iterator[dict]:
    """A linear classifier on clean features under noise; its strength chosen on noisy validation
    images."""
    probe = best_probe(encoder, splits, MIDDLE, settings.seed)
    sweep = noise_sweep({"": probe}, splits.test, SIGMAS, range(NOISE_SEEDS), settings.device)
    for sigma, scores in zip(SIGMAS, np.array(sweep.accuracy[""]).T, strict=True):
        yield row("linear, noisy images", "all", scores.tolist(), sigma=sigma)


PROTOCOLS: dict[str, Callable[..., Iterator[dict]]] = dict(knn=knn, linear=linear, mlp=mlp,
                                                           finetune=finetune, noise=noise)


def evaluated(encoder: Encoder, splits: Splits, settings: Settings,
              names: Iterable[str]) -> Iterator[dict]:
    """The rows of several protocols, one after another."""
    for name in names:
        yield from PROTOCOLS[name](encoder, splits, settings)
