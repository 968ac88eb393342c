"""
A simulation of workers that wait for the slots of a pool: discrete events, seeded chance, no time passes.

The waiting lines and the adaptive limit are the real ones; what is simulated are clients, backends and the
passing of time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

from pcs_gateway.balancing.priority import Priority
from pcs_gateway.balancing.waiting_line import WaitingLine

POLL_SECONDS = 0.002


@dataclass(slots=True)
class Request:
    """
    One request and what became of it.

    Attributes:
        came: When.
        started: When it got its slot; 0.0 when it was shed.
        ended: When it was answered or shed.
    """

    came: float
    priority: Priority = Priority.NORMAL
    started: float = 0.0
    ended: float = 0.0

    @property
    def is_served(self) -> bool:
        return self.started > 0.0


@dataclass(slots=True)
class Outcome:
    """All requests of a simulation, in the order of their coming."""

    requests: list[Request] = field(default_factory=list)

    def served(self, begin: float, end: float) -> list[Request]:
        """Those that were answered within this time."""
        return [one for one in self.requests if one.is_served and begin <= one.ended < end]

    def came(self, begin: float, end: float, priority: Priority | None = None) -> list[Request]:
        """Those that came within this time."""
        return [one for one in self.requests if begin <= one.came < end and priority in (None, one.priority)]

    def durations(self, begin: float, end: float) -> list[float]:
        """Durations of those that came within this time and were answered, sorted."""
        return sorted(one.ended - one.came for one in self.came(begin, end) if one.is_served)

    def last_shed(self) -> float:
        """When the last request came that was shed; 0.0 when none was."""
        return max((one.came for one in self.requests if not one.is_served), default=0.0)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of sorted values lies."""
    return values[min(int(len(values) * share), len(values) - 1)]


def poisson(random: Random, rate: Callable[[float], float], end: float, most: float) -> list[float]:
    """Moments of arrivals with a rate that changes over time, never above `most`."""
    moments, now = [], 0.0
    while (now := now + random.expovariate(most)) < end:
        if random.random() * most < rate(now):
            moments.append(now)
    return moments


class Simulation:
    """
    Workers before a pool with so many slots.

    Args:
        slots: Attempts that may be in flight.
        service: Gives how long one takes, when it begins.
        requests: Sorted by their coming.
        workers: They take requests by turns.
        max_waiting: In each worker.
    """

    def __init__(
        self,
        slots: int,
        service: Callable[[float], float],
        requests: Sequence[Request],
        *,
        workers: int = 2,
        timeout: float = 2.0,
        overload_timeout: float = 0.005,
        max_waiting: int = 512,
    ) -> None:
        self.slots = slots
        self.in_flight = 0
        self.answered: list[Request] = []
        self._service = service
        self._max_waiting = max_waiting
        self._lines = [WaitingLine[int](timeout, overload_timeout) for _ in range(workers)]
        self._requests = list(requests)
        self._order = count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._polling = [False] * workers

    def at(self, moment: float, call: Callable[[float], None]) -> None:
        """Call at that moment."""
        heapq.heappush(self._events, (moment, next(self._order), call))

    def run(self) -> Outcome:
        """Run until nothing is left to happen that a request waits for."""
        for index, request in enumerate(self._requests):
            self.at(request.came, lambda now, index=index: self._arrive(index, now))  # type: ignore[misc]
        left = len(self._requests)
        while left:
            moment, _, call = heapq.heappop(self._events)
            before = len(self.answered)
            call(moment)
            left -= len(self.answered) - before
        return Outcome(self._requests)

    def _arrive(self, index: int, now: float) -> None:
        request = self._requests[index]
        worker = index % len(self._lines)
        line = self._lines[worker]
        if not len(line) and self.in_flight < self.slots:
            self._start(index, worker, now)
            return
        if len(line) >= self._max_waiting:
            displaced = line.displaced_by(request.priority, now)
            if displaced is None:
                self._end(request, now)
                return
            line.leave(*displaced, now)
            self._end(self._requests[displaced[0]], now)
        line.join(index, request.priority, now)
        self._poll(worker, now)

    def _poll(self, worker: int, now: float) -> None:
        if not self._polling[worker]:
            self._polling[worker] = True
            self.at(now + POLL_SECONDS, lambda then: self._polled(worker, then))

    def _polled(self, worker: int, now: float) -> None:
        self._polling[worker] = False
        self._serve(worker, now)
        if len(self._lines[worker]):
            self._poll(worker, now)

    def _serve(self, worker: int, now: float) -> None:
        line = self._lines[worker]
        for index, priority in line.over_bound(now):
            line.leave(index, priority, now)
            self._end(self._requests[index], now)
        while self.in_flight < self.slots and (first := line.first(now)) is not None:
            line.leave(*first, now)
            self._start(first[0], worker, now)

    def _start(self, index: int, worker: int, now: float) -> None:
        self.in_flight += 1
        self._requests[index].started = now
        self.at(now + self._service(now), lambda then: self._depart(index, worker, then))

    def _depart(self, index: int, worker: int, now: float) -> None:
        self.in_flight -= 1
        self._end(self._requests[index], now)
        self._serve(worker, now)

    def _end(self, request: Request, now: float) -> None:
        request.ended = now
        self.answered.append(request)
