"""Closing words of the notebooks on few labels: frozen features, fine-tuning, label curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.common.markup import escaped
from helpers.report import stats

# two kinds of images to pretrain on, in words
PRETEXT = {"DINO: same classes": "the classes of the task",
           "DINO: labelled classes": "images of the labelled classes",
           "DINO: own pretext set": "as many of the images without labels"}
Scores = Mapping[tuple[str, int], Sequence[float]]  # (method, labels per class) -> accuracies


def labels_said(count: int | str) -> str:
    """A number of labels per class in words; 0 and "all" are every label."""
    if count in (0, "all"):
        return "**all** labels"
    return f"**{count}** label{'' if str(count) == '1' else 's'} per class"


def frozen_features(scores: Scores, with_all: Mapping[str, float], origin: str) -> str:
    """Notebook 03: what the encoder adds to each baseline, by labels per class, and what lost.

    Args:
        scores: of every method, over the same label subsets; 0 is all labels.
        with_all: "method, classifier" -> accuracy with all labels.
        origin: the pretrained encoder among the methods.
    """
    counts = list(dict.fromkeys(count for _, count in scores))
    baselines = [name for name in dict.fromkeys(name for name, _ in scores) if name != origin]
    shown = [name for name in baselines if not name.startswith("PCA")]
    lines = [f"- {labels_said(count)}: {escaped(origin)} {_mean_std(scores[origin, count])}; over "
             + "; ".join(f"{name} {_gain(scores, origin, name, count)}" for name in shown)
             for count in counts]
    behind = [f"{escaped(name)} with {labels_said(count)}" for count in counts for name in baselines
              if np.mean(scores[name, count]) >= np.mean(scores[origin, count])]
    lost = "; ".join(behind) or "no baseline, at no number of labels"
    top = max(with_all.values())
    best = " and ".join(f"*{escaped(name)}*" for name, value in with_all.items() if value == top)
    return "\n\n".join([
        "Gains in points, in brackets the 95 % confidence interval over the same label subsets "
        "(one training, one test set):", "\n".join(lines),
        f"At least as good as {escaped(origin)} by the mean: {lost}. Of all classifiers with all "
        f"labels the highest is {best} ({top:.1%}). Label spreading trains no "
        "network: what it reaches is not owed to one."])


def _gain(scores: Scores, name: str, other: str, count: int) -> str:
    """The difference in points, with its interval where there are several subsets."""
    gain = stats.paired(scores[name, count], scores[other, count])
    between = "" if gain.interval == "not known" else f" ({gain.interval})"
    return f"{100 * gain.gain:+.1f}{between}"


def _mean_std(values: Sequence[float]) -> str:
    values = np.asarray(values)
    spread = f" ± {values.std(ddof=1):.1%}" if len(values) > 1 else ""
    return f"{values.mean():.1%}{spread}"


def fine_tuning(scores: Scores, tuned: str, steps: int, pretraining: float | None) -> str:
    """Notebook 04: the pretrained start against random weights, by labels per class.

    Args:
        scores: of `tuned` and of "from scratch", over the same label subsets.
        steps: of each training.
        pretraining: seconds that the pretraining took; None or NaN: not known.
    """
    lines, behind = [], []
    for count in dict.fromkeys(count for _, count in scores):
        fine, scratch = (np.array(scores[name, count]) for name in (tuned, "from scratch"))
        gain = stats.paired(fine, scratch)
        if gain.gain < 0:
            behind.append(labels_said(count))
        lines.append(
            f"- {labels_said(count)}: {_mean_std(fine)} against {_mean_std(scratch)} from scratch, "
            f"{gain.in_points}, ahead in {(fine > scratch).sum()} of {len(fine)}")
    lost = f"The mean from scratch is higher with {' and '.join(behind)}. " if behind else ""
    paid = ""
    if pretraining and pretraining > 0:
        paid = (f" The pretraining had taken {pretraining:.0f} s before, which a baseline could "
                "have used as well.")
    first = f"**{escaped(tuned)}**, {steps} steps, the same augmentation on both sides:"
    last = f"{lost}Only the start differed, and the rates that validation chose for it.{paid}"
    return "\n\n".join([first, "\n".join(lines), last])


def when_pretraining_helps(board: pd.DataFrame, origin: str) -> str:
    """Notebook 04: which way wins and which loses with each number of labels, and what to do.

    Args:
        board: a row a way ("method, protocol"), a column a number of labels per class, rising;
            accuracies, NaN where nothing was measured.
        origin: the pretrained encoder, whose name its ways hold.
    """
    own = board.index.str.contains(origin, regex=False)
    lines = []
    for count in board.columns:
        first, last = board[count].idxmax(), board[count].idxmin()
        with_, without = (board.loc[rows, count].max() for rows in (own, ~own))
        lines.append(
            f"- {labels_said(count)}: best *{escaped(first)}* ({board.at[first, count]:.1%}), last "
            f"*{escaped(last)}* ({board.at[last, count]:.1%}). The best way with {escaped(origin)} "
            f"has {with_:.1%}, the best without {without:.1%}: {100 * (with_ - without):+.1f} "
            "points.")
    return "\n".join([*lines, """- **Labels or pretraining?** Look one column further: if labels
  are cheap, that is the price to compare. Where every image has a label, tune the baseline first.
- **It cannot help** where the views change what makes the class, or where the training collapsed:
  look at the views, and watch kNN, feature standard deviation and rank (notebook 02), since the
  loss shows neither.

One dataset, one pretraining run: docs/results.md says what photographs change, and notebook 09
draws the way from one label to all in smaller steps."""])


def label_efficiency(probes: Scores, trained: Scores, pretext: Scores) -> str:
    """Notebook 09: the label curve, whole networks, and which images to pretrain on.

    Args:
        probes, trained, pretext: accuracies of linear probes and label spreading, of trained
            networks, and of probes after pretraining on one set of images or on another.
    """
    leads = [f"- {name}: " + _gains(probes, name, "label spreading") for name in ("DINO", "BYOL")]
    return "\n\n".join([
        _frozen(probes), "What pretraining adds to label spreading on pixels, in points (in "
        "brackets the 95 % confidence interval over the same label subsets):", "\n".join(leads),
        "What a pretrained start adds to one from scratch:", _against_scratch(trained),
        " ".join([*_pretext(pretext), "One pretraining run each; intervals are over label "
                  "subsets (all labels: over seeds)."])])


def _frozen(probes: Scores) -> str:
    """All methods with the fewest labels, who comes first at each number, and pixels with all."""
    counts, names = (list(dict.fromkeys(key[part] for key in probes)) for part in (1, 0))
    mean = {key: float(np.mean(values)) for key, values in probes.items()}
    least, most = counts[0], counts[-1]
    some = 10 if 10 in counts else counts[len(counts) // 2]

    def listed(methods: Sequence[str], count: int) -> str:
        return ", ".join(f"{escaped(name)} {mean[name, count]:.1%}" for name in methods)

    order = sorted(names, key=lambda name: -mean[name, least])
    first = {}
    for count in counts:
        best = max(names, key=lambda name, at=count: mean[name, at])
        first.setdefault(escaped(best), []).append(str(count or "all"))
    won = "; ".join(f"{name} with {', '.join(at)}" for name, at in first.items())
    return (f"With {labels_said(least)}, frozen: {listed(order, least)}. First by the mean, by "
            f"labels per class: {won}. A linear classifier on pixels reaches "
            f"{mean['raw pixels', most]:.1%} with {labels_said(most)}; with {labels_said(some)}: "
            f"{listed(('DINO', 'BYOL', 'label spreading'), some)}.")


def _gains(scores: Scores, name: str, other: str) -> str:
    """`_gain` at each number of labels per class."""
    return "; ".join(f"{_gain(scores, name, other, count)} with {labels_said(count)}"
                     for method, count in scores if method == name)


def _against_scratch(trained: Scores) -> str:
    """What each pretrained start adds to each network from scratch, by labels per class."""
    names = list(dict.fromkeys(name for name, _ in trained))
    scratch = [name for name in names if name.startswith("from scratch")]
    return "\n".join(f"- {escaped(tuned)} over {escaped(name)}: {_gains(trained, tuned, name)}"
                     for tuned in names if tuned not in scratch for name in scratch)


def _pretext(scores: Scores) -> list[str]:
    """A sentence on pretraining on one set of images or on another, where it was measured."""
    if not scores:
        return []
    least = next(iter(scores))[1]
    first, second = dict.fromkeys(name for name, _ in scores if name.startswith("DINO: "))
    said, other = (PRETEXT.get(name, name.removeprefix("DINO: ")) for name in (first, second))
    return [f"With {labels_said(least)}, pretraining on {said} differs from pretraining on "
            f"{other} by {_gain(scores, first, second, least)} points."]
