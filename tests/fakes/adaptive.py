"""A simulated pool under an adaptive limit: one window a second, seeded chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median

from pcs_gateway.balancing.concurrency import Limit, Window, adapt
from tests.fakes.overload import Request, Simulation


@dataclass
class Backends:
    """
    What a pool's backends can do: so many at once, the rest waits there, unseen by the gateway.

    Args:
        random: Chance.
        slots: Attempts that they work on at once, by time.
        service: Mean seconds of one, by time.
        draw: Turns a mean into one duration.
    """

    random: Random
    slots: Callable[[float], int]
    service: Callable[[float], float]
    draw: Callable[[Random, float], float]

    def __post_init__(self) -> None:
        self._free: list[float] = []

    def duration(self, now: float) -> float:
        """How long an attempt that is sent now takes."""
        self._free = [end for end in self._free if end > now]
        slots = self.slots(now)
        begin = now if len(self._free) < slots else sorted(self._free)[len(self._free) - slots]
        end = begin + self.draw(self.random, self.service(now))
        self._free.append(end)
        return end - now


def run_adaptive(
    backends: Backends,
    arrivals: Sequence[float],
    *,
    initial: int = 32,
    minimum: int = 4,
    maximum: int = 1000,
    seconds: int = 60,
) -> tuple[Simulation, list[Limit], list[Request]]:
    """Simulate; give the limit of each second and what became of the requests."""
    requests = [Request(moment) for moment in arrivals]
    simulation = Simulation(initial, backends.duration, requests)
    limits = [Limit(float(initial))]
    samples: list[int] = []
    gathered: list[float] = []
    seen = 0

    def sample(now: float) -> None:
        samples.append(simulation.in_flight)
        simulation.at(now + 0.1, sample)

    def decide(now: float) -> None:
        nonlocal seen
        done = [one.ended - one.started for one in simulation.answered[seen:] if one.is_served]
        seen = len(simulation.answered)
        gathered.extend(done)
        after = limits[-1]
        if gathered:
            window = Window(len(gathered), median(gathered), sum(samples) / len(samples))
            after = adapt(after, window, minimum, maximum)
        if after is not limits[-1]:
            gathered.clear()
            samples.clear()
        limits.append(after)
        simulation.slots = limits[-1].limit
        if now < seconds:
            simulation.at(now + 1.0, decide)

    simulation.at(0.1, sample)
    simulation.at(1.0, decide)
    simulation.run()
    return simulation, limits, requests
