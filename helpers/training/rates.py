"""Learning rates for few labels: one grid and one choice for every start, pretrained or not."""

from __future__ import annotations

from helpers.common.progress_bar import progress
from helpers.data.splits import Splits
from helpers.methods.presets import HEAD_RATE, RATES, fine_tuning
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import Encoder
from helpers.settings import Settings
from helpers.training.label_curve import kept_training

TRIAL_LABELS = 5  # labels per class of the trainings that choose


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
