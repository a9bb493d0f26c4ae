"""Closing words of the notebook on noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from helpers.common.markup import escaped
from helpers.report import stats

BROKEN = 0.3  # accuracy below which the supervised classifier counts as broken
HEAVY = 1.6  # sigma of the comparison with raw pixels, where the sweep goes that far
Trainings = Mapping[str, tuple[np.ndarray, np.ndarray]]
Errors = Mapping[str, Mapping[str, np.ndarray]]


def under_noise(trainings: Trainings, errors: Errors, origin: str) -> str:
    """Notebook 07: where the supervised classifier breaks, and noise-BYOL against what costs less.

    Args:
        trainings: method -> sigmas and accuracies, trainings x sigmas.
        errors: method -> corruption -> share of wrong predictions at each severity, one training.
        origin: the encoder in plain BYOL's place.
    """
    return "\n\n".join([_broken(trainings, origin), _heavy(trainings), _corruptions(errors), _END])


_END = """Noise in a view teaches robustness to noise without labels; whoever has all labels and
knows the noise beforehand should compare with noise augmentation first, and everybody with raw
pixels."""


def _broken(trainings: Trainings, origin: str) -> str:
    """The first sigma that breaks the supervised classifier, and the others there."""
    sigmas, supervised = trainings["supervised"]
    count, falling = len(supervised), supervised.mean(0)
    place = next((i for i, value in enumerate(falling) if value < BROKEN), len(sigmas) - 1)
    at = {name: values[:, place].mean() for name, (_, values) in trainings.items()}
    constant = next(name for name in at if name.startswith("noise-BYOL,"))
    there = [name for name in (constant, origin, "supervised + noise", "raw pixels") if name in at]
    others = ", ".join(f"{escaped(name)} {at[name]:.1%}" for name in there)
    clean = trainings["noise-BYOL"][1][:, 0].mean()
    repeated = "In one training" if count == 1 else f"On average over {count} trainings"
    return f"""{repeated} the supervised classifier reaches {falling[0]:.1%} on clean images, and
noise-BYOL with a linear classifier {clean:.1%}. At **sigma {sigmas[place]:g}** the supervised
classifier is down to **{at['supervised']:.1%}** and noise-BYOL, whose classifier was trained on
clean images only, stands at **{at['noise-BYOL']:.1%}** ({others}). The highest there is
*{escaped(max(at, key=at.get))}*. Noise-BYOL less supervised + noise, which saw noise together with
labels: {_gap(trainings, "supervised + noise", place)}."""


def _heavy(trainings: Trainings) -> str:
    """The same against raw pixels, under heavy noise."""
    sigmas, own = trainings["noise-BYOL"]
    place = int(np.argmin(np.abs(np.array(sigmas) - HEAVY)))
    pixels = trainings["raw pixels"][1][:, place].mean()
    return f"""Plain pixels deserve a second look. At sigma {sigmas[place]:g} noise-BYOL reaches
{own[:, place].mean():.1%} and raw pixels {pixels:.1%}:
{_gap(trainings, "raw pixels", place)}."""


def _gap(trainings: Trainings, other: str, place: int) -> str:
    """Noise-BYOL less another method at one sigma."""
    own, others = (trainings[name][1][:, place] for name in ("noise-BYOL", other))
    if len(own) == 1:
        return f"{100 * (own - others)[0]:+.1f} points (one training, so no interval)"
    return stats.paired(own, others).in_points


def _corruptions(errors: Errors) -> str:
    """The mean accuracy over all corruptions, from the highest down."""
    accuracy = {name: 1 - np.mean([values.mean() for values in kinds.values()])
                for name, kinds in errors.items()}
    order = sorted(accuracy, key=accuracy.get, reverse=True)
    shown = ", ".join(f"{escaped(name)} {accuracy[name]:.1%}" for name in order)
    below = [escaped(name) for name in order if accuracy[name] < accuracy["raw pixels"]]
    lost = f" Below raw pixels are {', '.join(below)}." if below else ""
    return f"""Under other corruptions the mean accuracy over all of them is, in one training,
{shown}.{lost} Which of two close ones leads may change with another training."""
