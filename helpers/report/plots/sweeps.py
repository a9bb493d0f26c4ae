"""Figures of sweeps: accuracy against labels, noise and minutes, similarity through the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.report.plots.style import (
    FAINT,
    GRAY,
    array,
    band_line,
    canvas,
    deviation,
    headline,
    label_ends,
    line_styles,
    plain_log,
    reference_line,
    styled,
)
from helpers.report.stats import gained

ALL = (0, "all")  # how rows say that every label was used
SIGMA = "noise sigma (normalised units: image in [-1, 1])"


@styled
def label_curve(rows: Sequence[Mapping[str, Any]], total_per_class: float, title: str,
                over: str = "label subsets", interval: bool = False) -> Figure:
    """Accuracy against the number of labels, a line a method in a band of one standard deviation.

    Args:
        rows: dicts with method, labels_per_class (0 or "all" for all), mean and std (fractions) and
            n, the number of label subsets.
        total_per_class: how many labels per class there are in all, where "all" lies on the axis.
        over: what was repeated, for the note below.
        interval: the band is the 95 % confidence interval of the mean instead.
    """
    figure, axes = canvas(height=4.4)
    ax = axes[0, 0]
    styles, ends = line_styles(dict.fromkeys(row["method"] for row in rows)), []
    for method, style in styles.items():
        own = sorted((_labels(row, total_per_class), 100 * row["mean"],
                      100 * (_reach(row) if interval else deviation(row)))
                     for row in rows if row["method"] == method)
        ends.append(band_line(ax, *zip(*own, strict=True), method, style, most=100, marker="o",
                              markersize=4))
    _label_ticks(ax, {row["labels_per_class"] for row in rows}, total_per_class)
    ax.set(ylabel="test accuracy (%)", xlabel="labels per class (log scale)")
    label_ends(ax, ends)
    band = "mean and its 95 % interval" if interval else "mean ± standard deviation"
    headline(figure, title, f"{band} over {over}, {_counts(rows)}")
    return figure


@styled
def label_panels(panels: Mapping[str, Sequence[str]], rows: Sequence[Mapping[str, Any]],
                 total_per_class: float, title: str) -> Figure:
    """`label_curve` in small multiples: a panel for each group, all other lines pale behind it.

    Args:
        panels: title of a panel to the methods that it shows.
        rows, total_per_class: as for `label_curve`.
    """
    figure, axes = canvas(1, len(panels), height=4.2, sharey=True)
    styles = line_styles(dict.fromkeys(row["method"] for row in rows))
    counts = {row["labels_per_class"] for row in rows}
    for ax, (name, own) in zip(axes[0], panels.items(), strict=True):
        for method, style in styles.items():
            points = sorted((_labels(row, total_per_class), 100 * row["mean"],
                             100 * deviation(row)) for row in rows if row["method"] == method)
            x, mean, std = zip(*points, strict=True)
            if method in own:
                band_line(ax, x, mean, std, method, style, most=100, marker="o", markersize=4,
                          label=method)
            else:
                ax.plot(x, mean, color=FAINT, lw=1.2, zorder=1)
        _label_ticks(ax, counts, total_per_class)
        ax.set(title=name, xlabel="labels per class (log scale)")
        ax.legend(loc="lower right", fontsize=8.5)
    axes[0, 0].set_ylabel("test accuracy (%)")
    headline(figure, title, f"mean ± standard deviation over label subsets, {_counts(rows)} · "
             "pale: the lines of the other panels")
    return figure


def _reach(row: Mapping[str, Any]) -> float:
    """Half of the 95 % confidence interval of a row's mean, 0 where there is none."""
    reach = gained(row["mean"], row.get("std"), row["n"]).high - row["mean"]
    return 0.0 if np.isnan(reach) else reach


def _labels(row: Mapping[str, Any], total: float) -> float:
    return float(total if row["labels_per_class"] in ALL else row["labels_per_class"])


def _counts(rows: Sequence[Mapping[str, Any]]) -> str:
    """What n was, apart for few labels and for all of them where it differs."""
    few, whole = ("–".join(map(str, sorted({row.get("n", 1) for row in rows
                                            if (row["labels_per_class"] in ALL) is every})))
                  for every in (False, True))
    if not few or not whole or few == whole:
        return f"n = {few or whole}"
    return f"n = {few}, with all labels n = {whole}"


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
                over: str = "trainings") -> Figure:
    """Accuracy against the strength of the noise, in bands of one deviation over repetitions.

    Args:
        series: method to (sigmas, scores): S numbers in normalised units, repetitions x S
            accuracies in [0, 1].
        chance: what guessing would reach, in [0, 1].
        reference: published curves, name to (sigmas, accuracies), drawn as thin grey lines.
        over: what was repeated, for the note below; of one repetition, the whole note.
    """
    figure, axes = canvas(height=4.7)
    ax = axes[0, 0]
    ends, repeated = _bands(ax, series, 100)
    for name, (sigmas, scores) in (reference or {}).items():
        ax.plot(sigmas, 100 * array(scores), color=GRAY, lw=1.2, marker="x", markersize=5)
        ends.append((sigmas[-1], 100 * scores[-1], name, GRAY))
    ax.set(ylabel="test accuracy (%)", ylim=(0, 102))
    top = ax.secondary_xaxis("top", functions=(lambda sigma: sigma / 2, lambda pixel: 2 * pixel))
    top.set_xlabel("sigma in pixel units [0, 1]")
    reference_line(ax, 100 * chance, f"chance {100 * chance:.0f} %")
    label_ends(ax, ends)
    headline(figure, title, _spread(repeated, over))
    return figure


@styled
def similarity_curve(series: Mapping[str, tuple[Any, Any]], title: str,
                     over: str = "trainings") -> Figure:
    """How far the features of noisy images turn away from those of the clean ones.

    Args:
        series: method to (sigmas, values): S numbers in normalised units, repetitions x S mean
            cosines in [-1, 1].
        over: what was repeated, for the note below.
    """
    figure, axes = canvas(height=3.8)
    ax = axes[0, 0]
    ends, repeated = _bands(ax, series)
    ax.set(ylabel="mean cosine similarity", ylim=(min(0, ax.get_ylim()[0]), 1.02))
    label_ends(ax, ends)
    headline(figure, title, _spread(repeated, over))
    return figure


def _spread(repeated: int, over: str) -> str:
    """What a band is; of one repetition there is none, and `over` says what was done."""
    return f"mean ± standard deviation over n = {repeated} {over}" if repeated > 1 else over


def _bands(ax: Axes, series: Mapping[str, tuple[Any, Any]],
           factor: float = 1) -> tuple[list[tuple], int]:
    """A band of each method over sigmas; returns the lines' ends and how many repetitions."""
    styles, ends, repeated = line_styles(series), [], 0
    for method, (sigmas, values) in series.items():
        values = factor * np.atleast_2d(array(values))
        std = values.std(0, ddof=min(1, len(values) - 1))
        ends.append(band_line(ax, array(sigmas), values.mean(0), std, method, styles[method]))
        repeated = max(repeated, len(values))
    ax.set_xlabel(SIGMA)
    ax.margins(x=0)
    return ends, repeated


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
        for budget in sorted(budgets, key=lambda curve: max(curve[0])):
            minutes, values, std = np.array([array(each) for each in budget])
            later = minutes > 1 / 60
            end = band_line(ax, minutes[later], 100 * values[later], 100 * std[later], name,
                            styles[name], marker="o", markersize=3.5)
        ends.append(end)
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
    ax, styles, ends = axes[0, 0], line_styles(layers), []
    for method, pairs in layers.items():
        values = [value for _, value in pairs]
        ax.plot(values, **styles[method], marker="o", markersize=5)
        ends.append((len(values) - 1, values[-1], method, styles[method]["color"]))
    names = [name for name, _ in next(iter(layers.values()))]
    ax.set_xticks(range(len(names)), names, rotation=25 if len(names) > 8 else 0)
    ax.set(xlabel="layer, from the image to the features",
           ylabel="mean cosine similarity, clean to noisy",
           ylim=(min(0, ax.get_ylim()[0]), 1.02))
    label_ends(ax, ends)
    headline(figure, title)
    return figure


@styled
def corruption_table(errors: Mapping[str, Mapping[str, Any]], mce: Mapping[str, float],
                     title: str) -> Figure:
    """Accuracy under each corruption, a row a method, with their mean and mean corruption error.

    Args:
        errors: method -> corruption -> errors in [0, 1], one a severity.
        mce: method -> mean corruption error, relative to the baseline's.
    """
    import seaborn as sns  # a second, which most notebooks save

    accuracy = pd.DataFrame({method: {kind.replace(" ", "\n"): 100 * (1 - array(each).mean())
                                      for kind, each in kinds.items()}
                             for method, kinds in errors.items()}).T
    figure, axes = canvas(height=1.9 + 0.42 * len(accuracy))
    ax = axes[0, 0]
    sns.heatmap(accuracy, ax=ax, cmap="Blues", vmin=0, vmax=100, annot=True, fmt=".1f",
                annot_kws={"fontsize": 9.5},
                cbar_kws={"label": "test accuracy (%)", "shrink": 0.85, "pad": 0.13})
    best = (accuracy == accuracy.max()).to_numpy().ravel()
    for text, bold in zip(ax.texts, best, strict=True):
        text.set_weight("bold" if bold else "normal")
    relative = [f"{mce[name]:.2f}".replace("nan", "–") for name in accuracy.index]
    for x, heading, values in ((1.06, "mean", accuracy.mean(axis=1).map("{:.1f}".format)),
                               (1.15, "mCE", relative)):
        ax.annotate(heading, (x, 1.02), xycoords="axes fraction", ha="center", va="bottom",
                    weight="bold")
        for row, value in enumerate(values):
            ax.annotate(value, (x, row + 0.5), ha="center", va="center",
                        xycoords=("axes fraction", "data"))
    ax.set_xlabel("corruption, mean of five severities")
    ax.tick_params(length=0, rotation=0)
    ax.tick_params(axis="x", labelsize=8)
    headline(figure, title,
             "bold: best of a column · mean: of the row · mCE: errors relative to the first row's, "
             "where those are 5 % or more")
    return figure
