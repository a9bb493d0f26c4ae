"""What was found, in words: each function writes a notebook's closing Markdown from its numbers.

Accuracies are fractions. A difference is given with its 95 % confidence interval (`stats`).
"""

from helpers.report.closing.baseline import heads_against_pixels
from helpers.report.closing.few_labels import (
    fine_tuning,
    frozen_features,
    label_efficiency,
    when_pretraining_helps,
)
from helpers.report.closing.images import maps, own_images
from helpers.report.closing.pretraining import centring_and_sharpening, learned_or_collapsed
from helpers.report.closing.robustness import under_noise
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
    "attention", "centring_and_sharpening", "check_up", "fine_tuning", "frozen_features",
    "heads_against_pixels", "hyperparameter_search", "label_efficiency", "learned_or_collapsed",
    "maps", "missed_by_overfitting", "own_images", "under_noise", "vit_from_scratch",
    "ways_of_training", "when_pretraining_helps", "which_images"
]
