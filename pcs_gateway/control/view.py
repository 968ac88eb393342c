"""
The gateway as it can be seen from the control process: the facts that the admin API, /metrics and the command
line show. Nothing here changes anything.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pcs_gateway import __version__
from pcs_gateway.backends.backend import Backend
from pcs_gateway.balancing.slow_start import ramp
from pcs_gateway.clock import Clock
from pcs_gateway.control.loop import ControlPlane
from pcs_gateway.control.reloading import Reloader
from pcs_gateway.control.standing import Standing
from pcs_gateway.processes.rate_table import RateTable
from pcs_gateway.processes.scoreboard import CONTROL_ROW, Row, Scoreboard
from pcs_gateway.telemetry.figures import BackendFigures, GatewayFigures, LevelFigures
from pcs_gateway.telemetry.histogram import Histogram
from pcs_gateway.telemetry.metrics import summarize_durations
from pcs_gateway.telemetry.monitor import PerformanceMonitor
from pcs_gateway.telemetry.store import MeasurementStore

WINDOW_SECONDS = 60.0
"""What percentiles and error rates look back at."""

SILENT_SECONDS = 1.0
"""A worker without a heartbeat for this long does not count as up."""


class GatewayView:
    """Reads what is known; its documents are plain data, ready for JSON."""

    def __init__(
        self,
        plane: ControlPlane,
        reloader: Reloader,
        scoreboard: Scoreboard,
        store: MeasurementStore,
        clock: Clock,
    ) -> None:
        """Look at these."""
        self._plane = plane
        self._reloader = reloader
        self._scoreboard = scoreboard
        self._store = store
        self._clock = clock
        self._rate_table = RateTable(scoreboard, CONTROL_ROW)
        self._started = clock.time()
        self._monitor = PerformanceMonitor(store, clock, self.client_connections)

    def __repr__(self) -> str:
        return f"<GatewayView: {self.unreadiness() or 'ready'}>"

    def unreadiness(self) -> str:
        """Say why the gateway should get no new traffic; empty when it may."""
        if self._scoreboard.draining:
            return "draining"
        if not any(self._is_up(row) for row in self._workers()):
            return "no worker is up"
        return ""

    def client_connections(self) -> int:
        """Return how many client connections are open, over all workers."""
        return sum(row.client_connections for row in self._workers())

    async def status(self) -> dict[str, Any]:
        """Return everything an operator looks at first."""
        unreadiness = self.unreadiness()
        recent = self._store.recent(self._clock.monotonic(), WINDOW_SECONDS).measured
        durations = {(pool, backend): counts.durations for pool, backend, counts in recent.each_backend()}
        return {
            "version": __version__,
            "status": unreadiness or "ready",
            "started": self._scoreboard.started,
            "configuration": self._configuration(),
            "workers": [self._worker(row) for row in self._workers()],
            "worker_restarts": self._scoreboard.worker_restarts,
            "control_restarts": self._scoreboard.control_restarts,
            "pools": {name: self._pool(name, durations) for name in self._plane.roster.pools},
            "performance": msgspec.to_builtins(await self._monitor.collect_metrics(WINDOW_SECONDS)),
        }

    def backend(self, standing: Standing, durations: Histogram | None = None) -> dict[str, Any]:
        """Return one backend; with percentiles when its `durations` are given."""
        backend = standing.backend()
        ejected_for = max(backend.ejected_until - self._clock.monotonic(), 0.0) if standing.ejection else 0.0
        document = {
            "pool": backend.pool,
            "name": backend.name,
            "url": backend.url,
            "addresses": list(backend.addresses),
            "ready": backend.ready,
            "reason": backend.reason,
            "administrative_state": str(backend.administrative_state),
            "health": {
                "status": str(backend.health.status),
                "last_check": backend.health.last_check,
                "detail": backend.health.detail,
            },
            "ejected_for": round(ejected_for, 3),
            "priority": backend.priority,
            "slow_start": round(self._ramp(backend), 3),
            "ejections_in_a_row": self._ejections_in_a_row(standing),
            "weight": backend.weight,
            "configured_weight": standing.config.weight,
            "active_connections": self._scoreboard.in_flight(backend.column),
            "connections": self._connections(backend.column),
        }
        if durations is not None:
            document["response_time"] = msgspec.to_builtins(summarize_durations(durations))
        return document

    def _ejections_in_a_row(self, standing: Standing) -> int:
        base = self._plane.roster.pools[standing.key.pool].outlier_detection.base_ejection
        return standing.repetition.at(self._clock.monotonic(), base)

    def _shared_failure(self, pool: str) -> dict[str, Any] | None:
        """Return what all backends of a pool fail with; None when they do not."""
        current = self._plane.ejector.attribution.current(pool)
        return {"kind": current.kind, "began": current.began} if current is not None else None

    def configuration(self) -> dict[str, Any]:
        """Return the configuration in force, secrets masked."""
        configuration = self._plane.configuration
        return configuration.shown if configuration else {}

    def figures(self) -> GatewayFigures:
        """Return what /metrics tells beside measurements."""
        backends = [standing.backend() for standing in self._plane.roster]
        return GatewayFigures(
            started=self._started,
            backends=tuple(
                BackendFigures(
                    backend.pool,
                    backend.name,
                    backend.ready,
                    backend.weight,
                    self._scoreboard.in_flight(backend.column),
                    self._connections(backend.column),
                )
                for backend in backends
            ),
            levels=tuple(
                LevelFigures(pool, level.priority, level.load, level.is_panicking)
                for pool, levels in self._plane.publisher.levels.levels.items()
                for level in levels
            ),
            waiters={name: self._waiters(name) for name in self._plane.roster.pools},
            limits={name: limit for name in self._plane.roster.pools if (limit := self._limit(name))},
            overloaded={name: self._overloaded(name) for name in self._plane.roster.pools},
            client_connections={str(row.index): row.client_connections for row in self._workers()},
            client_connections_limits={
                str(row.index): row.client_connections_limit for row in self._workers()
            },
            rate_limit_fill=self._rate_limit_fill(),
            worker_restarts=self._scoreboard.worker_restarts,
            health_flips=self._plane.publisher.health_flips,
            reloads=self._reloader.reports,
        )

    def _rate_limit_fill(self) -> dict[str, float]:
        configuration, now = self._plane.configuration, self._clock.monotonic()
        limits = configuration.rate_limits if configuration else ()
        return {
            name: self._rate_table.limit(name, rate, burst, number, len(limits)).fill(now)
            for number, (name, rate, burst) in enumerate(limits)
        }

    def _ramp(self, backend: Backend) -> float:
        """The part of its weight that a backend has in slow start; 1.0 when it has all of it."""
        slow_start = self._plane.roster.pools[backend.pool].slow_start
        return ramp(self._clock.monotonic(), backend.ready_since, slow_start)

    def _levels(self, pool: str) -> list[dict[str, Any]]:
        return [
            {
                "priority": level.priority,
                "load": round(level.load, 3),
                "panic": level.is_panicking,
                "ready": level.ready,
                "counted": level.counted,
            }
            for level in self._plane.publisher.levels.levels.get(pool, ())
        ]

    def _workers(self) -> list[Row]:
        return [self._scoreboard.row(index) for index in self._scoreboard.rows_in_use()]

    def _is_up(self, row: Row) -> bool:
        """Whether a worker accepts and shows that it lives."""
        return bool(row.accepting) and self._clock.monotonic() - row.heartbeat < SILENT_SECONDS

    def _connections(self, column: int) -> int:
        return sum(row.connections[column] for row in self._workers())

    def _waiters(self, pool: str) -> int:
        slot = self._plane.roster.slot(pool)
        return sum(row.waiters[slot] for row in self._workers())

    def _limit(self, pool: str) -> int:
        """Return the limit on attempts in flight that workers apply; 0 when there is none."""
        slot = self._plane.roster.slot(pool)
        return max([row.limits[slot] for row in self._workers()], default=0)

    def _overloaded(self, pool: str) -> int:
        """Return in how many workers the queue of a pool is overloaded."""
        slot = self._plane.roster.slot(pool)
        return sum(row.overloads[slot] for row in self._workers())

    def _worker(self, row: Row) -> dict[str, Any]:
        return {
            "row": row.index,
            "pid": row.pid,
            "generation": row.generation,
            "up": self._is_up(row),
            "snapshot_version": row.snapshot_version,
            "client_connections": row.client_connections,
            "client_connections_limit": row.client_connections_limit,
        }

    def _configuration(self) -> dict[str, Any]:
        configuration = self._plane.configuration
        return {
            "file": self._reloader.path,
            "digest": configuration.digest if configuration else "",
            "snapshot_version": self._plane.publisher.version,
            "rejected": msgspec.to_builtins(self._reloader.rejected),
            "needs_restart": list(self._reloader.needs_restart),
            "notices": list(configuration.notices) if configuration else [],
        }

    def _pool(self, name: str, durations: dict[tuple[str, str], Histogram]) -> dict[str, Any]:
        members = self._plane.roster.members(name)
        merged = Histogram()
        for standing in members:
            if found := durations.get((name, standing.config.name)):
                merged.merge(found)
        return {
            "strategy": self._plane.roster.pools[name].strategy,
            "waiting": self._waiters(name),
            "levels": self._levels(name),
            "shared_failure": self._shared_failure(name),
            "overloaded_workers": self._overloaded(name),
            "concurrency_limit": self._limit(name) or None,
            "response_time": msgspec.to_builtins(summarize_durations(merged)),
            "backends": [
                self.backend(one, durations.get((name, one.config.name), Histogram())) for one in members
            ],
        }
