"""
Traffic over backends of given speeds, as discrete events: the real balancers of several workers, no sockets.

Time is that of the events, so half a minute of five hundred requests a second takes about a second. Workers
share a real scoreboard; what they read of each other is as old as in a real gateway.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

from pcs_gateway.backends.member import Lease, Member
from pcs_gateway.balancing import STRATEGIES, LoadBalancer, Rules, StrategyContext
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.proxy.latencies import Latencies
from pcs_gateway.proxy.other_workers import OtherWorkers
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
    counts: Counter[int] = field(default_factory=Counter)

    def percentile(self, percent: float) -> float:
        """Seconds."""
        ordered = sorted(self.durations)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def share(self, backends: Sequence[int]) -> float:
        """The part of all attempts that these backends got."""
        return sum(self.counts[number] for number in backends) / len(self.durations)


class SimulatedWorker:
    """One worker: its balancer, and when each attempt under way began."""

    def __init__(self, index: int, scoreboard: Scoreboard, strategy: str, backends: int, seed: int) -> None:
        self.row = scoreboard.occupy(index, Role.WORKER, 1, index)
        tickets = count(index)
        context = StrategyContext(lambda: next(tickets), Random(seed + index))
        cells = (self.row.latency_sums, self.row.latency_counts)
        self.members = [Member(make_backend(n), self.row.in_flight, cells) for n in range(backends)]
        self.balancer = LoadBalancer(
            "pool", STRATEGIES[strategy](context), MAXIMUM, OtherWorkers(scoreboard, self.row)
        )
        self.balancer.replace(self.members, MAXIMUM, Rules(), 0.0)
        self._latencies = Latencies(scoreboard, self.row)
        self.started: dict[Lease, float] = {}

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


class Simulation:
    """
    Requests that come by a Poisson process to random workers.

    Attributes:
        outcome: What became of those that came after the first fifth of the time.
    """

    def __init__(
        self,
        crew: Sequence[SimulatedWorker],
        service_time: ServiceTime,
        rate: float,
        seconds: float,
        slots: int,
    ) -> None:
        self._crew = crew
        self._service_time = service_time
        self._rate = rate
        self._seconds = seconds
        self._slots = slots
        self._random = Random(len(crew))
        self._busy: Counter[int] = Counter()
        self._queues: defaultdict[int, deque[tuple[SimulatedWorker, Lease]]] = defaultdict(deque)
        self._numbers = count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self.outcome = Outcome()

    def run(self, seed: int) -> Outcome:
        """Let it happen."""
        self._random.seed(seed)
        self._at(0.0, self._arrive)
        self._at(TICK, self._tick)
        while self._events[0][0] < self._seconds:
            now, _, act = heapq.heappop(self._events)
            act(now)
        return self.outcome

    def _at(self, when: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), act))

    def _counts(self, began: float) -> bool:
        return began > 0.2 * self._seconds

    def _arrive(self, now: float) -> None:
        self._at(now + self._random.expovariate(self._rate), self._arrive)
        worker = self._random.choice(self._crew)
        lease = worker.lease(now)
        assert lease.member is not None
        backend = lease.member.column
        if self._counts(now):
            self.outcome.counts[backend] += 1
        if self._busy[backend] < self._slots:
            self._serve(backend, worker, lease, now)
        else:
            self._queues[backend].append((worker, lease))

    def _serve(self, backend: int, worker: SimulatedWorker, lease: Lease, now: float) -> None:
        self._busy[backend] += 1
        seconds = self._service_time(backend, now, self._random)
        self._at(now + seconds, lambda then: self._done(backend, worker, lease, then))

    def _done(self, backend: int, worker: SimulatedWorker, lease: Lease, now: float) -> None:
        self._busy[backend] -= 1
        duration = worker.end(lease, now)
        if self._counts(now - duration):
            self.outcome.durations.append(duration)
        if self._queues[backend]:
            self._serve(backend, *self._queues[backend].popleft(), now)

    def _tick(self, now: float) -> None:
        for worker in self._crew:
            worker.tick(now)
        self._at(now + TICK, self._tick)


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
    Simulate a pool.

    Args:
        rate: Requests per second.
        slots: Attempts that a backend works on at one time; others wait there, first come first served.
    """
    scoreboard = Scoreboard.create()
    crew = [SimulatedWorker(1 + n, scoreboard, strategy, backends, seed) for n in range(workers)]
    try:
        return Simulation(crew, service_time, rate, seconds, slots).run(seed)
    finally:
        scoreboard.close()
