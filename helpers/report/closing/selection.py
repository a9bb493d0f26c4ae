"""Closing words of the notebook on which images to label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers.report import stats
from helpers.report.closing.few_labels import Scores, labels_said

RANDOM, AUTO = "random", "auto"


def which_images(scores: Scores, history: Sequence[Mapping[str, Any]], test: float | None) -> str:
    """Notebook 12: which strategy wins at which budget, which lost, and what to expect of it.

    Args:
        scores: of "random" and the others, over the same repetitions.
        history: rounds of a rehearsal, see `helpers.evaluation.Rounds`; may be empty.
        test: test accuracy after the rehearsal.
    """
    counts = list(dict.fromkeys(count for _, count in scores))
    names = [name for name in dict.fromkeys(name for name, _ in scores) if name != AUTO]
    repeated = len(scores[RANDOM, counts[0]])
    lines = [f"Over {repeated} repetitions, with labels per class on average (in brackets the gain "
             "over random images and its 95 % confidence interval, paired):"]
    for count in counts:
        mean = {name: np.mean(scores[name, count]) for name in names}
        first, last = max(mean, key=mean.get), min(mean, key=mean.get)
        gain = stats.paired(scores[first, count], scores[RANDOM, count])
        over = f" ({100 * gain.gain:+.1f} points, {gain.interval})" if first != RANDOM else ""
        auto = f"; auto {np.mean(scores[AUTO, count]):.1%}" if (AUTO, count) in scores else ""
        lines.append(f"- {labels_said(count)}: *{first}* comes first with {mean[first]:.1%}{over}, "
                     f"*{last}* last with {mean[last]:.1%}{auto}")
    return "\n\n".join([lines[0], "\n".join(lines[1:]), f"{_lost(scores, names, counts)} "
                        f"One encoder, one test set.{_rehearsed(history, test)}"])


def _lost(scores: Scores, names: Sequence[str], counts: Sequence[int]) -> str:
    """Where a strategy's whole interval lies below random images."""
    found = [f"*{name}* with {labels_said(count)}" for name in names for count in counts
             if name != RANDOM
             and stats.paired(scores[name, count], scores[RANDOM, count]).high < 0]
    return ("Behind random images by the whole interval: "
            f"{'; '.join(found) or 'none, at no budget'}.")


def _rehearsed(history: Sequence[Mapping[str, Any]], test: float | None) -> str:
    """What cross-validation said at the end of a rehearsal, and what was true."""
    if not history or history[-1]["accuracy"] is None or test is None:
        return ""
    last = history[-1]
    return (f" After the rehearsal's {last['labels']} labels cross-validation says "
            f"{last['accuracy']:.1%} ({last['low']:.1%} to {last['high']:.1%}); on test images the "
            f"same classifier has {test:.1%}: images that a strategy picks are no random sample.")
