"""Service times are drawn by request: alike for every proxy, new for every attempt."""

import statistics

import pytest

from benchmarks.service_times import ServiceTimes

ORDINARY = ServiceTimes(0.05, 0.15, seed=11)


def test_same_attempt_takes_the_same_time() -> None:
    """Whatever came between, so that every proxy meets the same sequence."""
    first = [ORDINARY.of(number, 0) for number in range(100)]
    again = [ORDINARY.of(number, 0) for number in reversed(range(100))]

    assert first == again[::-1]


def test_second_attempt_is_a_new_draw() -> None:
    """What made the first attempt slow does not follow the request, or hedging could not be measured."""
    stragglers = ServiceTimes(0.05, 0.15, 0.5, 20.0)
    both = sum(stragglers.of(number, 0) > 0.5 and stragglers.of(number, 1) > 0.5 for number in range(2000))

    assert both / 2000 == pytest.approx(0.25, abs=0.04)


def test_seeds_and_requests_differ() -> None:
    """No two requests and no two seeds share a sequence."""
    assert len({ServiceTimes(0.05, 0.15, seed=seed).of(n, 0) for seed in (1, 2) for n in range(500)}) == 1000


def test_mean_and_variation_are_those_asked_for() -> None:
    """Over 20,000 draws, within one per cent and three per cent."""
    drawn = [ORDINARY.of(number, 0) for number in range(20_000)]
    mean = statistics.fmean(drawn)

    assert mean == pytest.approx(0.05, rel=0.01)
    assert statistics.stdev(drawn) / mean == pytest.approx(0.15, rel=0.03)


def test_stragglers_are_as_many_and_as_slow_as_asked_for() -> None:
    """The same draws, 1.5 % of them 20 times as long."""
    slow = ServiceTimes(0.05, 0.15, 0.015, 20.0, seed=11)
    ratios = [round(slow.of(number, 0) / ORDINARY.of(number, 0), 6) for number in range(20_000)]

    assert set(ratios) == {1.0, 20.0}
    assert ratios.count(20.0) / 20_000 == pytest.approx(0.015, abs=0.003)


def test_without_variation_it_is_constant() -> None:
    """A plain delay needs no chance."""
    assert {ServiceTimes(0.02).of(number, 0) for number in range(10)} == {0.02}
