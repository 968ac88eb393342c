"""
The loop that finds the adaptive concurrency limits: it measures, lets `balancing.concurrency` decide, and
publishes each limit as a number in this process' row of the scoreboard.

Workers read it there ten times a second and keep the last one while this process is away; its successor goes
on from what they apply.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import structlog

from pcs_gateway.backends.attempts_config import ConcurrencyConfig
from pcs_gateway.balancing.concurrency import WINDOW_SECONDS, Limit, Window, adapt
from pcs_gateway.clock import Clock
from pcs_gateway.control.roster import Roster
from pcs_gateway.processes.scoreboard import CONTROL_ROW, Row
from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.histogram import Histogram

SAMPLE_SECONDS = 0.1
"""How often it is looked at what is in flight."""

MOST_WINDOWS = 60
"""For so long measurements are gathered that are too few by themselves; then they are too old."""

_log = structlog.get_logger()


class Board(Protocol):
    """What the limiter has of the `Scoreboard`."""

    def in_flight(self, column: int) -> int:
        """Return the attempts in flight on one backend, over all workers."""
        ...

    def row(self, index: int) -> Row:
        """Return one row."""
        ...

    def rows_in_use(self) -> list[int]:
        """Return the rows in which a worker lives."""
        ...


class _Gathered:
    """What was measured of one pool since its last decision."""

    __slots__ = ("durations", "samples", "windows")

    def __init__(self) -> None:
        self.durations = Histogram()
        self.samples: list[int] = []
        self.windows = 0

    def window(self) -> Window:
        in_flight = sum(self.samples) / len(self.samples) if self.samples else 0.0
        return Window(self.durations.count, self.durations.percentile(0.5), in_flight)


class ConcurrencyLimiter:
    """
    Finds the limits of the pools with `concurrency: {mode: adaptive}`.

    Attributes:
        limits: By pool.
    """

    def __init__(self, roster: Roster, board: Board, clock: Clock) -> None:
        """Watch the pools of this roster."""
        self._roster = roster
        self._board = board
        self._clock = clock
        self._gathered: dict[str, _Gathered] = {}
        self._decide_at = clock.monotonic() + WINDOW_SECONDS
        self.limits: dict[str, Limit] = {}

    def __repr__(self) -> str:
        limits = ", ".join(f"{name} {limit.limit}" for name, limit in self.limits.items())
        return f"<ConcurrencyLimiter: {limits or 'no adaptive limit'}>"

    def add(self, delta: Delta) -> None:
        """Add what a worker measured."""
        for pool, _, counts in delta.each_backend():
            if pool in self._gathered:
                self._gathered[pool].durations.merge(counts.durations)

    async def tick(self) -> float:
        """Sample what is in flight, and decide once a second; return the seconds until the next tick."""
        adaptive = dict(self._adaptive_pools())
        self._follow(adaptive)
        for name, gathered in self._gathered.items():
            columns = [standing.column for standing in self._roster.members(name)]
            gathered.samples.append(sum([self._board.in_flight(column) for column in columns]))
        now = self._clock.monotonic()
        if adaptive and now >= self._decide_at:
            self._decide_at = now + WINDOW_SECONDS
            for name, config in adaptive.items():
                self._decide(name, config)
        return SAMPLE_SECONDS

    def _adaptive_pools(self) -> Iterator[tuple[str, ConcurrencyConfig]]:
        for name, pool in self._roster.pools.items():
            if pool.concurrency is not None and pool.concurrency.mode == "adaptive":
                yield name, pool.concurrency

    def _follow(self, adaptive: dict[str, ConcurrencyConfig]) -> None:
        """Begin with new pools and let go of those that are gone."""
        if adaptive.keys() == self._gathered.keys() and all(
            config.minimum <= self.limits[name].value <= config.maximum for name, config in adaptive.items()
        ):
            return
        self._gathered = {name: self._gathered.get(name) or _Gathered() for name in adaptive}
        limits = {}
        for name, config in adaptive.items():
            known = self.limits.get(name) or Limit(float(self._applied(name) or config.initial))
            limits[name] = known._replace(value=min(max(known.value, config.minimum), config.maximum))
        self.limits = limits
        self._publish_all()

    def _applied(self, name: str) -> int:
        """Return the limit that workers apply, as a predecessor left it; 0 when there is none."""
        slot = self._roster.slot(name)
        rows = [self._board.row(index) for index in self._board.rows_in_use()]
        return max([row.limits[slot] for row in rows], default=0)

    def _publish_all(self) -> None:
        cells = self._board.row(CONTROL_ROW).limits
        for slot in range(len(cells)):
            cells[slot] = 0
        for name in self.limits:
            cells[self._roster.slot(name)] = self.limits[name].limit

    def _decide(self, name: str, config: ConcurrencyConfig) -> None:
        gathered, before = self._gathered[name], self.limits[name]
        after = adapt(before, gathered.window(), config.minimum, config.maximum)
        gathered.windows += 1
        if after is before and gathered.windows < MOST_WINDOWS:
            return
        self._gathered[name] = _Gathered()
        self.limits[name] = after
        if after.limit != before.limit:
            self._board.row(CONTROL_ROW).limits[self._roster.slot(name)] = after.limit
            _log.debug(
                "concurrency_limit",
                pool=name,
                limit=after.limit,
                before=before.limit,
                baseline_seconds=round(after.baseline, 6),
            )
