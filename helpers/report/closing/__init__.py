"""What was found, in words: each function writes a notebook's closing Markdown from its numbers.

Accuracies are fractions. A difference is given with its 95 % confidence interval (`stats`).
"""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    baseline="heads_against_pixels",
    few_labels="fine_tuning frozen_features label_efficiency when_pretraining_helps",
    images="maps own_images",
    pretraining="centring_and_sharpening learned_or_collapsed",
    robustness="under_noise",
    search="hyperparameter_search",
    selection="which_images",
    vit="attention check_up missed_by_overfitting vit_from_scratch ways_of_training",
)
