"""What the strategies make of backends of unequal speed: four workers, open loop, seeded."""

from __future__ import annotations

from random import Random

import pytest

from tests.fakes.simulation import Outcome, simulate

SLOW = (0, 1)
USUAL_SECONDS = 0.050


def usual(_backend: int, _now: float, random: Random) -> float:
    """Fifty milliseconds, with a coefficient of variation of 0.15."""
    return max(0.01, random.gauss(USUAL_SECONDS, 0.0075))


def slow_minority(backend: int, now: float, random: Random) -> float:
    """The same, but two backends take sixteen times as long."""
    return usual(backend, now, random) * (16 if backend in SLOW else 1)


def exponential(backend: int, _now: float, random: Random) -> float:
    """Ten milliseconds in the mean; three backends take four times as long."""
    return random.expovariate(1 / 0.010) * (4 if backend < 3 else 1)


def minority(strategy: str, seed: int) -> Outcome:
    """Sixteen backends, 500 requests per second, no limit at the backends."""
    return simulate(strategy, slow_minority, backends=16, rate=500, seconds=30, seed=seed)


@pytest.mark.parametrize("seed", [1, 2])
def test_least_time_avoids_a_slow_minority(seed: int) -> None:
    """Its p99 is at least eight times below the others', p99.9 too, and its p50 no worse."""
    ours = minority("least_time", seed)
    others = [minority(strategy, seed) for strategy in ("round_robin", "least_connections")]

    assert ours.share(SLOW) < 0.001
    for other in others:
        assert other.percentile(99) > 8 * ours.percentile(99)
        assert other.percentile(99.9) > 8 * ours.percentile(99.9)
        assert ours.percentile(50) < 1.05 * other.percentile(50)


def test_queues_at_slow_backends_are_seen() -> None:
    """At 60 % of what unequal backends can do, the p99 is well below that of least_connections."""
    rate = 0.6 * 8 * (9 * 100 + 3 * 25)
    ours, theirs = (
        simulate(strategy, exponential, backends=12, rate=rate, seconds=5, slots=8)
        for strategy in ("least_time", "least_connections")
    )

    assert ours.percentile(99) < 0.75 * theirs.percentile(99)


def test_equal_backends_are_no_worse_off() -> None:
    """Where there is nothing to gain, nothing is lost, and all backends have their share."""
    ours, theirs = (
        simulate(strategy, usual, backends=16, rate=500, seconds=20)
        for strategy in ("least_time", "least_connections")
    )

    assert ours.percentile(99) < 1.03 * theirs.percentile(99)
    assert all(0.5 / 16 < ours.share([number]) < 1.5 / 16 for number in range(16))


def test_a_backend_that_recovers_is_found_again() -> None:
    """One that was slow for ten seconds has its share again half a minute later."""

    def recovering(backend: int, now: float, random: Random) -> float:
        return usual(backend, now, random) * (16 if backend == 0 and now < 10 else 1)

    outcome = simulate("least_time", recovering, backends=8, rate=200, seconds=80, workers=2)

    assert outcome.share([0]) > 0.5 / 8


def test_few_requests_wait_at_a_backend_that_hangs() -> None:
    """Before any of its attempts has ended: other backends take over within the first dozen."""

    def hanging(backend: int, now: float, random: Random) -> float:
        return 60.0 if backend == 0 and now > 5 else usual(backend, now, random)

    outcome = simulate("least_time", hanging, backends=10, rate=300, seconds=25)

    assert outcome.counts[0] < 20
