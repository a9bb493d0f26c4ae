"""What the README's tables of the digits say, in sentences; where two methods are compared, with
the test's verdict."""

from __future__ import annotations

import pandas as pd

from helpers.common.errors import UserError
from helpers.report.stats import Comparison, gained, unpaired
from helpers.report.tables import HEAVY, counts, few_labels, percent, under_noise

# method and metric in notebook 04
TUNED, GAIN = "fine-tuned BYOL", "gain over from scratch, points"


def lessons(frame: pd.DataFrame) -> str:
    """A point each on few labels, the start, freezing, all labels and noise.

    Args:
        frame: rows of notebooks 03, 04 and 07, of one dataset and preset, with BYOL as the method.

    Raises:
        UserError: notebook 04's gains are not among them.
    """
    few, noise = few_labels(frame), under_noise(frame)
    return "\n".join(f"- {point}" for point in (_frozen(few), _start(frame), _freezing(few),
                                                _all(few, noise),
                                                _noise(noise[noise.sigma == HEAVY])))


def _frozen(few: pd.DataFrame) -> str:
    least = few.labels_per_class.iloc[0]
    with_few, with_all = ([
        _said(few, name, count) for name in ("BYOL", "raw pixels", "random encoder")
    ] for count in (least, "all"))
    return (
        f"**Few labels.** With {least} a class a linear classifier reaches {with_few[0]} on "
        "BYOL's features, "
        f"{with_few[1]} on pixels and {with_few[2]} on a random encoder's; with all labels "
        f"{with_all[0]}, "
        f"{with_all[1]} and {with_all[2]}.")


def _start(frame: pd.DataFrame) -> str:
    rows = frame[(frame.metric == GAIN) & (frame.method == TUNED)]
    if rows.empty:
        raise UserError(
            "the results hold no gains over training from scratch: run notebook 04 again")
    found = {
        row.labels_per_class: gained(row["mean"] / 100, row["std"] / 100, row.n)
        for _, row in rows.iterrows()
    }
    verdicts = [
        f"{count}: {100 * result.gain:+.1f} points, "
        f"{result.choose('ahead', 'behind', 'no more than chance could make')} (p = {result.p:.2g})"
        for count, result in found.items()
    ]
    return (
        "**Pretrained or from scratch**, fine-tuned for as many steps with the same views, by "
        "labels per class: "
        f"{'; '.join(verdicts)} (paired t-test, {counts(rows)}).")


def _freezing(few: pd.DataFrame) -> str:
    least = few.labels_per_class.iloc[0]
    result = _against(few, "BYOL", TUNED, least)
    return (
        f"**Frozen or fine-tuned**, {least} a class: {_said(few, 'BYOL', least)} against "
        f"{_said(few, TUNED, least)}, "
        f"{result.choose('frozen is ahead', 'fine-tuned is ahead', 'no clear difference')} "
        f"({result.why})."
    )


def _all(few: pd.DataFrame, noise: pd.DataFrame) -> str:
    clean = noise[(noise.sigma == 0) & (noise.method == "supervised")]["mean"].iloc[0]
    return (
        "**All labels.** Supervised training for as long as notebook 07 gives it reaches "
        f"{100 * clean:.1f} %, "
        f"fine-tuned BYOL {_said(few, TUNED, 'all')}: whoever has every label tunes the baseline "
        "first."
    )


def _noise(heavy: pd.DataFrame) -> str:
    said = {row["method"]: f"{percent(row)} %" for _, row in heavy.iterrows()}
    return (
        f"**Heavy noise**, sigma {HEAVY}: supervised {said['supervised']}, trained on noisy images "
        f"{said['supervised + noise']}, noise-BYOL {said['noise-BYOL']} with a classifier that "
        "saw clean images "
        f"only, raw pixels {said['raw pixels']}, BYOL without noise {said['BYOL']}. Noisy "
        "*validation* images "
        "chose how strongly each probe is regularised; these deviations are over draws of the "
        "noise, those of the "
        "line below the table over trainings.")


def _row(few: pd.DataFrame, name: str, count: str) -> pd.Series:
    return few[(few.method == name) & (few.labels_per_class == count)].iloc[0]


def _said(few: pd.DataFrame, name: str, count: str) -> str:
    return f"{percent(_row(few, name, count))} %"


def _against(few: pd.DataFrame, first: str, second: str, count: str) -> Comparison:
    rows = [_row(few, name, count) for name in (first, second)]
    return unpaired(*(value for row in rows
                      for value in (row["mean"], None if pd.isna(row["std"]) else row["std"],
                                    row["n"])))
