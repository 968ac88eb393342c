"""Hedging in simulated traffic: it helps where single requests are slow, and does no harm elsewhere."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

import pytest

from pcs_gateway.backends.attempts_config import HedgeConfig
from pcs_gateway.balancing.budget import CELLS, AttemptBudget, Spending
from pcs_gateway.control.hedge_delays import ENOUGH, WINDOW_SECONDS
from pcs_gateway.proxy.hedging import RouteHedge, judge_hedge

RATE = 500.0
BUDGET = 0.05
BEGIN = 1000.0

Draw = Callable[[Random, float], float]
"""Gives how long an attempt takes that begins at a time."""


class Worker:
    """What a worker decides with."""

    def __init__(self, own: list[int], other: list[int]) -> None:
        self.budget = AttemptBudget(own, lambda: [other])
        self.hedge = RouteHedge(HedgeConfig(budget=BUDGET))


class Request:
    """One request, and when its first answer comes."""

    def __init__(self, worker: Worker, now: float, takes: float) -> None:
        self.worker = worker
        self.began = now
        self.ends = now + takes


class Traffic:
    """
    Requests that come at random to two workers, each at a backend with room for all.

    Attributes:
        durations: Of each request, in the order of their ending.
        hedges: When each hedge began.
    """

    def __init__(self, draw: Draw, seconds: float, *, is_hedging: bool = True) -> None:
        """Let them come for so long, and end."""
        rows = [[0] * CELLS for _ in range(2)]
        self.durations: list[float] = []
        self.hedges: list[float] = []
        self._ended: list[float] = []
        self._draw = draw
        self._random = Random(1)
        self._is_hedging = is_hedging
        self._workers = [Worker(rows[0], rows[1]), Worker(rows[1], rows[0])]
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._publish(BEGIN)
        now = BEGIN
        while now < BEGIN + seconds:
            now += self._random.expovariate(RATE)
            self._run_until(now)
            self._arrive(now)
        self._run_until(BEGIN + seconds + 30.0)

    def percentile(self, ratio: float, after: float = 0.0) -> float:
        """Of the requests that ended after this time."""
        taken = [took for took, end in zip(self.durations, self._ended, strict=True) if end > after]
        return sorted(taken)[int(ratio * len(taken))]

    @property
    def share(self) -> float:
        """Hedges for each request."""
        return len(self.hedges) / len(self.durations)

    def _at(self, when: float, call: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, self._random.getrandbits(60), call))

    def _run_until(self, now: float) -> None:
        while self._events and self._events[0][0] <= now:
            when, _, call = heapq.heappop(self._events)
            call(when)

    def _publish(self, now: float) -> None:
        """Do what the control process does, and show the requests as a sweep does."""
        pairs = zip(self.durations, self._ended, strict=True)
        recent = sorted(took for took, end in pairs if end > now - WINDOW_SECONDS)
        for worker in self._workers:
            worker.budget.show(now)
            if len(recent) >= ENOUGH:
                worker.hedge.publish(recent[int(len(recent) * 0.95)])
        self._at(now + 1.0, self._publish)

    def _arrive(self, now: float) -> None:
        worker = self._random.choice(self._workers)
        worker.budget.requests += 1
        request = Request(worker, now, self._draw(self._random, now))
        delay = worker.hedge.delay
        if self._is_hedging and delay > 0:
            worker.hedge.share.begin()
            if request.ends > now + delay:
                self._at(now + delay, lambda due: self._late(request, due))
        self._at(request.ends, lambda end: self._over(request, end))

    def _late(self, request: Request, now: float) -> None:
        worker = request.worker
        worker.hedge.share.late += 1
        allowed = worker.budget.allows_hedge(BUDGET, now)
        if judge_hedge(worker.hedge.share, is_queueing=False, is_within_budget=allowed) is not None:
            return
        worker.budget.spend(Spending.HEDGES, now)
        self.hedges.append(now)
        second = now + self._draw(self._random, now)
        if second < request.ends:
            request.ends = second
            self._at(second, lambda end: self._won(request, end))

    def _won(self, request: Request, now: float) -> None:
        request.worker.budget.spend(Spending.HEDGE_WINS, now)
        self._over(request, now)

    def _over(self, request: Request, now: float) -> None:
        if now == request.ends:
            self.durations.append(now - request.began)
            self._ended.append(now)


def alike(random: Random, _: float) -> float:
    """50 ms, a little spread."""
    return 0.05 * random.lognormvariate(0.0, 0.15)


def stragglers(random: Random, now: float) -> float:
    """The same, but for 1.5 % of the attempts, at whatever backend, that take twenty times as long."""
    return alike(random, now) * (20.0 if random.random() < 0.015 else 1.0)


def after(seconds: float, then: Draw) -> Draw:
    """Give a service that is alike, and another one after so long."""
    return lambda random, now: then(random, now) if now > BEGIN + seconds else alike(random, now)


def test_backends_that_are_alike() -> None:
    """Hedges are under one per cent of the requests: a second attempt cannot overtake."""
    assert 0 < Traffic(alike, 60.0).share < 0.01


@pytest.mark.parametrize("factor", [2.0, 5.0, 20.0])
def test_everything_slower(factor: float) -> None:
    """No storm: in no ten seconds do upstream requests exceed their share, and soon they are as before."""
    traffic = Traffic(after(30.0, lambda random, now: alike(random, now) * factor), 90.0)
    worst = max(
        sum(second <= when < second + 10 for when in traffic.hedges)
        for second in range(int(BEGIN) + 30, int(BEGIN) + 90)
    )

    assert traffic.share < 0.01
    assert worst <= BUDGET * RATE * 10


def test_stragglers() -> None:
    """The tail is cut to a fifth, for at most five per cent more requests; the middle is as it was."""
    without = Traffic(stragglers, 60.0, is_hedging=False)
    traffic = Traffic(stragglers, 60.0)

    assert traffic.percentile(0.99) * 5 < without.percentile(0.99)
    assert traffic.percentile(0.5) < without.percentile(0.5) * 1.02
    assert traffic.share <= BUDGET


def test_stragglers_that_begin_later() -> None:
    """While hedges did not win they were rare; when they do they are allowed again, within seconds."""
    traffic = Traffic(after(40.0, stragglers), 90.0)

    assert traffic.percentile(0.99, after=BEGIN + 60.0) < 0.15
