"""
When requests leave: pure functions from (elapsed, hits) to (wait, stop).

Time zero is the test's start, `hits` how many requests (or users) have begun. Every schedule is one process
of arrivals at rate 1, stretched over time by the rate that is wanted:

    rate                                  arrivals until t
      │      ┌───────────── target          │            /
      │    /                                │          /   target · (t − ramp/2)
      │  /                                  │       ·
      └──────┴───────────── t               └────┴──────── t
           ramp                                 ramp     target · t² / (2 · ramp)

The time of arrival k is where the curve on the right reaches the k-th arrival of the process at rate 1.
"""

from __future__ import annotations

from math import sqrt
from random import Random
from typing import NamedTuple, Protocol


class Pace(NamedTuple):
    """
    What to do now.

    Attributes:
        wait: Seconds until the next one is due; negative when it is late by that much.
        stop: Nothing is due any more.
    """

    wait: float
    stop: bool


class Pacer(Protocol):
    """A schedule."""

    def pace(self, elapsed: float, hits: int) -> Pace:
        """Say when number `hits`, counted from 0, is due."""
        ...


class Arrivals(Protocol):
    """A process of arrivals at rate 1."""

    def at(self, index: int) -> float:
        """Return the moment of arrival `index`, counted from 0; `index` never goes back."""
        ...


class ConstantArrivals:
    """Evenly spaced, the first at once."""

    def at(self, index: int) -> float:
        return float(index)


class PoissonArrivals:
    """
    Independent of each other, as the requests of many users are: gaps are exponential.

    Args:
        random: Chance; the same seed gives the same arrivals.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._index = 0
        self._at = random.expovariate(1.0)

    def at(self, index: int) -> float:
        while self._index < index:
            self._index += 1
            self._at += self._random.expovariate(1.0)
        return self._at


class RatePacer:
    """
    The schedule of an open loop.

    Args:
        arrivals: The process.
        rate: Arrivals per second after the ramp.
        duration: Seconds after which nothing is due.
        ramp: Seconds over which the rate grows from 0.
    """

    def __init__(self, arrivals: Arrivals, rate: float, duration: float, ramp: float = 0.0) -> None:
        self._arrivals = arrivals
        self._rate = rate
        self._duration = duration
        self._ramp = ramp

    def pace(self, elapsed: float, hits: int) -> Pace:
        due = time_of(self._arrivals.at(hits), self._rate, self._ramp)
        return Pace(due - elapsed, due >= self._duration)


class UserPacer:
    """
    The start of the users of a closed loop, spread evenly over the ramp.

    Args:
        users: How many there will be.
        ramp: Seconds until the last has started.
    """

    def __init__(self, users: int, ramp: float = 0.0) -> None:
        self._users = users
        self._ramp = ramp

    def pace(self, elapsed: float, hits: int) -> Pace:
        return Pace(self._ramp * hits / self._users - elapsed, hits >= self._users)


def time_of(arrival: float, rate: float, ramp: float) -> float:
    """Return when a rate that grows to `rate` within `ramp` seconds has brought `arrival` arrivals."""
    if arrival < rate * ramp / 2:
        return sqrt(2 * arrival * ramp / rate)
    return arrival / rate + ramp / 2
