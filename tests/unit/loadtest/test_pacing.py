"""When requests leave."""

from itertools import pairwise
from math import exp
from random import Random
from statistics import fmean, variance

import pytest

from pcs_gateway.loadtest.pacing import ConstantArrivals, Pace, PoissonArrivals, RatePacer, UserPacer, time_of


def hits_within(pacer: RatePacer) -> list[float]:
    """Give the moments at which a schedule's requests are due."""
    moments: list[float] = []
    while not (pace := pacer.pace(0.0, len(moments))).stop:
        moments.append(pace.wait)
    return moments


def test_constant_arrivals_are_evenly_spaced() -> None:
    """Four a second for two seconds are eight, the first at once."""
    moments = hits_within(RatePacer(ConstantArrivals(), rate=4, duration=2))

    assert moments == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]


def test_a_late_hit_has_a_negative_wait() -> None:
    """What is overdue tells by how much, so that its intended moment is known."""
    pacer = RatePacer(ConstantArrivals(), rate=10, duration=60)

    assert pacer.pace(elapsed=1.0, hits=5) == Pace(-0.5, stop=False)
    assert pacer.pace(elapsed=1.0, hits=5) == pacer.pace(elapsed=1.0, hits=5)
    assert pacer.pace(elapsed=1.0, hits=600).stop


def test_a_ramp_grows_linearly() -> None:
    """Over the ramp half as many arrive as after it in the same time, a quarter of them in its first half."""
    moments = hits_within(RatePacer(ConstantArrivals(), rate=100, duration=8, ramp=4))

    assert len(moments) == 100 * (8 - 4 / 2)
    assert sum(moment < 2 for moment in moments) == 50
    assert sum(moment < 4 for moment in moments) == 200
    assert sum(6 <= moment < 7 for moment in moments) == 100


def test_the_ramp_meets_the_plateau() -> None:
    """The curve has no step where the ramp ends."""
    end_of_ramp = 100 * 4 / 2

    assert time_of(end_of_ramp - 1e-9, 100, 4) == pytest.approx(4)
    assert time_of(end_of_ramp, 100, 4) == pytest.approx(4)


def test_poisson_arrivals_are_independent() -> None:
    """Gaps have mean and variance of an exponential distribution, and its tail, within 4 standard errors."""
    arrivals = PoissonArrivals(Random(11))
    moments = [0.0, *(arrivals.at(index) for index in range(20_000))]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    neighbours = [first * second for first, second in pairwise(gaps)]

    assert abs(fmean(gaps) - 1) < 4 / 20_000**0.5
    assert abs(variance(gaps) - 1) < 4 * 8**0.5 / 20_000**0.5
    assert abs(sum(gap > 1 for gap in gaps) / 20_000 - exp(-1)) < 4 * 0.48 / 20_000**0.5
    assert abs(fmean(neighbours) - 1) < 4 * 3**0.5 / 20_000**0.5, "neighbouring gaps are correlated"


def test_poisson_arrivals_repeat_by_seed() -> None:
    """The same seed gives the same schedule, another one another."""
    schedules = [
        hits_within(RatePacer(PoissonArrivals(Random(seed)), rate=50, duration=2)) for seed in (1, 1, 2)
    ]

    assert schedules[0] == schedules[1] != schedules[2]
    assert 60 < len(schedules[0]) < 140


def test_users_start_over_the_ramp() -> None:
    """Four users over two seconds start every half second, and then no more."""
    pacer = UserPacer(users=4, ramp=2)

    assert [pacer.pace(0.0, number).wait for number in range(4)] == [0, 0.5, 1, 1.5]
    assert pacer.pace(0.0, 4).stop
