"""What the numbers say, in sentences: each difference with its 95 % confidence interval.

Notebook 10, README and docs/results.md say the same, made here from the same files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from helpers.report.stats import Comparison, gained, paired, unpaired
from helpers.report.tables import GPU, RIVAL, UNTRAINED, few_labels, markdown, percent

HEAVY = 1.6  # the sigma at which two methods are compared
PHOTO_SIGMA = 0.6  # and at which photographs are
SCRATCH, SPREADING = "from scratch", "label spreading"
Trainings = Mapping[str, tuple[Any, Any]]  # what `noise_trainings` finds


def findings(measured: pd.DataFrame, published: pd.DataFrame, trainings: Trainings) -> str:
    """A point each on few labels, the pretrained start, noise and photographs.

    Args:
        measured: all results, as `gather` or `read_results` gives them.
        published: what others report.
        trainings: accuracies under noise of whole trainings.
    """
    digits = quick_digits(measured)
    points = [*_on_few_labels(digits), *_on_the_start(digits), *_on_noise(trainings),
              *_on_photographs(measured, published)]
    return "\n".join(f"- {point}" for point in points)


def differences(measured: pd.DataFrame, trainings: Trainings) -> str:
    """The comparisons on the digits as a table: points, confidence interval, over what."""
    digits = quick_digits(measured)
    few, found = few_labels(digits), {}
    least = few.labels_per_class.iloc[0]
    own, tuned = _learned(few, least), _tuned(digits)
    for other in (*UNTRAINED[::-1], SPREADING):
        for count in few.labels_per_class.unique():
            if len(_rows(few, count, other)) and (count == least or other == SPREADING):
                found[f"linear probe, {own} less {other}, {_labels(count)}"] = _lead(
                    digits, count, own, other)
    for count, gain in _starts(digits).items():
        found[f"{tuned} less from scratch, {_labels(count)}"] = gain
    found[f"{own}, frozen, less {tuned}, {_labels(least)}"] = _means(few, least, own, tuned)
    if trainings:
        found[f"noise-BYOL less raw pixels, sigma {HEAVY}, whole trainings"] = heavy_noise(
            trainings)[0]
    return markdown(pd.DataFrame([
        {"difference": name, "points": f"{100 * each.gain:+.1f}",
         "95 % confidence interval": each.interval, "over": each.over}
        for name, each in found.items()]))


def quick_digits(measured: pd.DataFrame) -> pd.DataFrame:
    """The rows of the digits at quick scale."""
    return measured[(measured.dataset == "digits") & (measured.preset == "quick")]


def heavy_noise(trainings: Trainings, method: str = "noise-BYOL"
                ) -> tuple[Comparison, np.ndarray, np.ndarray]:
    """A method against raw pixels at sigma `HEAVY`: the comparison, and the accuracies of both."""
    at = int(np.argmin(np.abs(trainings[method][0] - HEAVY)))
    own, other = (trainings[name][1][:, at] for name in (method, "raw pixels"))
    return paired(own, other), own, other


def _on_few_labels(digits: pd.DataFrame) -> list[str]:
    few = few_labels(digits)
    least = few.labels_per_class.iloc[0]
    own = _learned(few, least)
    said = {name: percent(_rows(few, least, name).iloc[0]) for name in (own, *UNTRAINED)}
    lead = _lead(digits, least, own, "raw pixels")
    return [f"**Few labels.** With {_labels(least)} a linear classifier reaches {said[own]} % on "
            f"the features of {own}, {said['raw pixels']} % on raw pixels and "
            f"{said['random encoder']} % on the features of a random encoder. The lead over raw "
            f"pixels is {lead.in_points}.{_beside_spreading(digits, few, own)}"]


def _beside_spreading(digits: pd.DataFrame, few: pd.DataFrame, own: str) -> str:
    """The lead over label spreading, which trains no network, where that was measured."""
    counts = few.labels_per_class[few.method == SPREADING].unique()
    leads = [f"{lead.gain * 100:+.1f} ({lead.interval}) with {_labels(count)}" for count in counts
             for lead in [_lead(digits, count, own, SPREADING)]]
    return f" Over label spreading on pixels it is {', '.join(leads)}." if leads else ""


def _on_the_start(digits: pd.DataFrame) -> list[str]:
    gains = _starts(digits)
    if not gains:
        return []
    least, most = list(gains)[0], list(gains)[-1]
    return [f"**Pretrained or from scratch.** The gain of {_tuned(digits)} over training from "
            f"scratch, for as many steps with the same views, is {gains[least].in_points} with "
            f"{_labels(least)} and {gains[most].in_points} with {_labels(most)}."]


def _on_noise(trainings: Trainings) -> list[str]:
    if not trainings:
        return []
    lead, own, other = heavy_noise(trainings)
    supervised = heavy_noise(trainings, "supervised")[1]
    return [f"**Noise.** At sigma {HEAVY} a supervised classifier that never saw noise falls to "
            f"{_scores(supervised)} %. A linear classifier that saw clean images only has "
            f"{_scores(own)} % on the features of noise-BYOL and {_scores(other)} % on raw pixels: "
            f"{lead.in_points} over whole trainings."]


def _on_photographs(measured: pd.DataFrame, published: pd.DataFrame) -> list[str]:
    knn = measured[(measured.dataset == "imagenette") & measured.protocol.str.startswith("kNN")
                   & ~measured.method.str.startswith(RIVAL)]
    others = published[(published.dataset == "Imagenette") & published.minutes.notna()]
    if knn.empty or others.empty:
        return []
    untrained, on_gpu = knn.method.isin(UNTRAINED), knn.encoder.str.endswith(GPU)
    floor = _highest(knn[untrained])
    best = _highest(knn[~untrained & ~on_gpu] if any(~untrained & ~on_gpu) else knn[~untrained])
    quick = _highest(knn[~untrained & on_gpu]) if any(on_gpu) else best
    goal = others.loc[others.value.idxmax()]
    on_both = ("" if quick is best else
               f", and after {quick.minutes:.1f} minutes on a GPU {quick.method} with a "
               f"{quick.encoder.removesuffix(GPU)} {percent(quick)} %")
    where = "a GPU" if best.encoder.endswith(GPU) else "one CPU core"
    return [f"**Photographs.** After {best.minutes:.0f} minutes on {where} {best.method} reaches "
            f"a kNN accuracy of {percent(best)} % on Imagenette{on_both}; of what needs no "
            f"training, {floor.method} come first with {percent(floor)} %."
            f"{_beside_noise(measured, best)} {goal.system}'s {goal.method} has "
            f"{100 * goal.value:.1f} % after {goal.minutes:.0f} minutes on {goal.hardware}: that "
            "distance has several causes, budget, network and method, and these numbers cannot "
            "tell them apart."]


def _highest(rows: pd.DataFrame) -> pd.Series:
    return rows.loc[rows["mean"].idxmax()]


def _beside_noise(measured: pd.DataFrame, best: pd.Series) -> str:
    """What noise does to the best encoder of photographs, and which one stands it best."""
    noisy = measured[(measured.dataset == "imagenette") & (measured.sigma == PHOTO_SIGMA)]
    own = noisy[(noisy.method == best.method) & (noisy.encoder == best.encoder)]
    if own.empty:
        return ""
    highest = noisy.loc[noisy["mean"].idxmax()]
    return (f" Under noise of sigma {PHOTO_SIGMA} a linear classifier that saw clean images only "
            f"has {percent(own.iloc[0])} % on its features, and the most, {percent(highest)} %, "
            f"on those of {highest.method}, {highest.encoder}.")


def _starts(digits: pd.DataFrame) -> dict[str, Comparison]:
    """Notebook 04's gains over training from scratch, by labels per class."""
    rows = digits[(digits.metric == gain_over(SCRATCH)) & (digits.method == _tuned(digits))]
    return {row["labels_per_class"]: _gained(row) for row in rows.to_dict("records")}


def gain_over(other: str) -> str:
    """The metric of a paired difference, as notebooks 03 and 04 record it."""
    return f"gain over {other}, points"


def _gained(row: Mapping[str, Any]) -> Comparison:
    std = None if pd.isna(row["std"]) else row["std"] / 100
    return gained(row["mean"] / 100, std, row["n"])


def _lead(digits: pd.DataFrame, count: str, own: str, other: str) -> Comparison:
    """An encoder against a baseline, paired where notebook 03 has recorded it so."""
    rows = _rows(digits[digits.metric == gain_over(other)], count, own)
    if len(rows):
        return _gained(rows.iloc[0])
    return _means(few_labels(digits), count, own, other)


def _tuned(digits: pd.DataFrame) -> str:
    """What notebook 04 fine-tuned."""
    names = digits.method[digits.notebook.str.startswith("04") & (digits.method != SCRATCH)]
    return names.iloc[0]


def _learned(few: pd.DataFrame, count: str) -> str:
    """The encoder that notebook 03 has judged, of several the best."""
    probe = few[(few.protocol == "linear probe") & (few.labels_per_class == count)]
    probe = probe[~probe.method.isin(UNTRAINED) & ~probe.method.str.startswith("PCA")]
    return probe.method[probe["mean"].idxmax()]


def _rows(few: pd.DataFrame, count: str, name: str) -> pd.DataFrame:
    return few[(few.method == name) & (few.labels_per_class == count)]


def _means(few: pd.DataFrame, count: str, first: str, second: str) -> Comparison:
    """Two methods by their means, deviations and counts."""
    values = [_rows(few, count, name).iloc[0][key] for name in (first, second)
              for key in ("mean", "std", "n")]
    return unpaired(*(None if pd.isna(value) else value for value in values))


def _labels(count: str) -> str:
    if count == "all":
        return "all labels"
    return f"{count} label{'s' * (count != '1')} per class"


def _scores(values: np.ndarray) -> str:
    std = values.std(ddof=1) if len(values) > 1 else None
    return percent({"mean": values.mean(), "std": std, "n": len(values)})
