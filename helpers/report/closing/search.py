"""Closing words of the notebook on the hyper-parameter search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers.report import stats


def hyperparameter_search(rows: Sequence[Mapping[str, Any]], scores: Mapping[str, Sequence[float]],
                          weights: Mapping[str, tuple[float, float, float]], steps: int,
                          usual_steps: int) -> str:
    """Notebook 11: what the search found, whether it holds, and what seems to matter.

    Args:
        rows: trials: number, score, pruned, values.
        scores: test accuracies of the usual recipe and of the winner, in this order, over the same
            seeds.
        weights: hyper-parameter -> share of the scores' variance, its smallest and largest with one
            trial left out; empty where the trials are too few.
        steps, usual_steps: of a trial, and of a training elsewhere.
    """
    finished = [row for row in rows if not row["pruned"]]
    winner = max(finished, key=lambda row: row["score"])
    first = next((f"{row['score']:.1%}" for row in finished if row["number"] == 0), "not known")
    values = ", ".join(f"{name} {value:.3g}" for name, value in winner["values"].items())
    old, new = scores.values()
    gain = stats.paired(new, old)
    return f"""Of {len(rows)} trials, {len(rows) - len(finished)} were pruned. The best ({values})
reached {winner['score']:.1%} on validation (the usual recipe there: {first}). Trained again from
{len(new)} other seeds and evaluated on test images, the winner is at **{np.mean(new):.1%}** and the
usual recipe at **{np.mean(old):.1%}**: a mean difference of {gain.in_points}.

{_what_matters(weights, len(finished))} All of this holds for trainings of {steps} steps: a rate
that wins a sprint can lose the {usual_steps:,} steps that notebook 02 takes, so a recipe found here
should be checked there before it is adopted."""


def _what_matters(weights: Mapping[str, tuple[float, float, float]], trials: int) -> str:
    """Which hyper-parameters explain the scores, as far as leaving out a trial leaves it open."""
    if not weights:
        return f"{trials} finished trials are too few to say what matters."
    order = sorted(weights, key=weights.get, reverse=True)
    least = weights[order[0]][1]
    rivals = [name for name in order[1:] if weights[name][2] >= least]
    said = ", ".join(f"`{name}` {share:.0%} ({low:.0%} to {high:.0%})"
                     for name, (share, low, high) in ((name, weights[name]) for name in order))
    first = f"`{order[0]}` explains the most of the scores' variance whichever trial is left out"
    if rivals:
        named = ", ".join(f"`{name}`" for name in (order[0], *rivals))
        first = f"Which of {named} matters most these trials cannot tell"
    return (f"{first}. Shares by the {trials} trials that went to their end, in brackets with any "
            f"one of them left out: {said}.")
