"""Closing words of the notebooks that write a method: 02 BYOL, 15 DINO."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from helpers.common.collapse import LOWEST_STD, SETTLED
from helpers.common.markup import escaped

NEAR = 0.95  # share of the largest entropy from which outputs count as uniform
FEW = 0.05  # share of the classes below which images count as in one place
Rows = Sequence[Mapping[str, float]]  # of a monitor


def learned_or_collapsed(losses: Sequence[float], monitor: Rows, began: str, labels: int,
                         broken: tuple[Sequence[float], Rows]) -> str:
    """Notebook 02: what the training without labels has learned, and the collapse beside it.

    Args:
        losses, monitor: of BYOL, one number a step and one dict an evaluation.
        began: what it started from.
        labels: how many the neighbour vote had.
        broken: losses and monitor of a training that was meant to collapse.
    """
    before, after = monitor[0], monitor[-1]
    early, late = (sum(part) / len(part) for part in (losses[:20], losses[-20:]))
    last, loss = broken[1][-1], sum(broken[0][-20:]) / len(broken[0][-20:])
    hidden = (": neither the loss nor the deviation of the features gives the collapse away"
              if last["projection_std"] < LOWEST_STD else "")
    return f"""In {len(losses):,} steps the loss went from {early:.2f} to {late:.2f}. That alone
could be learning or collapse. The neighbour vote on validation went from **{before['knn']:.1%}**
({escaped(began)}) to **{after['knn']:.1%}**. {_health(monitor)} The features' effective rank ended
at {after['rank']:.0f} of {after['dimensions']} dimensions.

The training without predictor and stop-gradient ended at a loss of {loss:.3f}, the standard
deviation of its projections at {last['projection_std']:.3f} and the neighbour vote at
{last['knn']:.1%}, while its features kept a standard deviation of
{last['feature_std']:.2f}{hidden}.

The vote had all {labels:,} labels; notebook 03 asks what the features are worth when labels are
few. One run each."""


def centring_and_sharpening(before: float, runs: Mapping[str, tuple[Rows, float]],
                            uniform: float) -> str:
    """Notebook 15: the teacher's outputs with both tricks, and without one of them.

    Args:
        before: kNN accuracy of the encoder before any training.
        runs: name to one dict a step with mean and single, entropies in nats, and to the kNN
            accuracy at the end; the first has both tricks.
        uniform: ln K, the largest entropy.
    """
    lines = [f"- **{escaped(name)}**: {_outputs(rows[-1], uniform)}; kNN {knn:.1%} after "
             f"{len(rows):,} steps" for name, (rows, knn) in runs.items()]
    listed = "\n".join(lines)
    return f"""The encoder began at a kNN of {before:.1%}. An entropy of H nats is that of an even
spread over exp(H) classes; the largest is {uniform:.2f}. At the end:

{listed}

One training each, on images of which the neighbour vote had all labels. A difference of a few
points between these accuracies is no finding; the entropies tell a collapse of the outputs."""


def _outputs(row: Mapping[str, float], uniform: float) -> str:
    """Over how many classes a teacher's outputs are spread, and what that means."""
    count, mean, single = (math.exp(nats) for nats in (uniform, row["mean"], row["single"]))
    said = (f"the mean output is spread over {mean:.1f} of {count:.0f} classes, a single one over "
            f"{single:.1f}")
    if row["single"] > NEAR * uniform:
        return f"{said}: every output is uniform, or nearly"
    if mean < FEW * count:
        return f"{said}: few classes get everything"
    return f"{said}: single ones are more pointed than all together"


def _health(monitor: Rows) -> str:
    """The lowest deviation once the training had begun, and what it means."""
    deviations = [(row[key], kind) for row in monitor if row["step"] > SETTLED
                  for kind, key in (("features", "feature_std"), ("projections", "projection_std"))
                  if key in row]
    if not deviations:
        return "The training was too short to tell a collapse."
    lowest, kind = min(deviations)
    if lowest < LOWEST_STD:
        return (f"**The representation collapsed**: the standard deviation of the {kind} fell to "
                f"{lowest:.2f}.")
    return ("No evaluation found a collapse: once training had begun, the lowest standard "
            f"deviation was {lowest:.2f}, of the {kind}.")
