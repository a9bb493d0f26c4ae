"""Figures of sweeps: accuracy against labels, noise and minutes, similarity through the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.report.plots.lines import reference_line
from helpers.report.plots.style import (
    GRAY,
    array,
    canvas,
    headline,
    known,
    label_ends,
    line_styles,
    plain_log,
    styled,
)

BAND = 0.18  # opacity of a band of one standard deviation
ALL = (0, "all")  # how rows say that every label was used


@styled
def label_curve(rows: Sequence[Mapping[str, Any]], total_per_class: float, title: str,
                over: str = "label draws") -> Figure:
    """Accuracy against the number of labels, one line a method, in a band of one standard
    deviation.

    Args:
        rows: dicts with method, labels_per_class (0 or "all" for all), mean and std (fractions) and
            n, the number of label draws.
        total_per_class: how many labels per class has in all, where "all" lies on the axis.
        over: what was repeated, for the note below.
    """
    figure, axes = canvas(height=4.4)
    ax = axes[0, 0]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    styles, ends = line_styles(methods), []
    for method in methods:
        own = sorted((_labels(row, total_per_class), 100 * row["mean"], 100 * known(row.get("std")))
                     for row in rows if row["method"] == method)
        x, mean, std = (np.array(column, dtype=float) for column in zip(*own, strict=True))
        ax.fill_between(x, mean - std, np.minimum(mean + std, 100), color=styles[method]["color"],
                        alpha=BAND, lw=0)
        ax.plot(x, mean, **styles[method], marker="o", markersize=4)
        ends.append((x[-1], mean[-1], method, styles[method]["color"]))
    _label_ticks(ax, {row["labels_per_class"] for row in rows}, total_per_class)
    ax.set(ylabel="test accuracy (%)", xlabel="labels per class (log scale)")
    label_ends(ax, ends)
    headline(figure, title, f"mean ± standard deviation over {over}, {_draws(rows)}")
    return figure


def _labels(row: Mapping[str, Any], total: float) -> float:
    return float(total if row["labels_per_class"] in ALL else row["labels_per_class"])


def _draws(rows: Sequence[Mapping[str, Any]]) -> str:
    """What n was, apart for few labels and for all of them where it differs."""
    few = sorted({row.get("n", 1) for row in rows if row["labels_per_class"] not in ALL})
    whole = sorted({row.get("n", 1) for row in rows if row["labels_per_class"] in ALL})
    if not few or not whole or few == whole:
        return f"n = {'–'.join(map(str, few or whole))}"
    return f"n = {'–'.join(map(str, few))}, with all labels n = {'–'.join(map(str, whole))}"


def _label_ticks(ax: Axes, counts: set[Any], total: float) -> None:
    """A tick at every count, less one that "all" would cover."""
    whole = any(count in ALL for count in counts)
    numbers = sorted(count for count in counts if count not in ALL)
    places = {float(n): str(n) for n in numbers if not whole or 1.4 * n < total}
    if whole:
        places[float(total)] = f"all ({total:,.0f})"
    ax.set_xscale("log")
    ax.set_xticks(list(places), list(places.values()))
    ax.set_xticks([], minor=True)


@styled
def noise_curve(series: Mapping[str, tuple[Any, Any]], title: str, chance: float,
                reference: Mapping[str, tuple[Any, Any]] | None = None,
                over: str = "draws of the noise") -> Figure:
    """Accuracy against the strength of the noise, mean and band of one standard deviation over
    repetitions.

    Args:
        series: method to (sigmas, scores): S numbers in normalised units, repetitions x S
            accuracies in [0, 1].
        chance: what guessing would reach, in [0, 1].
        reference: published curves, name to (sigmas, accuracies), drawn as thin grey lines.
        over: what was repeated, for the note below.
    """
    figure, axes = canvas(height=4.7)
    ax = axes[0, 0]
    ends, draws = _bands(ax, series, 100)
    for name, (sigmas, scores) in (reference or {}).items():
        sigmas, scores = array(sigmas), 100 * array(scores)
        ax.plot(sigmas, scores, color=GRAY, lw=1.2, marker="x", markersize=5)
        ends.append((sigmas[-1], scores[-1], name, GRAY))
    ax.set(xlabel="noise sigma (normalised units: image in [-1, 1])", ylabel="test accuracy (%)",
           ylim=(0, 102))
    ax.margins(x=0)
    ax.secondary_xaxis("top", functions=(lambda s: s / 2,
                                         lambda p: 2 * p)).set_xlabel("sigma in pixel units [0, 1]")
    reference_line(ax, 100 * chance, f"chance {100 * chance:.0f} %")
    label_ends(ax, ends)
    headline(figure, title, f"mean ± standard deviation over n = {draws} {over}")
    return figure


def _bands(ax: Axes, series: Mapping[str, tuple[Any, Any]],
           factor: float = 1) -> tuple[list[tuple], int]:
    """Mean and band of one standard deviation of each method; returns the lines' ends and how many
    repetitions."""
    styles, ends, draws = line_styles(series), [], 0
    for method, (sigmas, values) in series.items():
        sigmas, values = array(sigmas), factor * np.atleast_2d(array(values))
        mean, std = values.mean(0), values.std(0, ddof=1 if len(values) > 1 else 0)
        ax.fill_between(sigmas, mean - std, mean + std, color=styles[method]["color"], alpha=BAND,
                        lw=0)
        ax.plot(sigmas, mean, **styles[method])
        ends.append((sigmas[-1], mean[-1], method, styles[method]["color"]))
        draws = max(draws, len(values))
    return ends, draws


@styled
def accuracy_over_time(curves: Mapping[str, Sequence[tuple[Any, Any, Any]]],
                       points: Sequence[Mapping[str, Any]], title: str, ylabel: str,
                       note: str) -> Figure:
    """Accuracy against minutes of training, on a logarithmic axis.

    Args:
        curves: what was trained to its budgets, each a curve of (minutes, accuracies as fractions,
            their deviations, drawn as a band), all drawn alike; the longest is named at its end.
            Evaluations in the first second have no place on the axis and are left out.
        points: published dicts with name, minutes and mean (a fraction), drawn as grey crosses.
        note: what keeps the two from being compared, and what n is.
    """
    figure, axes = canvas(height=4.6)
    ax = axes[0, 0]
    styles, ends = line_styles(curves), []
    for name, budgets in curves.items():
        for minutes, values, spread in sorted(budgets, key=lambda curve: max(curve[0])):
            later = array(minutes) > 1 / 60
            minutes, values, spread = array(
                minutes)[later], 100 * array(values)[later], 100 * array(spread)[later]
            ax.fill_between(minutes, values - spread, values + spread, color=styles[name]["color"],
                            alpha=BAND, lw=0)
            ax.plot(minutes, values, **styles[name], marker="o", markersize=3.5)
        ends.append((minutes[-1], values[-1], name, styles[name]["color"]))
    for point in points:
        ax.plot(point["minutes"], 100 * point["mean"], "x", color=GRAY, markersize=7, mew=1.8)
        ends.append((point["minutes"], 100 * point["mean"], point["name"], GRAY))
    ax.set_xscale("log")
    plain_log(ax.xaxis)
    ax.set(xlabel="minutes of training (log scale, each on its own machine)", ylabel=ylabel)
    ax.margins(y=0.08)
    label_ends(ax, ends)
    headline(figure, title, note)
    return figure


@styled
def layer_curve(layers: Mapping[str, Sequence[tuple[str, float]]], title: str) -> Figure:
    """How alike clean and noisy images are to each layer.

    Args:
        layers: method to (layer, mean cosine similarity) pairs in order; all methods have the same
            layers.
    """
    figure, axes = canvas()
    ax = axes[0, 0]
    styles, ends = line_styles(layers), []
    for method, pairs in layers.items():
        values = [value for _, value in pairs]
        ax.plot(values, **styles[method], marker="o", markersize=5)
        ends.append((len(values) - 1, values[-1], method, styles[method]["color"]))
    names = [name for name, _ in next(iter(layers.values()))]
    ax.set_xticks(range(len(names)), names, rotation=25 if len(names) > 8 else 0)
    ax.set(xlabel="layer, from the image to the features",
           ylabel="mean cosine similarity, clean to noisy")
    ax.set_ylim(min(0, ax.get_ylim()[0]), 1.02)
    label_ends(ax, ends)
    headline(figure, title)
    return figure


@styled
def similarity_curve(series: Mapping[str, tuple[Any, Any]], title: str,
                     over: str = "draws of the noise") -> Figure:
    """How far the features of noisy images turn away from those of the clean ones.

    Args:
        series: method to (sigmas, values): S numbers in normalised units, repetitions x S mean
            cosines in [-1, 1].
        over: what was repeated, for the note below.
    """
    figure, axes = canvas(height=3.8)
    ax = axes[0, 0]
    ends, draws = _bands(ax, series)
    ax.set(xlabel="noise sigma (normalised units: image in [-1, 1])",
           ylabel="mean cosine similarity")
    ax.set_ylim(min(0, ax.get_ylim()[0]), 1.02)
    ax.margins(x=0)
    label_ends(ax, ends)
    headline(figure, title, f"mean ± standard deviation over n = {draws} {over}")
    return figure


@styled
def corruption_table(errors: Mapping[str, Mapping[str, Any]], mce: Mapping[str, float],
                     title: str) -> Figure:
    """Accuracy under each corruption, a row a method; their mean and the mean corruption error
    stand at the right.

    Args:
        errors: method -> corruption -> errors in [0, 1], one a severity.
        mce: method -> mean corruption error, relative to the baseline's.
    """
    methods, kinds = list(errors), list(next(iter(errors.values())))
    right = 100 * np.array([[1 - array(errors[name][kind]).mean()
                             for kind in kinds]
                            for name in methods])
    figure, axes = canvas(height=1.9 + 0.42 * len(methods))
    ax = axes[0, 0]
    image = ax.imshow(right, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(right):
        best = value == right[:, column].max()
        ax.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=9.5,
                color="white" if value > 55 else "black", weight="bold" if best else "normal")
    for x, heading, values in ((1.06, "mean", right.mean(1)), (1.15, "mCE",
                                                               [mce[name] for name in methods])):
        ax.annotate(heading, (x, 1.02), xycoords="axes fraction", ha="center", va="bottom",
                    weight="bold")
        for row, value in enumerate(values):
            ax.annotate(f"{value:.1f}" if heading == "mean" else f"{value:.2f}", (x, row),
                        ha="center", va="center", xycoords=("axes fraction", "data"))
    ax.set_xticks(range(len(kinds)), [kind.replace(" ", "\n") for kind in kinds], fontsize=8)
    ax.set(yticks=range(len(methods)), yticklabels=methods,
           xlabel="corruption, mean of five severities")
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, label="test accuracy (%)", shrink=0.85, pad=0.13)
    headline(figure, title,
             "bold: best of a column · mean: of the row · mCE: errors relative to the first row's")
    return figure
