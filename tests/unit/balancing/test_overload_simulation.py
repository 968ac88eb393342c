"""What bounded waiting is worth: simulated overloads of twice the capacity, seeded."""

from collections.abc import Callable
from math import log
from random import Random

import pytest

from pcs_gateway.balancing.priority import Priority
from tests.fakes.overload import Outcome, Request, Simulation, percentile, poisson

BEGIN, END, AFTER = 2.0, 12.0, 16.0
"""Half of the capacity is asked for at first, more from BEGIN to END, half of it again until AFTER."""

Draw = Callable[[Random], float]


def constant(_: Random) -> float:
    """Every attempt takes 100 ms."""
    return 0.1


def lognormal(random: Random) -> float:
    """They differ a little, as those of one kind of request do."""
    return random.lognormvariate(log(0.1) - 0.045, 0.3)


def exponential(random: Random) -> float:
    """They differ much, as those of many kinds do."""
    return random.expovariate(10.0)


def overloaded(
    slots: int, draw: Draw, factor: float = 2.0, high: float = 0.0, overload_timeout: float = 0.005
) -> Outcome:
    """Simulate two workers before so many slots of 100 ms; a share of the requests is of the class high."""
    random = Random(1)
    capacity = slots / 0.1
    moments = poisson(
        random, lambda now: capacity * (factor if BEGIN <= now < END else 0.5), AFTER, capacity * factor
    )
    requests = [
        Request(moment, Priority.HIGH if random.random() < high else Priority.NORMAL) for moment in moments
    ]
    service = Random(2)
    simulation = Simulation(slots, lambda _: draw(service), requests, overload_timeout=overload_timeout)
    return simulation.run()


def goodput(outcome: Outcome, slots: int) -> float:
    """Answers within the overload as a share of what the slots can do, after half a second of it."""
    return len(outcome.served(BEGIN + 0.5, END)) / (END - BEGIN - 0.5) / (slots / 0.1)


@pytest.mark.parametrize("draw", [constant, lognormal, exponential])
@pytest.mark.parametrize("slots", [80, 24])
def test_twice_the_capacity(slots: int, draw: Draw) -> None:
    """Goodput stays, the admitted are not late, and it is over at once when the load is."""
    outcome = overloaded(slots, draw)
    unloaded = percentile(outcome.durations(0.2, BEGIN - 0.2), 0.99)
    admitted = percentile(outcome.durations(BEGIN, END), 0.99)

    assert goodput(outcome, slots) >= 0.95
    assert admitted <= 2 * unloaded + 0.02
    assert outcome.last_shed() <= END + 0.1
    after = outcome.came(END + 0.5, AFTER)
    assert all(request.is_served for request in after)


def test_without_the_short_bound_everybody_is_late() -> None:
    """What the bound is for: the same overload with an ordinary queue."""
    outcome = overloaded(80, lognormal, overload_timeout=2.0)
    unloaded = percentile(outcome.durations(0.2, BEGIN - 0.2), 0.99)

    assert percentile(outcome.durations(BEGIN, END), 0.99) > 2 * unloaded + 0.02


@pytest.mark.parametrize("factor", [0.8, 0.9])
def test_nearly_busy_pool_sheds_nobody(factor: float) -> None:
    """Below the capacity the queue takes up what comes in bursts."""
    outcome = overloaded(80, lognormal, factor)
    came = outcome.came(BEGIN, END)

    assert sum(not request.is_served for request in came) / len(came) <= 0.001


@pytest.mark.parametrize("slots", [80, 24, 8])
def test_class_high_loses_nothing(slots: int) -> None:
    """A fifth of the traffic is of the class high: of twice the capacity it loses less than 1 %."""
    outcome = overloaded(slots, lognormal, high=0.2)
    came = outcome.came(BEGIN, END, Priority.HIGH)
    lost = sum(not request.is_served for request in came) / len(came)
    normal = outcome.came(BEGIN, END, Priority.NORMAL)

    assert lost < 0.01
    assert sum(not request.is_served for request in normal) / len(normal) > 0.4
    assert goodput(outcome, slots) >= 0.95
