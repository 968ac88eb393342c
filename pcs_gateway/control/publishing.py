"""
What workers are told: the roster turned into snapshots and updates, and each flip logged and counted once.

The law of this file: what is about to be published is stored first, so that a process which dies in between
leaves a successor that knows at least as much as the workers; and a version is never used twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec
import structlog

from pcs_gateway.backends.backend import Backend
from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.control.roster import Roster
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
    """

    def __init__(
        self, channel: Channel, file: StateFile, roster: Roster, version: int, pools: Iterable[PoolSnapshot]
    ) -> None:
        """Continue after what any process published last, or may have: its `version` and its `pools`."""
        self._channel = channel
        self._file = file
        self._roster = roster
        self._published = {pool.name: pool for pool in pools}
        self.version = version
        self.baseline: dict[str, Any] = {}
        self.health_flips: dict[tuple[str, ...], int] = {}
        self.readiness_flips: dict[tuple[str, ...], int] = {}

    def __repr__(self) -> str:
        return f"<Publisher: version {self.version} of {len(self._published)} pools>"

    def publish(self, document: dict[str, Any]) -> None:
        """
        Publish everything: configuration and all pools.

        Raises:
            FrameError: It is too large to be sent; nothing was published.
        """
        self.version += 1
        pools = {name: self._roster.snapshot(name) for name in self._roster.pools}
        self.store()
        self._channel.publish(Snapshot(self.version, document, tuple(pools.values())))
        for pool in pools.values():
            self._note_flips(pool)
        self._published = pools

    def update(self, pools: Iterable[str]) -> None:
        """Publish those of the pools that are others than workers know."""
        for name in pools:
            pool = self._roster.snapshot(name)
            if essence(pool) != essence(self._published[name]):
                self.version += 1
                self.store()
                self._channel.update(PoolUpdate(self.version, pool))
                self._note_flips(pool)
                self._published[name] = pool

    def store(self) -> None:
        """Store what a successor needs."""
        state = self._roster.state(self.version)
        self._file.store(msgspec.structs.replace(state, baseline=self.baseline))

    def _note_flips(self, pool: PoolSnapshot) -> None:
        """Log and count what flipped since the last publication."""
        published = self._published.get(pool.name)
        known = {backend.url: backend for backend in published.backends} if published else {}
        for backend in pool.backends:
            before = known.get(backend.url, _NEWCOMER)
            if backend.health.status is not before.health.status:
                _count(self.health_flips, backend, backend.health.status)
            if backend.ready != before.ready:
                _count(self.readiness_flips, backend, "ready" if backend.ready else "not_ready")
            if backend.ready != before.ready or backend.health.status is not before.health.status:
                _log_flip(backend, before)


_NEWCOMER = Backend(
    pool="", name="", url="", scheme="", host="", port=0, addresses=(), weight=1, column=-1, generation=0
)
"""What a backend that nobody knew flips from: unknown and not ready."""


def essence(pool: PoolSnapshot) -> PoolSnapshot:
    """Return the pool without what changes with every check although nothing flipped: when that was."""
    return msgspec.structs.replace(
        pool,
        backends=tuple(
            msgspec.structs.replace(backend, health=msgspec.structs.replace(backend.health, last_check=0.0))
            for backend in pool.backends
        ),
    )


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
    else:
        _log.info("backend_health_changed", **facts)
