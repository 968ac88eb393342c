"""Verdicts about slow clients."""

from benchmarks import slow_clients
from benchmarks.slow_clients import AGAIN, WITH, WITHOUT, Block, Samples


def _samples(factor: float, rounds: int = 15, failed: int = 0) -> Samples:
    """Give blocks whose requests take `factor` times as long beside slow clients."""
    times = [0.001] * 99 + [0.002]
    return {
        WITHOUT: [Block(times, 0)] * rounds,
        WITH: [Block([factor * one for one in times], failed, 3)] * rounds,
        AGAIN: [Block(times, 0)] * rounds,
    }


def _holds(samples: Samples) -> list[bool | None]:
    return [one.holds for one in slow_clients.judge(samples)]


def test_ten_per_cent_are_allowed() -> None:
    """At most, by the median of the rounds."""
    assert _holds(_samples(1.09)) == [True, True]
    assert _holds(_samples(1.11)) == [False, True]


def test_few_rounds_are_no_verdict() -> None:
    """A few per cent cannot be told from them."""
    assert _holds(_samples(1.0, rounds=14)) == [None, True]


def test_a_failed_request_is_harm() -> None:
    """One is enough."""
    assert _holds(_samples(1.0, failed=1)) == [True, False]


def test_the_page_shows_every_kind_of_block() -> None:
    """With the requests of all rounds and how many slow clients came again."""
    (table,) = slow_clients.report(_samples(1.05)).tables

    assert [line[0] for line in table.lines] == [WITHOUT, WITH, AGAIN]
    assert [line[1] for line in table.lines] == ["1,500"] * 3
    assert [line[-1] for line in table.lines] == ["0", "45", "0"]
