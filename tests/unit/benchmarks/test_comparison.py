"""Judging measurements: what may be claimed, and what may not."""

import math
import random

import pytest

from benchmarks.comparison import (
    CLAIM_PAIRS,
    Ratio,
    Verdict,
    judge,
    median,
    median_interval_rank,
    paired_ratio,
    percentiles,
    summarise,
)


def test_median_of_an_even_count_lies_between_the_two_in_the_middle() -> None:
    """The median of four values is the mean of the second and third."""
    assert median([9.0, 1.0, 4.0, 2.0]) == 3.0


def test_median_leaves_the_values_as_they_were() -> None:
    """The caller's list is not sorted in place."""
    values = [3.0, 1.0, 2.0]

    assert median(values) == 2.0
    assert values == [3.0, 1.0, 2.0]


def test_median_of_nothing_is_refused() -> None:
    """No values have no median."""
    with pytest.raises(ValueError, match="no values"):
        median([])


def test_summary_holds_the_extremes() -> None:
    """A summary tells median, smallest, largest and their distance in relation."""
    summary = summarise([2.0, 1.0, 4.0])

    assert (summary.median, summary.low, summary.high, summary.count) == (2.0, 1.0, 4.0, 3)
    assert summary.spread == 1.5


@pytest.mark.parametrize(
    ("count", "rank"), [(1, 0), (5, 0), (6, 1), (8, 1), (9, 2), (15, 4), (20, 6), (30, 10)]
)
def test_rank_of_the_interval_is_that_of_the_sign_test(count: int, rank: int) -> None:
    """The ranks are those printed in tables of the distribution-free interval at 95 %."""
    assert median_interval_rank(count)[0] == rank


def test_coverage_is_the_binomial_one() -> None:
    """Six values cover the median between their extremes with 1 - 2/64."""
    assert median_interval_rank(6)[1] == pytest.approx(1 - 2 / 64)


def test_ratio_is_paired_round_by_round() -> None:
    """A drift that hits both sides of every round alike does not widen the interval."""
    baseline = [1.0 + 0.3 * number for number in range(15)]
    ratio = paired_ratio([value * 1.02 for value in baseline], baseline)

    assert (ratio.low, ratio.median, ratio.high) == pytest.approx((1.02, 1.02, 1.02))
    assert ratio.pairs == 15


def test_ratio_of_swapped_sides_is_the_inverse() -> None:
    """On the logarithm neither side is preferred."""
    candidate, baseline = [1.0, 2.0, 5.0, 3.0, 2.5, 1.2, 1.9], [2.0, 1.5, 3.0, 3.1, 2.0, 1.0, 2.2]
    ratio, inverse = paired_ratio(candidate, baseline), paired_ratio(baseline, candidate)

    assert ratio.median == pytest.approx(1 / inverse.median)
    assert ratio.low == pytest.approx(1 / inverse.high)


def test_few_pairs_give_their_whole_spread_and_no_coverage() -> None:
    """Below six pairs there is no 95 % interval, and the value says so."""
    ratio = paired_ratio([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])

    assert (ratio.low, ratio.high) == pytest.approx((1.0, 3.0))
    assert ratio.coverage == 0.0


@pytest.mark.parametrize(("candidate", "baseline"), [([1.0], []), ([0.0], [1.0]), ([1.0], [-1.0])])
def test_pairs_that_have_no_ratio_are_refused(candidate: list[float], baseline: list[float]) -> None:
    """Series of different lengths and values that are not positive are errors."""
    with pytest.raises(ValueError, match=r"positive|against"):
        paired_ratio(candidate, baseline)


def test_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    """Of 2,000 noisy series of 15 pairs at least 94 % of the intervals hold the true ratio."""
    chance = random.Random(5)
    covered = 0
    for _ in range(2000):
        baseline = [math.exp(chance.gauss(0, 0.1)) for _ in range(15)]
        candidate = [1.3 * math.exp(chance.gauss(0, 0.1)) for _ in range(15)]
        ratio = paired_ratio(candidate, baseline)
        covered += ratio.low <= 1.3 <= ratio.high

    assert covered / 2000 > 0.94


def _ratio(low: float, middle: float, high: float, pairs: int = CLAIM_PAIRS) -> Ratio:
    return Ratio(middle, low, high, pairs, 0.96)


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (_ratio(0.95, 0.97, 0.99), Verdict.LOWER),
        (_ratio(1.01, 1.03, 1.05), Verdict.HIGHER),
        (_ratio(0.98, 1.01, 1.03), Verdict.NOT_DISTINGUISHABLE),
        (_ratio(1.01, 1.03, 1.05, CLAIM_PAIRS - 1), Verdict.NOT_DISTINGUISHABLE),
        (_ratio(1.40, 1.50, 1.60, 5), Verdict.HIGHER),
        (_ratio(0.40, 0.50, 0.60, 5), Verdict.LOWER),
        (_ratio(0.90, 1.50, 1.60, 5), Verdict.NOT_DISTINGUISHABLE),
        (_ratio(1.40, 1.50, 1.60, 2), Verdict.NOT_DISTINGUISHABLE),
    ],
)
def test_verdict_follows_interval_and_pairs(ratio: Ratio, verdict: Verdict) -> None:
    """A few per cent need 15 pairs; a large difference needs five that agree."""
    assert judge(ratio) is verdict


def test_difference_within_the_noise_is_no_difference() -> None:
    """What the same program shows against itself cannot be claimed of another one."""
    noise = _ratio(0.97, 1.01, 1.04)

    assert judge(_ratio(1.01, 1.02, 1.03), noise) is Verdict.NOT_DISTINGUISHABLE
    assert judge(_ratio(1.05, 1.06, 1.07), noise) is Verdict.HIGHER


def test_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    """Of 1000 values p99.9 is the 999th, not an interpolation; of one value every percentile is that."""
    values = list(range(1000, 0, -1))

    assert percentiles(values, (0.0, 0.5, 0.99, 0.999, 1.0)) == (1, 500, 990, 999, 1000)
    assert percentiles([7.0], (0.5, 0.999)) == (7.0, 7.0)


def test_percentiles_of_nothing_are_refused() -> None:
    """There is no time that nobody waited."""
    with pytest.raises(ValueError, match="percentiles of no values"):
        percentiles([], (0.5,))
