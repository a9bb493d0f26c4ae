"""Sentences about the tables: they say the rows' numbers, and call a difference one only where a
test does."""

import pandas as pd
import pytest

from helpers.common.errors import UserError
from helpers.report.claims import GAIN, lessons


def row(notebook, method, protocol, labels, mean, std, n, sigma=None):
    return dict(notebook=notebook, method=method, protocol=protocol, labels_per_class=labels,
                mean=mean, std=std, n=n, sigma=sigma, metric="test accuracy")


def results(tuned=0.80, std=0.01):
    probes = [row("03_x", name, "linear probe", labels, mean, deviation, n)
              for labels, deviation, n in (("1", 0.01, 5), ("all", None, 1))
              for name, mean in {"BYOL": 0.9, "raw pixels": 0.6, "random encoder": 0.4}.items()]
    starts = [row("04_x", name, "100 steps", labels, mean, std, 3) for labels in ("1", "all")
              for name, mean in {"fine-tuned BYOL": tuned, "from scratch": 0.7}.items()]
    starts += [
        row("04_x", "fine-tuned BYOL", "100 steps", labels, 100 * (tuned - 0.7), 100 * std, 3)
        | dict(metric=GAIN) for labels in ("1", "all")
    ]
    noise = [
        row("07_x", name, "all labels", "all", 0.99 if sigma == 0 else 0.5, 0.01, 3, sigma)
        for sigma in (0.0, 1.6)
        for name in ("supervised", "supervised + noise", "noise-BYOL", "BYOL", "raw pixels")
    ]
    return pd.DataFrame(probes + starts + noise)


@pytest.mark.parametrize("tuned, std, word", [(0.8, 0.01, "ahead"), (0.6, 0.01, "behind"),
                                              (0.8, 0.2, "no more than chance could make")])
def test_a_start_is_ahead_only_where_the_test_finds_it(tuned, std, word):
    line = next(line for line in lessons(results(tuned, std)).splitlines()
                if "Pretrained or from scratch" in line)
    assert line.count(word) == 2 and f"1: {100 * (tuned - 0.7):+.1f} points" in line


def test_results_without_the_gains_end_in_one_line():
    with pytest.raises(UserError, match="run notebook 04 again"):
        lessons(results()[lambda frame: frame.metric != GAIN])


def test_every_point_says_its_numbers():
    few, _, frozen, everything, noise = lessons(results()).splitlines()
    assert "90.0 ± 1.0 % on BYOL's features, 60.0 ± 1.0 % on pixels" in few and "with all labels 90.0 %" in few
    assert "90.0 ± 1.0 % against 80.0 ± 1.0 %, frozen is ahead" in frozen
    assert "99.0 %" in everything and noise.count("50.0 ± 1.0 %") == 5
