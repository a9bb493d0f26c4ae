"""One rule for differences: the right interval, its closed forms, and none without a spread."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, sem, t, ttest_ind, ttest_rel

from helpers.report import stats as comparison

FIRST, SECOND = np.array([0.81, 0.84, 0.80, 0.86]), np.array([0.78, 0.83, 0.78, 0.82])


def test_pairs_are_judged_by_their_differences():
    found = comparison.paired(FIRST, SECOND)
    assert found.gain == pytest.approx((FIRST - SECOND).mean())
    peer = ttest_rel(FIRST, SECOND).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(peer.low), pytest.approx(peer.high))
    apart = ttest_ind(FIRST, SECOND).confidence_interval(0.95)
    assert found.high - found.low < apart.high - apart.low  # what both share is gone
    back = comparison.paired(SECOND, FIRST)
    assert (back.gain, back.low) == (pytest.approx(-found.gain), pytest.approx(-found.high))


@pytest.mark.parametrize("first, second", [([0.9], [0.1]), ([0.5, 0.6], [0.5, 0.6]),
                                           ([0.7, 0.6], [0.5, 0.4])])
def test_without_a_spread_there_is_no_interval(first, second):
    found = comparison.paired(first, second)
    assert found.interval == "not known" and found.gain == pytest.approx(
        np.mean(first) - np.mean(second))
    assert comparison.unpaired(0.9, None, 1, 0.1, 0.1, 3).interval == "not known"
    assert comparison.unpaired(0.9, 0.0, 3, 0.1, 0.0, 3).interval == "not known"


def test_scores_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="pairs"):
        comparison.paired(FIRST, SECOND[:3])
    with pytest.raises(ValueError, match="same shape"):
        comparison.same_images(torch.zeros(3), torch.zeros(3), torch.zeros(1))


def test_images_that_both_classify_alike_do_not_count():
    labels = torch.zeros(100, dtype=torch.long)
    first, second = labels.clone(), labels.clone()
    second[:6] = 1   # six that only the first classifies correctly
    first[6:7] = 1   # one that only the second does
    first[7:30] = second[7:30] = 2  # both wrong
    found = comparison.same_images(first, second, labels)
    assert found.gain == pytest.approx(0.05) and "6 against 1 of 100 images" in found.over
    assert found.low < 0 < found.high  # six of seven coins may fall alike
    assert comparison.same_images(first, first, labels).interval == "not known"


def test_means_alone_are_compared_with_welch():
    found = comparison.unpaired(FIRST.mean(), FIRST.std(ddof=1), 4, SECOND.mean(),
                                SECOND.std(ddof=1), 4)
    peer = ttest_ind(FIRST, SECOND, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(peer.low), pytest.approx(peer.high))


def test_the_interval_of_pairs_is_students():
    gains = FIRST - SECOND
    low, high = t.interval(0.95, 3, gains.mean(), sem(gains))
    found = comparison.paired(FIRST, SECOND)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.in_points == (f"+2.5 points (95 % confidence interval {100 * low:+.1f} to "
                               f"{100 * high:+.1f}, paired, n = 4)")


def test_the_interval_of_means_is_welchs():
    found = comparison.unpaired(0.8, 0.02, 5, 0.7, 0.04, 3)
    parts = np.array([0.02**2 / 5, 0.04**2 / 3])
    freedom = parts.sum()**2 / (parts[0]**2 / 4 + parts[1]**2 / 2)
    assert found.high - found.gain == pytest.approx(t.ppf(0.975, freedom) * parts.sum()**0.5)


@pytest.mark.parametrize("ours", range(1, 13))
def test_the_interval_of_the_same_images_agrees_with_the_exact_test_of_fair_coins(ours):
    labels = torch.zeros(50, dtype=torch.long)
    first, second = labels.clone(), labels.clone()
    second[:ours], first[ours:14] = 1, 1
    found = comparison.same_images(first, second, labels)
    assert found.low <= found.gain <= found.high
    assert (found.low > 0 or found.high < 0) == (binomtest(ours, 14).pvalue < 0.05)


def test_without_a_spread_no_interval_is_made_up():
    assert "95 % confidence interval not known" in comparison.paired([0.9], [0.1]).in_points
