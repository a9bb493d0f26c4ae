"""Closing words of the notebook on noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.common.markup import escaped
from helpers.report import stats

BROKEN = 0.3  # accuracy below which the supervised classifier counts as broken
HEAVY = 1.6  # sigma of the comparison with raw pixels, where the sweep goes that far


def noise(scores: Mapping[str, np.ndarray], sigmas: Sequence[float], over: str, origin: str,
          trainings: pd.DataFrame) -> str:
    """Notebook 07: where the supervised classifier breaks, and noise-BYOL against raw pixels.

    Args:
        scores: method -> accuracies, repetitions x sigmas.
        over: what the repetitions are, such as "trainings".
        origin: the encoder in plain BYOL's place.
        trainings: curves of one or more trainings: method, training_seed, sigma, accuracy.
    """
    mean = {name: values.mean(0) for name, values in scores.items()}
    supervised = mean["supervised"]
    broken = next((i for i, value in enumerate(supervised) if value < BROKEN), len(sigmas) - 1)
    at = {name: values[broken] for name, values in mean.items()}
    constant = next(name for name in mean if name.startswith("noise-BYOL,"))
    others = ", ".join(f"{escaped(name)} {at[name]:.1%}"
                       for name in (constant, origin, "supervised + noise", "raw pixels"))
    best = escaped(max(at, key=at.get))
    heavy = int(np.argmin(np.abs(np.array(sigmas) - HEAVY)))
    gap = stats.paired(scores["noise-BYOL"][:, heavy], scores["raw pixels"][:, heavy])
    return f"""On clean images the supervised classifier reaches {supervised[0]:.1%}, noise-BYOL
with a linear classifier {mean['noise-BYOL'][0]:.1%}. At **sigma {sigmas[broken]:g}** the supervised
classifier is down to **{at['supervised']:.1%}** and noise-BYOL, whose classifier was trained on
clean images only, stands at **{at['noise-BYOL']:.1%}** ({others}). The highest there is *{best}*.

Plain pixels deserve a second look. At sigma {sigmas[heavy]:g} noise-BYOL reaches
{mean['noise-BYOL'][heavy]:.1%} and raw pixels {mean['raw pixels'][heavy]:.1%}. The difference,
over {over}, is {gap.in_points}.{_over_trainings(trainings, sigmas[heavy])}"""


def _over_trainings(curves: pd.DataFrame, sigma: float) -> str:
    """The same difference over whole trainings, where there are several."""
    one = curves[curves.sigma == sigma].groupby(["method", "training_seed"])
    accuracy = one.accuracy.mean().unstack(0)
    if len(accuracy) < 2:
        return ""
    gap = stats.paired(accuracy["noise-BYOL"], accuracy["raw pixels"])
    return f" Over {len(accuracy)} whole trainings it is {gap.in_points}."


def corruptions(errors: Mapping[str, Mapping[str, np.ndarray]], mce: Mapping[str, float]) -> str:
    """Notebook 07: accuracy under common corruptions, and what noise in a view teaches.

    Args:
        errors: method -> corruption -> share of wrong predictions at each severity.
        mce: method -> mean corruption error, relative to "supervised".
    """
    accuracy = {name: 1 - np.mean([values.mean() for values in kinds.values()])
                for name, kinds in errors.items()}
    shown = ", ".join(f"{mce[name]:.2f} for {name} ({accuracy[name]:.1%})"
                      for name in ("noise-BYOL", "supervised + noise", "raw pixels"))
    return f"""Under other corruptions the mean corruption error, with the mean accuracy over all of
them in brackets, is {shown}, where 1 is the supervised classifier ({accuracy['supervised']:.1%}).

Noise in a view teaches robustness to noise without labels; whoever has all labels and knows the
noise beforehand should compare with noise augmentation first."""
