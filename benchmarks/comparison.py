"""
Judging measurements: medians, spreads and paired ratios that say how sure they are.

Pure functions from numbers to values. The rule of the house: a difference of a few per cent is
claimed only from `CLAIM_PAIRS` interleaved pairs or more, and only beyond what the same program
measured against itself (the A/A pairs) shows; everything else is "not distinguishable".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

CLAIM_PAIRS = 15
"""Fewer interleaved pairs than this support no claim of a few per cent."""

LARGE_RATIO = 1.15
"""A median at least this far from 1 (either way) is more than a few per cent."""

LARGE_PAIRS = 5
"""A large difference needs at least this many pairs, all of them on the same side of 1."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Median and spread of one quantity over the rounds."""

    median: float
    low: float
    """The smallest value."""
    high: float
    """The largest value."""
    count: int

    @property
    def spread(self) -> float:
        """(high - low) / median; 0 for a median of 0."""
        return (self.high - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of paired ratios with an interval for it."""

    median: float
    low: float
    high: float
    pairs: int
    coverage: float
    """Probability that the interval covers the median; 0.0: too few pairs, it is the whole spread."""


class Verdict(StrEnum):
    """What a paired ratio allows us to say."""

    LOWER = "lower"
    HIGHER = "higher"
    NOT_DISTINGUISHABLE = "not distinguishable"


def median(values: Sequence[float]) -> float:
    """
    Return the middle value, or the mean of the two in the middle.

    Raises:
        ValueError: there are no values.

    """
    if not values:
        message = "the median of no values"
        raise ValueError(message)
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def percentiles(values: Sequence[float], shares: Sequence[float]) -> tuple[float, ...]:
    """
    Return exact percentiles (shares 0 to 1), by sorting: the smallest value that so many do not exceed.

    Raises:
        ValueError: there are no values.

    """
    if not values:
        message = "percentiles of no values"
        raise ValueError(message)
    ordered = sorted(values)
    return tuple(ordered[max(math.ceil(share * len(ordered)) - 1, 0)] for share in shares)


def summarise(values: Sequence[float]) -> Summary:
    """Return median, smallest and largest of the values (at least one)."""
    return Summary(median(values), min(values), max(values), len(values))


def median_interval_rank(count: int, coverage: float = 0.95) -> tuple[int, float]:
    """
    Return (rank, real coverage) of the distribution-free interval of a median.

    The interval goes from the rank-th smallest to the rank-th largest of `count` values (rank
    counts from 1): the median lies outside with the probability of fewer than `rank` heads or
    tails in `count` tosses. Rank 0: no such interval exists for so few values.
    """
    below = 0.0
    best = (0, 0.0)
    for rank in range(1, count // 2 + 1):
        below += math.comb(count, rank - 1) / 2**count
        if 1 - 2 * below < coverage:
            break
        best = (rank, 1 - 2 * below)
    return best


def paired_ratio(candidate: Sequence[float], baseline: Sequence[float]) -> Ratio:
    """
    Compare two series measured in the same rounds.

    The interval is that of the median of log(candidate / baseline), pair by pair, by order
    statistics: no assumption about the shape of the noise.

    Raises:
        ValueError: the series differ in length, are empty, or hold a value that is not positive.

    """
    if len(candidate) != len(baseline):
        message = f"{len(candidate)} candidate values against {len(baseline)} of the baseline"
        raise ValueError(message)
    if any(value <= 0 for value in (*candidate, *baseline)):
        message = "a ratio needs positive values"
        raise ValueError(message)
    logs = sorted(math.log(a / b) for a, b in zip(candidate, baseline, strict=True))
    rank, coverage = median_interval_rank(len(logs))
    outermost = max(rank, 1)
    return Ratio(
        median=math.exp(median(logs)),
        low=math.exp(logs[outermost - 1]),
        high=math.exp(logs[-outermost]),
        pairs=len(logs),
        coverage=coverage,
    )


def judge(ratio: Ratio, noise: Ratio | None = None) -> Verdict:
    """
    Say what may be claimed of a ratio, given the A/A ratio of the same run.

    The interval must leave out 1 and every value of the A/A interval. With fewer than
    `CLAIM_PAIRS` pairs the median must be a large difference too, all pairs agreeing.
    """
    low = min(1.0, noise.low) if noise else 1.0
    high = max(1.0, noise.high) if noise else 1.0
    if ratio.pairs < CLAIM_PAIRS and not _is_large(ratio):
        return Verdict.NOT_DISTINGUISHABLE
    if ratio.high < low:
        return Verdict.LOWER
    if ratio.low > high:
        return Verdict.HIGHER
    return Verdict.NOT_DISTINGUISHABLE


def _is_large(ratio: Ratio) -> bool:
    far = max(ratio.median, 1 / ratio.median) >= LARGE_RATIO
    return far and ratio.pairs >= LARGE_PAIRS
