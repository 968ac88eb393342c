"""The time average of (max - min) in flight per weight."""

import pytest

from benchmarks.imbalance import Imbalance


def test_average_weighs_each_gap_by_its_time() -> None:
    """A gap of 1 for two seconds and of 2 for one second is 4/4 over four seconds."""
    imbalance = Imbalance([1, 1], now=10.0)
    imbalance.change(0, 1, now=11.0)
    imbalance.change(0, 1, now=13.0)
    imbalance.change(1, 1, now=14.0)
    imbalance.change(1, 1, now=14.0)

    assert imbalance.average(now=14.0) == pytest.approx((0 + 2 * 1 + 1 * 2) / 4)


def test_load_is_in_flight_over_weight() -> None:
    """Two on a backend of weight 2 balance one on a backend of weight 1."""
    imbalance = Imbalance([1, 2], now=0.0)
    for index in (0, 1, 1):
        imbalance.change(index, 1, now=0.0)

    assert imbalance.average(now=5.0) == 0.0
    assert imbalance.in_flight == (1, 2)


def test_restart_forgets_time_but_not_what_is_in_flight() -> None:
    """After a restart the present gap counts on."""
    imbalance = Imbalance([1, 1], now=0.0)
    imbalance.change(0, 1, now=0.0)
    imbalance.restart(now=100.0)

    assert imbalance.average(now=101.0) == pytest.approx(1.0)


def test_no_time_has_no_average() -> None:
    """At the very beginning the average is 0, not an error."""
    assert Imbalance([1, 1], now=3.0).average(now=3.0) == 0.0
