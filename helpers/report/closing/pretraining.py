"""Closing words of the notebook that trains BYOL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.common.markup import escaped

LOWEST = 0.1  # standard deviation below which a representation counts as collapsed
SETTLED = 32  # steps after which it says something
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
              if last["projection_std"] < LOWEST else "")
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


def _health(monitor: Rows) -> str:
    """The lowest deviation once the training had begun, and what it means."""
    deviations = [(row[key], kind) for row in monitor if row["step"] > SETTLED
                  for kind, key in (("features", "feature_std"), ("projections", "projection_std"))
                  if key in row]
    if not deviations:
        return "The training was too short to tell a collapse."
    lowest, kind = min(deviations)
    if lowest < LOWEST:
        return (f"**The representation collapsed**: the standard deviation of the {kind} fell to "
                f"{lowest:.2f}.")
    return ("No evaluation found a collapse: once training had begun, the lowest standard "
            f"deviation was {lowest:.2f}, of the {kind}.")
