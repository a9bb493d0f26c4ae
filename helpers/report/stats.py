"""Is it a difference? One rule for the whole suite: more than chance is p < 0.05 in the test that
fits the numbers.

- `paired`: scores that share their draws, seeds or splits: Student's t-test on the differences
  (Student 1908, *The probable error of a mean*).
- `same_images`: two classifiers, once each, on the same images: McNemar's exact test, which looks
  only at the images that one of them names rightly and the other does not (McNemar 1947; Dietterich
  1998 on why it is the test for classifiers that are trained once).
- `unpaired`: means and deviations are all there is: Welch's t-test (Welch 1947).

A paired test is the stronger one: what both share, such as a lucky draw, is gone from the
differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest, t, ttest_ind_from_stats

if TYPE_CHECKING:
    from torch import Tensor

LIMIT = 0.05


@dataclass(frozen=True)
class Comparison:
    """The first against the second: `gain` and its standard `error` (fractions; NaN: not known),
    `p` and the `test`."""

    gain: float
    error: float
    p: float
    test: str

    @property
    def clear(self) -> bool:
        """Whether the difference is more than chance would make."""
        return self.p < LIMIT

    @property
    def sure(self) -> str:
        """The verdict with its p and test, to end a sentence with."""
        word = "more than chance would make" if self.clear else "no more than chance could make"
        return f"{word} ({self.why})"

    @property
    def why(self) -> str:
        """p and the test, such as "p = 0.02, paired t-test"."""
        return f"p {'< 0.001' if self.p < 0.001 else f'= {self.p:.2g}'}, {self.test}"

    def choose(self, ahead: str, behind: str, tie: str) -> str:
        """One of three words: the first is clearly ahead, clearly behind, or neither."""
        return tie if not self.clear else ahead if self.gain > 0 else behind


def paired(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Scores (fractions) of two methods, one a draw, seed or split, in the same order: a paired
    t-test.

    One pair, or differences that are all the same, have no spread to judge by: p is 1 then.

    Raises:
        ValueError: the two are not of one length.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"pairs are wanted, not {first.shape} and {second.shape}")
    gains = first - second
    return gained(gains.mean(), gains.std(ddof=1) if len(gains) > 1 else None, len(gains))


def gained(mean: float, std: float | None, n: int) -> Comparison:
    """`paired` from the mean and standard deviation of `n` differences (fractions), where these
    are all there is."""
    error = std / n ** 0.5 if n > 1 and std is not None else float("nan")
    p = 2 * t.sf(abs(mean) / error, n - 1) if error > 1e-9 else 1.0
    return Comparison(float(mean), float(error), float(p), f"paired t-test, n = {n:g}")


def same_images(first: Tensor, second: Tensor, labels: Tensor) -> Comparison:
    """Two classifiers' predictions of the same images: McNemar's exact test.

    Args:
        first, second, labels: N class numbers each.

    Raises:
        ValueError: they are not of one length.
    """
    if not len(first) == len(second) == len(labels):
        raise ValueError(
            f"predictions of the same images are wanted, not {len(first)}, {len(second)}, "
            f"{len(labels)}"
        )
    right, other = (np.asarray(each) == np.asarray(labels) for each in (first, second))
    ours, theirs, count = int((right & ~other).sum()), int((other & ~right).sum()), len(right)
    p = binomtest(ours, ours + theirs).pvalue if ours + theirs else 1.0
    error = (ours + theirs - (ours - theirs) ** 2 / count) ** 0.5 / count
    return Comparison((ours - theirs) / count, error, float(p),
                      f"McNemar's test, {ours} against {theirs} images")


def unpaired(mean: float, std: float | None, n: int, other_mean: float, other_std: float | None,
             other_n: int) -> Comparison:
    """Means (fractions), standard deviations and counts of two methods: Welch's t-test.

    A mean of one value, or two without any deviation, have no spread to judge by: p is 1 then.
    """
    known = None not in (std, other_std) and min(n, other_n) > 1
    error = (std ** 2 / n + other_std ** 2 / other_n) ** 0.5 if known else float("nan")
    p = 1.0
    if error > 1e-9:
        p = ttest_ind_from_stats(mean, std, n, other_mean, other_std, other_n,
                                 equal_var=False).pvalue
    return Comparison(float(mean - other_mean), float(error), float(p),
                      f"Welch's t-test, n = {n:g} and {other_n:g}")
