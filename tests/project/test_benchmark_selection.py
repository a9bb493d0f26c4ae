"""The benchmark of what to label next: every strategy has every budget, on the same pools."""

import sys
from pathlib import Path

import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import selection  # noqa: E402


def test_every_strategy_is_judged_at_every_budget_and_repetition():
    labels = torch.arange(300) % 4
    features = torch.nn.functional.one_hot(labels, 8) + 0.3 * torch.randn(
        300, 8, generator=torch.Generator().manual_seed(0))
    rows = pd.DataFrame(selection.compared(
        (features[:240], labels[:240]), (features[240:270], labels[240:270]),
        (features[270:], labels[270:]), 4, 2, ["random", "margin"]))
    assert len(rows) == 2 * 2 * len(selection.BUDGETS)
    assert rows.validation.between(0, 1).all() and rows.test.between(0, 1).all()
    first = rows[rows.labels_per_class == 1].pivot(index="repetition", columns="strategy",
                                                   values="test")
    assert (first.random == first.margin).all()  # margins begin with the same random images
    assert rows[rows.labels_per_class == 50].test.min() > 0.8
