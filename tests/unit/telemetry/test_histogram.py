"""The histogram: percentiles within 1 %, addition without any error."""

import math
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.telemetry.histogram import (
    HIGHEST_BUCKET,
    LOWEST_BUCKET,
    Histogram,
    bucket_of,
    middle_of,
)

RESOLVED = st.floats(2.0**-20, 2.0**17)
"""Durations that the histogram tells apart."""
ANY = st.integers(0, 10**18).map(lambda nanoseconds: nanoseconds / 1e9)
"""Durations as clocks tell them: whole nanoseconds, to 31 years."""


def histogram_of(durations: Iterable[float]) -> Histogram:
    """Return a histogram that recorded these durations."""
    histogram = Histogram()
    for seconds in durations:
        histogram.record(seconds)
    return histogram


def nearest_rank(durations: list[float], ratio: float) -> float:
    """Return the percentile by a full sort, as the specification computes it."""
    return sorted(durations)[max(math.ceil(ratio * len(durations)), 1) - 1]


class TestBuckets:
    @pytest.mark.parametrize("octave", range(-19, 17))
    def test_powers_of_two_are_upper_edges(self, octave: int) -> None:
        """A power of two is in the bucket below the edge, the next larger number above it."""
        edge = 2.0**octave

        assert (octave * 64, octave * 64 + 1) == (bucket_of(edge), bucket_of(edge * (1 + 1e-12)))

    @pytest.mark.parametrize(
        ("seconds", "bucket"),
        [(0.0, LOWEST_BUCKET), (-1.0, LOWEST_BUCKET), (1e-9, LOWEST_BUCKET), (1e9, HIGHEST_BUCKET)],
    )
    def test_outermost_buckets_take_what_lies_beyond(self, seconds: float, bucket: int) -> None:
        """No duration is lost, and none makes a histogram larger than its bounds."""
        assert bucket == bucket_of(seconds)

    @given(RESOLVED)
    def test_middle_is_within_one_percent_of_all_in_the_bucket(self, seconds: float) -> None:
        """The value that stands for a bucket is nearer than 0.55 % to whatever it counted."""
        assert math.isclose(seconds, middle_of(bucket_of(seconds)), rel_tol=0.0055)


class TestPercentile:
    @given(st.lists(RESOLVED, min_size=1, max_size=300), st.floats(0.0, 1.0))
    def test_error_is_at_most_one_percent(self, durations: list[float], ratio: float) -> None:
        """Every percentile is within 1 % of that of a full sort."""
        expected = nearest_rank(durations, ratio)

        assert math.isclose(expected, histogram_of(durations).percentile(ratio), rel_tol=0.01)

    @given(st.lists(RESOLVED, min_size=1, max_size=100))
    def test_percentiles_ascend_to_the_maximum(self, durations: list[float]) -> None:
        """A higher percentile is never lower, and none exceeds the longest duration."""
        p50, p95, p100 = histogram_of(durations).percentiles((0.5, 0.95, 1.0))

        assert p50 <= p95 <= p100 <= max(durations) + 1e-9

    def test_nothing_recorded_is_zero(self) -> None:
        """An empty histogram has zeros to show, and no error."""
        empty = Histogram()

        assert (0.0, 0.0, 0.0, 0) == (empty.percentile(0.99), empty.average, empty.maximum, empty.count)

    def test_average_and_maximum_are_exact(self) -> None:
        """They come from sums, not from buckets."""
        histogram = histogram_of([0.001, 0.002, 0.006])

        assert (0.003, 0.006, 0.009) == (histogram.average, histogram.maximum, histogram.total)


class TestMerge:
    @given(st.lists(ANY, max_size=60), st.lists(ANY, max_size=60), st.lists(ANY, max_size=60))
    def test_parts_add_up_to_the_whole(self, one: list[float], two: list[float], three: list[float]) -> None:
        """Merged in whatever order and grouping, three histograms equal the one that recorded all."""
        left, right, tail = histogram_of(one), Histogram(), histogram_of(three)
        left.merge(histogram_of(two))
        left.merge(histogram_of(three))
        tail.merge(histogram_of(two))
        right.merge(tail)
        right.merge(histogram_of(one))

        assert histogram_of([*one, *two, *three]) == left == right

    def test_merged_histogram_stays_as_it_is(self) -> None:
        """Two histograms share nothing after a merge."""
        source, target = histogram_of([0.001]), Histogram()
        target.merge(source)
        target.record(0.001)

        assert histogram_of([0.001]) == source


class TestCumulative:
    @given(st.lists(ANY, max_size=100))
    def test_counts_at_powers_of_two_are_exact(self, durations: list[float]) -> None:
        """The counts that Prometheus is shown are those of the durations themselves."""
        octaves = range(-13, 7)
        expected = [sum(seconds <= 2.0**octave for seconds in durations) for octave in octaves]

        assert expected == histogram_of(durations).cumulative(octaves)


def test_histogram_travels_unchanged() -> None:
    """What is decoded from a message is what was sent."""
    histogram = histogram_of([0.0, 0.001, 0.02, 5.0, 1e9])

    assert histogram == msgspec.msgpack.decode(msgspec.msgpack.encode(histogram), type=Histogram)


def test_repr_tells_the_figures() -> None:
    """A histogram in a log says what it holds."""
    assert (
        repr(histogram_of([0.004]))
        == "<Histogram 1 durations, p50 0.004000 s, p99 0.004000 s, max 0.004000 s>"
    )
