"""Figures of a cell: pooled over its blocks, exact."""

import pytest

from benchmarks.cells import Block, Cell

ONE = Block([0.1] * 99 + [1.0], 0, 110, 100, slow_attempts=11, cpu_seconds=0.01, sent=100)
OTHER = Block([0.2] * 99 + [2.0], 100, 220, 200, cpu_seconds=0.02, sent=200)
CELL = Cell("it", (ONE, OTHER))


def test_percentiles_are_those_of_all_requests_together() -> None:
    """Not a mean of percentiles: of 200 times the 198th is 0.2, though one block's p99.9 is 1."""
    assert [CELL.percentile(name) for name in ("p50", "p99", "p99_9")] == [0.2, 0.2, 2.0]


def test_spread_is_that_of_the_blocks() -> None:
    """The median of two blocks, the smallest and the largest."""
    spread = CELL.spread("p50")

    assert (spread.low, spread.high) == (0.1, 0.2)
    assert spread.median == pytest.approx(0.15)


def test_shares_count_what_they_say() -> None:
    """Failed requests are requests; extra load is of first attempts; the slow share is of attempts."""
    assert CELL.requests == 300
    assert CELL.error_ratio == pytest.approx(100 / 300)
    assert CELL.extra_load == pytest.approx(30 / 300)
    assert CELL.slow_share == pytest.approx(11 / 330)
    assert CELL.cpu_per_request == pytest.approx(0.0001)


def test_ratio_is_taken_block_by_block() -> None:
    """Each block against the same block of the other proxy."""
    twice = Cell("twice", tuple(Block([2 * t for t in b.times], 0, 1, 1) for b in CELL.blocks))
    ratio = twice.ratio(CELL, "p50")

    assert ratio.median == pytest.approx(2.0)
    assert ratio.pairs == 2


def test_stored_form_has_no_single_times() -> None:
    """A file of a hundred thousand numbers would not be read by anybody."""
    plain = CELL.plain()

    assert plain["pooled"] == {"p50": 0.2, "p90": 0.2, "p99": 0.2, "p99_9": 2.0}
    assert "times" not in str(plain)
