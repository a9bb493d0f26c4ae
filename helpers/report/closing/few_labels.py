"""Closing words of the notebooks on few labels: frozen features, fine-tuning, label curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    """Notebook 03: linear probes on few labels, and logistic regression on all of them.

    Args:
        scores: of every method, over the same label subsets; 0 is all labels.
        with_all: method -> accuracy of logistic regression on all labels.
        origin: the pretrained encoder among the methods.
    """
    fewest = min(count for _, count in scores if count)
    largest = list(scores)[-1][1]
    few = {name: np.array(values) for (name, count), values in scores.items() if count == fewest}
    mean = {name: values.mean() for name, values in few.items()}
    rival = max((name for name in mean if name != origin), key=mean.get)
    rival_gap, random_gap, pixel_gap = (
        stats.paired(few[origin], few[name]) for name in (rival, "random encoder", "raw pixels"))
    last = stats.paired(scores[origin, largest], scores["raw pixels", largest])
    best = max(with_all, key=with_all.get)
    top, value = escaped(best), with_all[best]
    own, other = escaped(origin), escaped(rival)
    return f"""With {labels_said(fewest)} a linear probe reaches **{_mean_std(few[origin])}** on the
features of {own} and {_mean_std(few[rival])} on the best of the others ({other}).
{own} was ahead in {(few[origin] > few[rival]).sum()} of {len(few[origin])} label subsets, with a
mean difference of {rival_gap.in_points}. The random encoder gives {mean['random encoder']:.1%}:
what its training added to the architecture is {random_gap.in_points}.

With {labels_said(0)} logistic regression gives {with_all[origin]:.1%} on {own} and
{with_all['raw pixels']:.1%} on raw pixels; the best is *{top}* ({value:.1%}). By the linear
probe of the table, {own} less raw pixels is {100 * pixel_gap.gain:+.1f} points with the fewest
labels and {100 * last.gain:+.1f} with {labels_said(largest)}."""


def _mean_std(values: np.ndarray) -> str:
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


def when_pretraining_helps(board: pd.DataFrame, origin: str, steps: int, subsets: int) -> str:
    """Notebook 04: fine-tuned, from scratch, frozen and pixels, with few labels and with all.

    Args:
        board: a row a way ("method, protocol"), a column a number of labels per class, rising;
            accuracies, NaN where nothing was measured.
        origin: the pretrained encoder.
        steps: of the fine-tuning, as its protocol names it.
        subsets: how many label subsets each number is the mean of.
    """
    fewest, more, every = board.columns[0], board.columns[1], board.columns[-1]

    def at(method: str, count: str) -> str:
        found = [f"{method}, linear probe", f"{method}, {steps} steps"]
        values = board[count].reindex(found).dropna()
        return f"{values.iloc[0]:.1%}" if len(values) else "not measured"

    tuned, scratch = f"fine-tuned {origin}", "from scratch"
    best = {count: f"*{escaped(board[count].idxmax())}* ({board[count].max():.1%})"
            for count in (fewest, every)}
    return f"""- With {labels_said(fewest)}: {at(tuned, fewest)} fine-tuned, {at(scratch, fewest)}
  from scratch. Frozen, with a linear probe, the same encoder gives {at(origin, fewest)},
  raw pixels {at('raw pixels', fewest)}, a random encoder {at('random encoder', fewest)}.
- With {labels_said(every)}: {at(tuned, every)} fine-tuned, {at(scratch, every)} from scratch,
  frozen {at(origin, every)}, raw pixels {at('raw pixels', every)}. Where every image has a label,
  tune the baseline first.
- **Labels or pretraining?** Going from {fewest} to {more} labels per class takes training from
  scratch from {at(scratch, fewest)} to {at(scratch, more)}; pretraining takes it to
  {at(tuned, fewest)} with {fewest}. If labels are cheap, that is the price to compare.
- **It cannot help** where the views change what makes the class, or where the training collapsed:
  look at the views, and watch kNN, feature standard deviation and rank (notebook 02), since the
  loss shows neither.

The best of everything measured so far: with {fewest}, {best[fewest]}; with all, {best[every]}. One
dataset, one pretraining run, {subsets} label subsets: docs/results.md says what photographs change,
and notebook 09 draws the way from one label to all in smaller steps."""


def label_efficiency(probes: Sequence[Mapping[str, Any]], trained: Sequence[Mapping[str, Any]],
                     pretext: Sequence[Mapping[str, Any]]) -> str:
    """Notebook 09: the label curve, whole networks, and which images to pretrain on.

    Args:
        probes, trained, pretext: rows of the results (method, labels_per_class, mean): linear
            probes, trained networks, and probes after pretraining on the same or on other classes.
    """
    mean = {(row["method"], row["labels_per_class"]): row["mean"] for row in (*probes, *trained)}
    counts, trained_counts = (list(dict.fromkeys(row["labels_per_class"] for row in rows))
                              for rows in (probes, trained))
    least, most = counts[0], counts[-1]
    best = max(("DINO", "BYOL"), key=lambda name: mean[name, least])
    goal = mean["raw pixels", most]
    enough = next((count for count in counts if mean[best, count] >= goal), None)
    reached = f"reaches that with {labels_said(enough)}" if enough else "does not reach that"
    some = 10 if 10 in trained_counts else trained_counts[0]
    scratch = {method: mean[method, some] for method, count in mean
               if method.startswith("from scratch, ") and count == some}
    return " ".join([
        f"With {labels_said(least)} a linear classifier reaches {mean['DINO', least]:.1%} on "
        f"DINO's features and {mean['BYOL', least]:.1%} on BYOL's, {mean['raw pixels', least]:.1%} "
        f"on pixels and {mean['random encoder', least]:.1%} on a random encoder's. Pixels reach "
        f"{goal:.1%} with {labels_said(most)}; {best} {reached}.",
        f"Fine-tuning with {labels_said(some)} gives {mean['fine-tuned DINO', some]:.1%} (DINO) "
        f"and {mean['fine-tuned BYOL', some]:.1%} (BYOL); "
        + ", ".join(f"{escaped(name)} {value:.1%}" for name, value in scratch.items()) + ".",
        "The better pretrained start adds to the best network from scratch, in points by labels "
        f"per class: {_added(mean, trained_counts)}.", *_pretext(pretext, least),
        "One pretraining run each; the bands are over label subsets."
    ])


def _added(mean: Mapping[tuple[str, Any], float], counts: Sequence[int | str]) -> str:
    """What the better pretrained start adds to the best network from scratch, at each count."""
    scratch = {method for method, _ in mean if method.startswith("from scratch")}
    added = {}
    for count in counts:
        tuned = max(mean[f"fine-tuned {name}", count] for name in ("DINO", "BYOL"))
        added[count] = 100 * (tuned - max(mean[method, count] for method in scratch))
    return ", ".join(f"{gain:+.1f} with {count}" for count, gain in added.items())


def _pretext(rows: Sequence[Mapping[str, Any]], least: int | str) -> list[str]:
    """A sentence on pretraining on one set of images or on another, where it was measured."""
    if not rows:
        return []
    mean = {row["method"]: row["mean"] for row in rows if row["labels_per_class"] == least}
    first, second = [name for name in mean if name.startswith("DINO: ")]
    gap = 100 * (mean[first] - mean[second])
    first, second = (PRETEXT.get(name, name.removeprefix("DINO: ")) for name in (first, second))
    return [f"With {labels_said(least)}, pretraining on {first} differs from pretraining on "
            f"{second} by {gap:+.1f} points."]
