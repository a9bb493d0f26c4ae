"""Closing words of the notebook on a folder of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.common.markup import escaped


def own_images(worth: Mapping[str, Mapping[str, float]], protocols: Sequence[str],
               precision: Mapping[str, float], found: Mapping[str, Mapping[str, float]],
               count: int) -> str:
    """Notebook 08: what DINO's features are worth, and how well injected faults are found.

    Args:
        worth: method -> protocol -> accuracy.
        protocols: the kNN and the linear protocol to speak of.
        precision: method -> mean average precision.
        found: of the trial, see `helpers.evaluation.found_at`; empty without injected faults.
        count: outliers, and flipped labels, that were injected.
    """
    neighbours, linear = ({name: values[key] for name, values in worth.items()}
                          for key in protocols)
    best = escaped(max(neighbours, key=neighbours.get))
    return f"""Without any label in its training, DINO's features classify {neighbours['DINO']:.1%}
of the test images correctly by their {protocols[0].split()[-1]} nearest neighbours; before the
training it was {neighbours['random encoder']:.1%}, with raw pixels {neighbours['raw pixels']:.1%},
so the highest here is **{best}**. A linear classifier reaches {linear['DINO']:.1%} on DINO's
features and {linear['raw pixels']:.1%} on pixels. As a ranking of the training images, they have a
mean average precision of {precision['DINO']:.1%} (pixels: {precision['raw pixels']:.1%}).
{_faults(found, count)} One training run, one seed."""


def _faults(found: Mapping[str, Mapping[str, float]], count: int) -> str:
    """How many of the injected faults are among the most suspicious images."""
    if not found:
        return ("No faults were injected, so how many of the listed ones are real is for you to "
                "see.")
    outliers, labels = found["outliers, mean rank"], found["flipped labels"]
    return (f"Of {count} injected outliers, {outliers['recall']:.0%} are among the {count} most "
            f"suspicious images (average precision {outliers['average_precision']:.1%}); of "
            f"{count} flipped labels, {labels['recall']:.0%} are among the {count} most doubtful. "
            "The injected outliers are easy ones, and real ones can hide better.")
