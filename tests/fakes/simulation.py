"""
Traffic over backends of given speeds, as discrete events: the real balancers of several workers, no sockets.

Time is that of the events, so half a minute of five hundred requests a second takes about a second. Workers
share a real scoreboard; what they read of each other is as old as in a real gateway.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

from pcs_gateway.backends.member import Lease, Member
from pcs_gateway.balancing import STRATEGIES, LoadBalancer, Rules, StrategyContext
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.proxy.latencies import Latencies
from tests.fakes.members import make_backend

TICK = 0.1
MAXIMUM = 10_000

ServiceTime = Callable[[int, float, Random], float]
"""From a backend's number and the time to the seconds that an attempt takes there."""


@dataclass
class Outcome:
    """
    What became of the requests after the warm-up.

    Attributes:
        durations: Of each, in seconds.
        counts: Attempts by backend.
    """

    durations: list[float] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)

    def percentile(self, percent: float) -> float:
        """Seconds."""
        ordered = sorted(self.durations)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def share(self, backends: Sequence[int]) -> float:
        """The part of all attempts that these backends got."""
        return sum(self.counts.get(number, 0) for number in backends) / len(self.durations)


class SimulatedWorker:
    """One worker: its balancer, and when each attempt under way began."""

    def __init__(self, index: int, scoreboard: Scoreboard, strategy: str, backends: int, seed: int) -> None:
        self._scoreboard = scoreboard
        self.row = scoreboard.occupy(index, Role.WORKER, 1, index)
        tickets = count(index)
        context = StrategyContext(lambda: next(tickets), Random(seed + index))
        cells = (self.row.latency_sums, self.row.latency_counts)
        self.members = [Member(make_backend(n), self.row.in_flight, cells) for n in range(backends)]
        self.balancer = LoadBalancer("pool", STRATEGIES[strategy](context), MAXIMUM, self._read_others)
        self.balancer.replace(self.members, MAXIMUM, Rules(), 0.0)
        self._latencies = Latencies(scoreboard, self.row)
        self.started: dict[Lease, float] = {}

    def _read_others(self, members: Sequence[Member]) -> int:
        rows = [self._scoreboard.row(i) for i in self._scoreboard.rows_in_use() if i != self.row.index]
        for member in members:
            member.refresh(sum(row.in_flight[member.column] for row in rows))
        return len(members) * len(rows)

    def tick(self, now: float) -> None:
        """What the sweep does each 100 ms."""
        ages: dict[Member, list[float]] = {}
        for lease, started in self.started.items():
            assert lease.member is not None
            ages.setdefault(lease.member, []).append(now - started)
        for member in self.members:
            waited = ages.get(member)
            member.waiting = sum(waited) / len(waited) if waited else 0.0
        self._latencies.learn(self.members, now)
        self.balancer.tick(now)

    def lease(self, now: float) -> Lease:
        """Begin an attempt."""
        lease = self.balancer.route_request(None, now)
        assert lease is not None
        self.started[lease] = now
        return lease

    def end(self, lease: Lease, now: float) -> float:
        """End one; return what it took."""
        member = lease.member
        assert member is not None
        seconds = now - self.started.pop(lease)
        lease.end()
        if self.balancer.strategy.uses_latency:
            self.balancer.observe(member, seconds, now)
        return seconds


def simulate(
    strategy: str,
    service_time: ServiceTime,
    *,
    backends: int,
    rate: float,
    seconds: float,
    slots: int = MAXIMUM,
    workers: int = 4,
    seed: int = 1,
) -> Outcome:
    """
    Let requests come by a Poisson process to random workers.

    Args:
        slots: Attempts that a backend works on at one time; others wait there, first come first served.
    """
    random = Random(seed)
    scoreboard = Scoreboard.create()
    crew = [SimulatedWorker(1 + n, scoreboard, strategy, backends, seed) for n in range(workers)]
    outcome = Outcome()
    busy = [0] * backends
    queues: list[list[tuple[SimulatedWorker, Lease]]] = [[] for _ in range(backends)]
    numbers = count()
    events: list[tuple[float, int, Callable[[float], None]]] = []

    def at(when: float, act: Callable[[float], None]) -> None:
        heapq.heappush(events, (when, next(numbers), act))

    def arrive(now: float) -> None:
        at(now + random.expovariate(rate), arrive)
        worker = random.choice(crew)
        lease = worker.lease(now)
        assert lease.member is not None
        backend = lease.member.column
        if now > 0.2 * seconds:
            outcome.counts[backend] = outcome.counts.get(backend, 0) + 1
        if busy[backend] < slots:
            serve(backend, worker, lease, now)
        else:
            queues[backend].append((worker, lease))

    def serve(backend: int, worker: SimulatedWorker, lease: Lease, now: float) -> None:
        busy[backend] += 1
        at(now + service_time(backend, now, random), lambda then: done(backend, worker, lease, then))

    def done(backend: int, worker: SimulatedWorker, lease: Lease, now: float) -> None:
        busy[backend] -= 1
        duration = worker.end(lease, now)
        if now - duration > 0.2 * seconds:
            outcome.durations.append(duration)
        if queues[backend]:
            serve(backend, *queues[backend].pop(0), now)

    def tick(now: float) -> None:
        for worker in crew:
            worker.tick(now)
        at(now + TICK, tick)

    at(0.0, arrive)
    at(TICK, tick)
    while events and events[0][0] < seconds:
        now, _, act = heapq.heappop(events)
        act(now)
    scoreboard.close()
    return outcome
