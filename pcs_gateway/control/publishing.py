"""
What workers are told: the roster turned into snapshots and updates, and each flip logged and counted once.

The law of this file: what is about to be published is stored first, so that a process which dies in between
leaves a successor that knows at least as much as the workers; and a version is never used twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec
import structlog

from pcs_gateway.backends.backend import Backend, HealthStatus
from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.control.levels import LevelWatch
from pcs_gateway.control.roster import Roster
from pcs_gateway.control.standing import BackendKey, Standing
from pcs_gateway.control.state import StateFile
from pcs_gateway.processes.messages import PoolUpdate, Snapshot

_log = structlog.get_logger()


class Channel(Protocol):
    """The part of `ChannelServer` that publishing needs."""

    def publish(self, snapshot: Snapshot) -> None:
        """Give every worker this snapshot."""
        ...

    def update(self, update: PoolUpdate) -> None:
        """Give every worker this pool."""
        ...


class Publisher:
    """
    Tells workers what changed.

    Attributes:
        version: Of what was published last; greater than all that any earlier process published.
        health_flips: Changes of health since this process started, by pool, backend and new status.
        readiness_flips: Changes of readiness, by pool, backend and "ready" or "not_ready".
        baseline: The configuration with which this run of the gateway started.
        levels: The pools' levels as published.
    """

    def __init__(
        self, channel: Channel, file: StateFile, roster: Roster, version: int, pools: Iterable[PoolSnapshot]
    ) -> None:
        """Continue after what any process published last, or may have: its `version` and its `pools`."""
        self._channel = channel
        self._file = file
        self._roster = roster
        self._known = {
            BackendKey(pool.name, backend.url): essence(backend)
            for pool in pools
            for backend in pool.backends
        }
        self.levels = LevelWatch()
        self.version = version
        self.baseline: dict[str, Any] = {}
        self.health_flips: dict[tuple[str, ...], int] = {}
        self.readiness_flips: dict[tuple[str, ...], int] = {}

    def __repr__(self) -> str:
        return f"<Publisher: version {self.version}, {len(self._known)} backends>"

    def publish(self, document: dict[str, Any], files: Mapping[str, bytes]) -> None:
        """
        Publish everything: configuration, the files that it names, and all pools.

        Raises:
            FrameError: It is too large to be sent; nothing was published.
        """
        self.version += 1
        self._roster.note_readiness(self._roster)
        pools = tuple(self._roster.snapshot(name) for name in self._roster.pools)
        self.store()
        self._channel.publish(Snapshot(self.version, document, pools, dict(files)))
        before, self._known = self._known, {}
        self.levels.keep(self._roster.pools)
        for pool in pools:
            self._note(pool, before)

    def update(self, standings: Iterable[Standing]) -> None:
        """Publish the pools of those backends that are others than workers know."""
        standings = list(standings)
        self._roster.note_readiness(standings)
        changed = [one.key for one in standings if essence(one.backend()) != self._known.get(one.key)]
        for name in dict.fromkeys(key.pool for key in changed):
            self.version += 1
            self.store()
            pool = self._roster.snapshot(name)
            self._channel.update(PoolUpdate(self.version, pool))
            self._note(pool, self._known)

    def store(self) -> None:
        """Store what a successor needs."""
        state = self._roster.state(self.version)
        self._file.store(msgspec.structs.replace(state, baseline=self.baseline))

    def _note(self, pool: PoolSnapshot, known: Mapping[BackendKey, Backend]) -> None:
        """Remember what workers know now; log and count what flipped since they knew `known`."""
        for backend in pool.backends:
            key = BackendKey(pool.name, backend.url)
            before = known.get(key, _NEWCOMER)
            self._known[key] = essence(backend)
            flipped = backend.health.status is not before.health.status
            if flipped:
                _count(self.health_flips, backend, backend.health.status)
            if backend.ready != before.ready:
                _count(self.readiness_flips, backend, "ready" if backend.ready else "not_ready")
            if flipped or backend.ready != before.ready:
                _log_flip(backend, before)
        self.levels.note(pool, self._roster.pools[pool.name].panic_threshold)


_NEWCOMER = Backend(
    pool="", name="", url="", scheme="", host="", port=0, addresses=(), weight=1, column=-1, generation=0
)
"""What a backend that nobody knew flips from: unknown and not ready."""


def essence(backend: Backend) -> Backend:
    """Return the backend without what changes with every check although nothing flipped: when that was."""
    health = msgspec.structs.replace(backend.health, last_check=0.0)
    return msgspec.structs.replace(backend, health=health)


def _count(counts: dict[tuple[str, ...], int], backend: Backend, what: str) -> None:
    key = (backend.pool, backend.name, str(what))
    counts[key] = counts.get(key, 0) + 1


def _log_flip(backend: Backend, before: Backend) -> None:
    """Tell that a backend flipped, and why: one event, whatever of it flipped."""
    flipped = backend.health.status is not before.health.status
    now = f"{backend.health.status}: {backend.health.detail}" if flipped else f"no longer {before.reason}"
    facts = {
        "reason": backend.reason or now,
        "pool": backend.pool,
        "backend": backend.name,
        "url": backend.url,
        "health": str(backend.health.status),
        "health_before": str(before.health.status),
        "last_check": backend.health.detail,
    }
    if backend.ready:
        _log.info("backend_ready", **facts)
    elif before.ready:
        _log.warning("backend_not_ready", **facts)
    elif before.health.status is HealthStatus.UNKNOWN and backend.health.status is HealthStatus.UNHEALTHY:
        _log.warning("backend_health_changed", **facts)  # bad from the start: no line told of it before
    else:
        _log.info("backend_health_changed", **facts)
