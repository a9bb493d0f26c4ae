"""How large is a difference, and how sure: the mean difference and its 95 % confidence interval.

One rule for the whole suite: a difference is told by its interval, without a word of judgement. An
interval that holds zero does not show that two methods are equal.

- `paired`: scores that share their label subsets, seeds or splits: Student's t on the differences
  (Student 1908, *The probable error of a mean*).
- `same_images`: two classifiers, once each, on the same images: looks only at the images that one
  of them classifies correctly and the other does not (Clopper and Pearson 1934).
- `unpaired`: means and deviations are all there is (Welch 1947).

A paired comparison is the stronger one: what both share, such as a lucky subset, is gone from the
differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest, t

if TYPE_CHECKING:
    from torch import Tensor

CONFIDENCE = 0.95  # of every interval here
NAN = float("nan")


@dataclass(frozen=True)
class Comparison:
    """The first against the second.

    `gain` and the ends of the interval, `low` and `high`, are fractions; the ends are NaN where
    there is no spread to judge by. `over` says what they are over.
    """

    gain: float
    low: float
    high: float
    over: str

    @property
    def interval(self) -> str:
        """Both ends in points, such as "-0.2 to +5.6"; "not known" without a spread."""
        if np.isnan(self.low):
            return "not known"
        return f"{100 * self.low:+.1f} to {100 * self.high:+.1f}"

    @property
    def in_points(self) -> str:
        """The difference in percentage points, with its interval and what that is over."""
        return (f"{100 * self.gain:+.1f} points (95 % confidence interval {self.interval}, "
                f"{self.over})")


def paired(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Scores (fractions) of two methods, one a label subset, seed or split, in the same order.

    One pair, or differences that are all the same, have no spread to judge by.

    Raises:
        ValueError: the two are not of one length.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"pairs are wanted, not {first.shape} and {second.shape}")
    gains = first - second
    return gained(gains.mean(), gains.std(ddof=1) if len(gains) > 1 else None, len(gains))


def gained(mean: float, std: float | None, n: int) -> Comparison:
    """`paired` from the mean and standard deviation of `n` differences (fractions)."""
    error = std / n ** 0.5 if n > 1 and std is not None else NAN
    return _by_t(mean, error, n - 1, f"paired, n = {n:g}")


def unpaired(mean: float, std: float | None, n: int, other_mean: float, other_std: float | None,
             other_n: int) -> Comparison:
    """Means (fractions), standard deviations and counts of two methods, by Welch 1947.

    A mean of one value, or two without any deviation, have no spread to judge by.
    """
    over = f"not paired, n = {n:g} and {other_n:g}"
    if None in (std, other_std) or min(n, other_n) < 2:
        return _by_t(mean - other_mean, NAN, 1, over)
    parts = np.array([std ** 2 / n, other_std ** 2 / other_n])
    # Welch-Satterthwaite
    freedom = parts.sum() ** 2 / max((parts ** 2 / [n - 1, other_n - 1]).sum(), 1e-300)
    return _by_t(mean - other_mean, parts.sum() ** 0.5, freedom, over)


def _by_t(gain: float, error: float, freedom: float, over: str) -> Comparison:
    """A gain with its standard error, and Student's interval with so many degrees of freedom."""
    if not error > 1e-9:  # NaN as well
        return Comparison(float(gain), NAN, NAN, over)
    reach = t.ppf((1 + CONFIDENCE) / 2, freedom) * error
    return Comparison(*map(float, (gain, gain - reach, gain + reach)), over)


def same_images(first: Tensor, second: Tensor, labels: Tensor) -> Comparison:
    """Two classifiers' predictions of the same images.

    The interval is that of Clopper and Pearson for the share of the first among the images on
    which the two differ: other images of this kind, not other trainings.

    Args:
        first, second, labels: N class numbers each.
    """
    first, second, labels = np.stack([first, second, labels])  # of one length
    correct, other = first == labels, second == labels
    ours, theirs = int((correct & ~other).sum()), int((other & ~correct).sum())
    count, differ = len(correct), ours + theirs
    over = f"correct where the other is wrong: {ours} against {theirs} of {count} images"
    if not differ:
        return Comparison(0.0, NAN, NAN, over)
    share = binomtest(ours, differ).proportion_ci(CONFIDENCE)
    low, high = ((2 * end - 1) * differ / count for end in (share.low, share.high))
    return Comparison((ours - theirs) / count, float(low), float(high), over)


def share_interval(hits: int, count: int) -> tuple[float, float]:
    """Both ends of the 95 % confidence interval of a share, such as an accuracy: Wilson's, which
    also holds for few images and near 0 and 1 (Wilson 1927). Without an image it is 0 to 1."""
    if not count:
        return 0.0, 1.0
    found = binomtest(hits, count).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)
