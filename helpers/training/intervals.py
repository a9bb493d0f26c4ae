"""How often a `Monitor` evaluates, and on how many images: it stays a small part of the work."""

from __future__ import annotations

import math

from helpers.data.splits import Splits

LIMIT = 4096  # images of either kind that an evaluation takes
SHARE = 0.03  # of the work that evaluations may be
# and what they may be in short trainings, which are evaluated a dozen times all the same
LARGEST_SHARE = 0.15
FEWEST = 64  # images of either kind that an evaluation takes even then


def eval_interval(splits: Splits, batch_size: int, steps: int) -> int:
    """Steps between two evaluations: an epoch, or as many as keep evaluations cheap, but at most
    a twelfth of the training.

    Counted are forward passes: one for each image of an evaluation, and about eight for one of a
    step, two views through the online network and back (three) and through the target (one).
    """
    images = min(LIMIT, len(splits.train)) + min(LIMIT, len(splits.val))
    cheap = images / (8 * batch_size * SHARE)
    return max(1, min(steps // 12, math.ceil(max(cheap, len(splits.unlabeled) / batch_size))))


def images_for_evaluation(batch_size: int, steps: int) -> int:
    """How many images of either kind an evaluation may take, to stay a small part of a short
    training; see `eval_interval` for what is counted."""
    evaluations = min(steps, 12) + 1
    images = int(LARGEST_SHARE * 8 * batch_size * steps / evaluations / 2)
    return min(LIMIT, max(FEWEST, images))
