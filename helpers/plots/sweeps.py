"""Figures of sweeps: accuracy against labels and against noise, similarity through the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.plots.lines import reference_line
from helpers.plots.style import GRAY, array, canvas, headline, known, label_ends, line_styles, styled

BAND = 0.18  # opacity of a band of one standard deviation
ALL = (0, "all")  # how rows say that every label was used


@styled
def label_curve(rows: Sequence[Mapping[str, Any]], total_per_class: float, title: str) -> Figure:
    """Accuracy against the number of labels, one line a method.

    Args:
        rows: dicts with method, labels_per_class (0 or "all" for all), mean and std (fractions) and n, the
            number of label draws.
        total_per_class: how many labels a class has in all, where "all" lies on the axis.
    """
    figure, axes = canvas(height=4.4)
    ax = axes[0, 0]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    styles, ends = line_styles(methods), []
    for index, method in enumerate(methods):
        own = sorted((_labels(row, total_per_class), 100 * row["mean"], 100 * known(row.get("std")))
                     for row in rows if row["method"] == method)
        x, mean, std = (np.array(column, dtype=float) for column in zip(*own, strict=True))
        x = x * 1.025 ** (index - (len(methods) - 1) / 2)  # side by side, so that no error bar hides another
        ax.errorbar(x, mean, std, **styles[method], marker="o", markersize=5, capsize=3, elinewidth=1.2)
        ends.append((x[-1], mean[-1], method, styles[method]["color"]))
    _label_ticks(ax, {row["labels_per_class"] for row in rows}, total_per_class)
    ax.set(ylabel="test accuracy (%)", xlabel="labels per class (log scale)")
    label_ends(ax, ends)
    headline(figure, title, f"mean ± standard deviation over label draws, {_draws(rows)}")
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
                reference: Mapping[str, tuple[Any, Any]] | None = None) -> Figure:
    """Accuracy against the strength of the noise, mean and band of one standard deviation over noise draws.

    Args:
        series: method to (sigmas, scores): S numbers in normalised units, draws x S accuracies in [0, 1].
        chance: what guessing would reach, in [0, 1].
        reference: published curves, name to (sigmas, accuracies), drawn as thin grey lines.
    """
    figure, axes = canvas(height=4.7)
    ax = axes[0, 0]
    styles, ends = line_styles(series), []
    for method, (sigmas, scores) in series.items():
        sigmas, scores = array(sigmas), 100 * np.atleast_2d(array(scores))
        mean, std = scores.mean(0), scores.std(0, ddof=1 if len(scores) > 1 else 0)
        ax.fill_between(sigmas, mean - std, mean + std, color=styles[method]["color"], alpha=BAND, lw=0)
        ax.plot(sigmas, mean, **styles[method])
        ends.append((sigmas[-1], mean[-1], method, styles[method]["color"]))
    for name, (sigmas, scores) in (reference or {}).items():
        sigmas, scores = array(sigmas), 100 * array(scores)
        ax.plot(sigmas, scores, color=GRAY, lw=1.2, marker="x", markersize=5)
        ends.append((sigmas[-1], scores[-1], name, GRAY))
    ax.set(xlabel="noise sigma (normalised units: image in [-1, 1])", ylabel="test accuracy (%)", ylim=(0, 102))
    ax.margins(x=0)
    ax.secondary_xaxis("top", functions=(lambda s: s / 2, lambda p: 2 * p)).set_xlabel("sigma in pixel units [0, 1]")
    reference_line(ax, 100 * chance, f"chance {100 * chance:.0f} %")
    label_ends(ax, ends)
    draws = max((len(np.atleast_2d(array(scores))) for _, scores in series.values()), default=0)
    headline(figure, title, f"mean ± standard deviation over n = {draws} draws of the noise")
    return figure


@styled
def layer_curve(layers: Mapping[str, Sequence[tuple[str, float]]], title: str) -> Figure:
    """How alike clean and noisy pictures are to each layer.

    Args:
        layers: method to (layer, mean cosine similarity) pairs in order; all methods have the same layers.
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
    ax.set(xlabel="layer, from the picture to the features", ylabel="mean cosine similarity, clean to noisy")
    ax.set_ylim(min(0, ax.get_ylim()[0]), 1.02)
    label_ends(ax, ends)
    headline(figure, title)
    return figure
