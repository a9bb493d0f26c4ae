"""What was found, in words: each function writes a notebook's closing Markdown from its numbers.

Accuracies are fractions. A difference is given with its 95 % confidence interval (`stats`).
"""

from helpers.report.closing.few_labels import (
    fine_tuning,
    frozen_features,
    label_efficiency,
    when_pretraining_helps,
)
from helpers.report.closing.images import own_images
from helpers.report.closing.robustness import corruptions, noise
from helpers.report.closing.search import hyperparameter_search
from helpers.report.closing.selection import which_images
from helpers.report.closing.vit import (
    attention,
    check_up,
    missed_by_overfitting,
    vit_from_scratch,
    ways_of_training,
)

__all__ = [
    "attention", "check_up", "corruptions", "fine_tuning", "frozen_features",
    "hyperparameter_search", "label_efficiency", "missed_by_overfitting", "noise", "own_images",
    "vit_from_scratch", "ways_of_training", "when_pretraining_helps", "which_images"
]
