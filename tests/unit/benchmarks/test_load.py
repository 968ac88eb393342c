"""The load generator's command line and report."""

import pytest

from benchmarks.load import LoadError, LoadResult, parse
from benchmarks.measuring import rotated

REPORT = """Running 1s test @ http://127.0.0.1:1/
BENCHMARK {"requests":100,"duration":1.000500,"bytes":123400,\
"p50":0.001,"p99":0.002,"connect":1,"read":2,"write":3,"status":4,"timeout":5}
"""


def test_report_is_read_and_every_kind_of_error_counted() -> None:
    """The marked line holds everything; errors are summed."""
    assert parse(REPORT) == LoadResult(100, 1.0005, 123400, 0.001, 0.002, errors=15)


def test_output_without_report_is_an_error_that_shows_it() -> None:
    """What the generator said instead is in the message."""
    with pytest.raises(LoadError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_order_changes_so_that_nobody_always_follows_the_same_one() -> None:
    """Over 2n rounds each proxy is first twice and has more than one predecessor."""
    names = ["a", "b", "c"]
    rounds = [rotated(names, number) for number in range(6)]

    assert sorted(order[0] for order in rounds) == sorted(names * 2)
    assert {order[order.index("b") - 1] for order in rounds if order.index("b")} == {"a", "c"}
