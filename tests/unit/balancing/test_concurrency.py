"""The adaptive limit: single steps, and whole minutes of a simulated pool."""

from collections.abc import Callable
from math import log
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.balancing.concurrency import FEWEST, Limit, Window, adapt
from tests.fakes.adaptive import Backends, run_adaptive
from tests.fakes.overload import Request, poisson

BUSY = Limit(100.0, baseline=0.1, until_probe=50, last=9.0)
"""A limit that matters, of a pool that takes 0.1 s unloaded."""


def step(limit: Limit, window: Window) -> Limit:
    """One decision between 4 and 1000."""
    return adapt(limit, window, 4, 1000)


class TestStep:
    def test_small_windows_hold_the_last_value(self) -> None:
        """With too few answers nothing is known, however slow they were."""
        assert step(BUSY, Window(FEWEST - 1, 5.0, 100.0)) is BUSY

    def test_unused_limit_holds(self) -> None:
        """With less than half of it in flight the limit is not what matters; the baseline learns."""
        after = step(BUSY, Window(1000, 0.2, 40.0))

        assert 100 == after.limit
        assert pytest.approx(0.12) == after.baseline

    def test_grows_while_nothing_slows_down(self) -> None:
        """By the tolerance and the root of itself."""
        assert 135 == step(BUSY, Window(1000, 0.1, 100.0)).limit

    def test_falls_when_everything_is_slow(self) -> None:
        """By the gradient, but never below half at once."""
        assert 72 == step(BUSY, Window(1000, 0.2, 100.0)).limit
        assert 60 == step(BUSY, Window(1000, 5.0, 100.0)).limit

    def test_waits_until_durations_are_steady(self) -> None:
        """While they still rise, nobody could say later whether a reduction helped."""
        rising = step(BUSY._replace(last=0.1), Window(1000, 0.3, 100.0))

        assert 100 == rising.limit
        assert 60 == step(rising, Window(1000, 0.35, 100.0)).limit

    def test_waits_until_a_reduction_shows(self) -> None:
        """What is measured right after it began before it, and longer so with long durations."""
        quick = step(BUSY, Window(1000, 0.2, 100.0))
        slow = step(BUSY, Window(1000, 1.6, 100.0))

        assert (1, 4) == (quick.settling, slow.settling)
        assert quick.limit == step(quick, Window(1000, 9.0, 72.0)).limit

    def test_reduction_that_helps_goes_on(self) -> None:
        """The durations fell with what is in flight: it was too much."""
        reduced = step(BUSY, Window(1000, 0.2, 100.0))._replace(settling=0)
        after = step(reduced, Window(1000, 0.144, 72.0))

        assert (0.1, 71) == (after.baseline, after.limit)

    def test_reduction_that_does_not_help_is_taken_back(self) -> None:
        """The durations stayed: the backends are slower for another reason, and that is the baseline now."""
        reduced = step(BUSY, Window(1000, 0.5, 100.0))._replace(settling=0)
        after = step(reduced, Window(1000, 0.5, 60.0))

        assert (60, 100, 0.5) == (reduced.limit, after.limit, after.baseline)

    def test_probe_that_finds_nothing(self) -> None:
        """Nothing got faster with less in flight: back at once, and no other probe for a long time."""
        probing = step(BUSY._replace(until_probe=1), Window(1000, 0.139, 100.0))
        after = step(probing._replace(settling=0), Window(1000, 0.139, 60.0))

        assert (60, 100, 0.1) == (probing.limit, after.limit, after.baseline)
        assert after.until_probe > 50

    def test_probe_that_finds_a_lower_baseline(self) -> None:
        """Everything got faster: the baseline had been measured under load."""
        loaded = BUSY._replace(baseline=0.288, until_probe=1)
        probing = step(loaded, Window(10_000, 0.4, 100.0))
        after = step(probing._replace(settling=0), Window(10_000, 0.24, 60.0))

        assert 100 == after.limit
        assert pytest.approx(0.24, rel=0.05) == after.baseline
        assert after.until_probe < 10

    def test_no_probe_while_it_moves(self) -> None:
        """A limit that grows without making anything slower is not too high."""
        growing = BUSY._replace(until_probe=1)
        for _ in range(5):
            growing = step(growing, Window(1000, 0.1, growing.value))
            assert not growing.is_probing

    def test_no_probe_below_the_floor(self) -> None:
        """A probe never goes below the minimum."""
        small = Limit(5.0, baseline=0.1, until_probe=1)

        assert adapt(small, Window(1000, 0.1, 5.0), 4, 1000).limit >= 4

    @given(
        st.floats(4.0, 1000.0),
        st.lists(
            st.builds(Window, st.integers(0, 10**6), st.floats(1e-5, 1e3), st.floats(0.0, 2e3)), max_size=60
        ),
    )
    def test_always_within_its_bounds(self, value: float, windows: list[Window]) -> None:
        """Whatever is measured, the limit stays between minimum and maximum."""
        limit = Limit(value)
        for window in windows:
            limit = step(limit, window)
            assert 4 <= limit.limit <= 1000


SECONDS = 40
Draw = Callable[[Random, float], float]


def constant(_: Random, mean: float) -> float:
    """Every attempt takes the mean."""
    return mean


def lognormal(random: Random, mean: float) -> float:
    """They differ a little, as those of one kind of request do."""
    return random.lognormvariate(log(mean) - 0.045, 0.3)


def exponential(random: Random, mean: float) -> float:
    """They differ much, as those of many kinds do."""
    return random.expovariate(1 / mean)


DRAWS = pytest.mark.parametrize("draw", [constant, lognormal, exponential])


def simulated(
    draw: Draw,
    rate: float,
    slots: Callable[[float], int] = lambda _: 80,
    service: Callable[[float], float] = lambda _: 0.1,
    **bounds: int,
) -> tuple[list[Limit], list[Request]]:
    """Run a pool for a while under Poisson arrivals; begin with a limit of 32."""
    arrivals = poisson(Random(1), lambda _: rate, SECONDS, rate)
    backends = Backends(Random(2), slots, service, draw)
    _, limits, requests = run_adaptive(backends, arrivals, seconds=SECONDS, **bounds)
    return limits, requests


def rate_of_answers(requests: list[Request], begin: float, end: float) -> float:
    """Answers per second in this time."""
    return sum(one.is_served and begin <= one.ended < end for one in requests) / (end - begin)


@DRAWS
def test_converges_under_overload(draw: Draw) -> None:
    """Of 1600 requests a second 80 slots of 0.1 s take 800; the limit comes to rest a little above 80."""
    limits, requests = simulated(draw, 1600.0)

    assert 80 <= median(limit.limit for limit in limits[20:]) <= 120
    assert max(limit.limit for limit in limits[20:]) <= 125
    assert rate_of_answers(requests, 5, SECONDS) >= 0.95 * 800


@DRAWS
def test_does_no_harm_under_normal_load(draw: Draw) -> None:
    """A pool at half of its capacity is never held back: everybody is served, soon."""
    limits, requests = simulated(draw, 400.0)
    late = [one for one in requests if one.came >= 5 and (not one.is_served or one.started > one.came + 0.1)]

    assert all(limit.limit >= 50 for limit in limits[5:])
    assert len(late) <= 0.01 * len(requests)


@DRAWS
def test_all_backends_five_times_slower(draw: Draw) -> None:
    """What they can still do at once they get to do: the limit follows, not the floor."""
    limits, requests = simulated(draw, 600.0, lambda _: 1000, lambda now: 0.1 if now < 12 else 0.5)

    assert limits[-1].limit >= 300
    assert rate_of_answers(requests, SECONDS - 15, SECONDS - 1) >= 0.95 * 600


@pytest.mark.parametrize("draw", [constant, lognormal])
def test_half_of_the_slots_are_gone(draw: Draw) -> None:
    """The limit falls to what is left, and all of that is used."""
    limits, requests = simulated(draw, 700.0, lambda now: 80 if now < 12 else 40)

    assert 40 <= limits[-1].limit <= 70
    assert rate_of_answers(requests, 20, SECONDS - 1) >= 0.95 * 400


def test_start_far_too_high_is_found_out() -> None:
    """A baseline that was measured under load is lowered by probes, in time."""
    limits, _ = simulated(lognormal, 1600.0, initial=300)

    assert min(limit.baseline for limit in limits) < limits[1].baseline * 0.8


@DRAWS
def test_floor(draw: Draw) -> None:
    """However slow, the limit never falls below the minimum."""
    limits, _ = simulated(draw, 200.0, lambda _: 4, minimum=16)

    assert all(limit.limit >= 16 for limit in limits)
