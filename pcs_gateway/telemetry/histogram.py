"""
The one histogram of the project: log-spaced buckets, percentiles within 1 %, exact addition.

Bucket `i` counts the durations d with 2^((i-1)/64) < d <= 2^(i/64) seconds. Two buckets meet at a ratio of
2^(1/64), so the harmonic middle of a bucket is within 0.55 % of everything in it, and every power of two of a
second is a bucket's upper edge: cumulative counts at such bounds are exact for whole nanoseconds, and the
buckets are those of a Prometheus native histogram of schema 6.

Counts, sums and maxima are integers: addition is exact, associative and commutative, whatever the order in
which workers and seconds are added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, log2

import msgspec

BUCKETS_PER_OCTAVE = 64
LOWEST_BUCKET = -20 * BUCKETS_PER_OCTAVE
"""Takes everything up to 2^-20 s (0.95 µs): less is below what clocks and interpreters tell apart."""
HIGHEST_BUCKET = 17 * BUCKETS_PER_OCTAVE
"""Takes everything from 2^17 s (36 hours) on. The two bounds keep a histogram within 2,369 counts."""

GROWTH = 2.0 ** (1 / BUCKETS_PER_OCTAVE)
NANOSECONDS = 1_000_000_000


def bucket_of(seconds: float) -> int:
    """Return the index of the bucket that counts `seconds`."""
    if seconds <= 0.0:
        return LOWEST_BUCKET
    return clamp_bucket(ceil(log2(seconds) * BUCKETS_PER_OCTAVE))


def clamp_bucket(index: int) -> int:
    """Return the nearest bucket that a histogram has."""
    return min(max(index, LOWEST_BUCKET), HIGHEST_BUCKET)


def middle_of(bucket: int) -> float:
    """Return the seconds that differ from all in `bucket` by the least relative error."""
    return float(2.0 ** (bucket / BUCKETS_PER_OCTAVE) * 2.0 / (1.0 + GROWTH))


class Histogram(msgspec.Struct, array_like=True):
    """
    Durations in seconds, counted by bucket. Travels as it is in messages of msgspec.

    Attributes:
        counts: Bucket index to count; only buckets that counted something.
        total_ns: Sum of all durations in nanoseconds.
        maximum_ns: The longest duration in nanoseconds.
    """

    counts: dict[int, int] = {}
    total_ns: int = 0
    maximum_ns: int = 0

    def __repr__(self) -> str:
        return (
            f"<Histogram {self.count} durations, p50 {self.percentile(0.5):.6f} s, "
            f"p99 {self.percentile(0.99):.6f} s, max {self.maximum:.6f} s>"
        )

    def record(self, seconds: float) -> None:
        """Count one duration; what is negative counts as 0."""
        bucket = bucket_of(seconds)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        nanoseconds = max(round(seconds * NANOSECONDS), 0)
        self.total_ns += nanoseconds
        self.maximum_ns = max(self.maximum_ns, nanoseconds)

    def merge(self, other: Histogram) -> None:
        """Add all that `other` counted; `other` stays as it is."""
        counts = self.counts
        if counts:
            for bucket, count in other.counts.items():
                counts[bucket] = counts.get(bucket, 0) + count
        else:  # most merges into a window's sum are such, and a copy takes a tenth of the time
            self.counts = other.counts.copy()
        self.total_ns += other.total_ns
        self.maximum_ns = max(self.maximum_ns, other.maximum_ns)

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self.counts.values())

    @property
    def total(self) -> float:
        """Sum of all durations in seconds."""
        return self.total_ns / NANOSECONDS

    @property
    def maximum(self) -> float:
        """The longest duration in seconds; 0.0 when there is none."""
        return self.maximum_ns / NANOSECONDS

    @property
    def average(self) -> float:
        """Mean duration in seconds; 0.0 when there is none."""
        count = self.count
        return self.total_ns / count / NANOSECONDS if count else 0.0

    def percentile(self, ratio: float) -> float:
        """
        Return the duration in seconds that `ratio` (0 to 1) of all durations do not exceed.

        It is the nearest-rank percentile, off by at most 1 % of its value; 0.0 when nothing was counted.
        """
        return self.percentiles((ratio,))[0]

    def percentiles(self, ratios: Sequence[float]) -> list[float]:
        """Return one percentile for each of `ratios`, in one pass over the buckets."""
        ordered = sorted(self.counts.items())
        count = sum(number for _, number in ordered)
        return [self._at_rank(ordered, max(ceil(ratio * count), 1)) for ratio in ratios]

    def _at_rank(self, ordered: Iterable[tuple[int, int]], rank: int) -> float:
        seen = 0
        for bucket, number in ordered:
            seen += number
            if seen >= rank:
                return min(middle_of(bucket), self.maximum)
        return self.maximum

    def cumulative(self, octaves: Iterable[int]) -> list[int]:
        """Return the exact number of durations up to 2**octave seconds, for each of ascending `octaves`."""
        ordered = iter(sorted(self.counts.items()))
        pending = next(ordered, None)
        seen = 0
        result = []
        for octave in octaves:
            while pending is not None and pending[0] <= octave * BUCKETS_PER_OCTAVE:
                seen += pending[1]
                pending = next(ordered, None)
            result.append(seen)
        return result
