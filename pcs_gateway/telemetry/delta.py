"""
What was measured in a stretch of time, as a value that travels and adds up exactly.

A worker takes a delta from its recorder once a second. While the channel is down it merges new ones into the
one it holds. The control process adds them to the totals and windows of its store. All numbers are integers,
so no order of merging changes a result.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from pcs_gateway.telemetry.histogram import Histogram
from pcs_gateway.telemetry.record import SWITCHING_PROTOCOLS

SUCCESS: Final = "success"
"""Outcome of an attempt that was answered with a status below 500."""
SERVER_ERROR: Final = "server_error"
"""Outcome of a plain attempt that was answered with a status of 500 and more."""


class Event(StrEnum):
    """What is only counted, without a label."""

    CONNECTION_OPENED = "connection_opened"
    CONNECTION_CLOSED = "connection_closed"
    ACCESS_LOG_WRITTEN = "access_log_written"
    ACCESS_LOG_DROPPED = "access_log_dropped"
    ACCESS_LOG_UNSAMPLED = "access_log_unsampled"
    GC_PAUSES = "gc_pauses"
    GC_PAUSE_NANOSECONDS = "gc_pause_nanoseconds"
    BACKEND_SKIPS = "backend_skips"
    BACKEND_SUSPENSIONS = "backend_suspensions"


class Decision(StrEnum):
    """What is decided about the attempts of a pool; each has its own set of reasons."""

    RETRY = "retry"
    """A failed attempt is followed by another; by the failure's cause."""
    RETRY_DENIED = "retry_denied"
    """It is not; by the reason."""
    HEDGE = "hedge"
    """A second attempt was started, and what became of it."""
    HEDGE_DENIED = "hedge_denied"
    """A slow attempt was not joined by a second one; by the reason."""


class ExchangeCounts(msgspec.Struct, array_like=True):
    """
    The exchanges of one route, method and status.

    Attributes:
        durations: Whole exchanges; its count is the number of exchanges.
        gateway_ns: Sum of the gateway's own share, in nanoseconds.
        request_bytes: Body bytes received.
        response_bytes: Body bytes sent.
    """

    durations: Histogram
    gateway_ns: int = 0
    request_bytes: int = 0
    response_bytes: int = 0

    def merge(self, other: ExchangeCounts) -> None:
        """Add all that `other` counted."""
        self.durations.merge(other.durations)
        self.gateway_ns += other.gateway_ns
        self.request_bytes += other.request_bytes
        self.response_bytes += other.response_bytes


class BackendCounts(msgspec.Struct, array_like=True):
    """
    What one backend did.

    Attributes:
        durations: Upstream time of the exchanges that it answered.
        outcomes: Attempts by outcome.
    """

    durations: Histogram
    outcomes: dict[str, int] = {}

    def merge(self, other: BackendCounts) -> None:
        """Add all that `other` counted."""
        self.durations.merge(other.durations)
        add_counts(self.outcomes, other.outcomes)


class QueueCounts(msgspec.Struct, array_like=True):
    """
    What became of those who waited for a lease of one pool.

    Attributes:
        waits: How long they waited who got one.
        sheds: Who got none, by priority class and reason.
    """

    waits: Histogram
    sheds: dict[str, dict[str, int]] = {}

    def merge(self, other: QueueCounts) -> None:
        """Add all that `other` counted."""
        self.waits.merge(other.waits)
        for priority, reasons in other.sheds.items():
            add_counts(self.sheds.setdefault(priority, {}), reasons)


class Delta(msgspec.Struct, array_like=True):
    """
    Everything measured in a stretch of time.

    Attributes:
        exchanges: By route, method ("GET" … or "other") and status.
        backends: By pool and backend.
        reasons: Exchanges and connections that the gateway refused or could not finish, by reason.
        errors: Exchanges that were errors (see `record.error_type`), by type.
        events: What is only counted, by `Event`.
        queues: By pool.
        decisions: About attempts, by pool, `Decision` and reason.
    """

    exchanges: dict[str, dict[str, dict[int, ExchangeCounts]]] = {}
    backends: dict[str, dict[str, BackendCounts]] = {}
    reasons: dict[str, int] = {}
    errors: dict[str, int] = {}
    events: dict[str, int] = {}
    queues: dict[str, QueueCounts] = {}
    decisions: dict[str, dict[str, dict[str, int]]] = {}

    def __repr__(self) -> str:
        return (
            f"<Delta {self.count} exchanges of {len(self.exchanges)} routes, reasons {self.reasons}, "
            f"errors {self.errors}, events {self.events}>"
        )

    @property
    def count(self) -> int:
        """How many exchanges were measured."""
        return sum(counts.durations.count for _, _, _, counts in self.each_exchange())

    def durations(self) -> Histogram:
        """
        Return the durations of all exchanges.

        Tunnels (status 101) are left out: what lasts as long as a client likes is no response time.
        """
        total = Histogram()
        for _, _, status, counts in self.each_exchange():
            if status != SWITCHING_PROTOCOLS:
                total.merge(counts.durations)
        return total

    def is_empty(self) -> bool:
        """Return whether nothing at all was measured."""
        return not any(
            (
                self.exchanges,
                self.backends,
                self.reasons,
                self.errors,
                self.events,
                self.queues,
                self.decisions,
            )
        )

    def each_exchange(self) -> Iterator[tuple[str, str, int, ExchangeCounts]]:
        """Yield route, method, status and what was counted for them."""
        for route, methods in self.exchanges.items():
            for method, statuses in methods.items():
                for status, counts in statuses.items():
                    yield route, method, status, counts

    def each_backend(self) -> Iterator[tuple[str, str, BackendCounts]]:
        """Yield pool, backend and what was counted for them."""
        for pool, backends in self.backends.items():
            for backend, counts in backends.items():
                yield pool, backend, counts

    def merge(self, other: Delta) -> None:
        """Add all that `other` measured; `other` stays as it is and shares nothing with this one."""
        for route, method, status, counts in other.each_exchange():
            self.exchange_counts(route, method, status).merge(counts)
        for pool, backend, attempts in other.each_backend():
            self.backend_counts(pool, backend).merge(attempts)
        add_counts(self.reasons, other.reasons)
        add_counts(self.errors, other.errors)
        add_counts(self.events, other.events)
        for pool, queue in other.queues.items():
            self.queues.setdefault(pool, QueueCounts(Histogram())).merge(queue)
        for pool, kinds in other.decisions.items():
            for kind, reasons in kinds.items():
                add_counts(self.decisions.setdefault(pool, {}).setdefault(kind, {}), reasons)

    def exchange_counts(self, route: str, method: str, status: int) -> ExchangeCounts:
        """Return the counts of a route, method and status, begun at zero when there are none."""
        statuses = self.exchanges.setdefault(route, {}).setdefault(method, {})
        if status not in statuses:
            statuses[status] = ExchangeCounts(Histogram())
        return statuses[status]

    def backend_counts(self, pool: str, backend: str) -> BackendCounts:
        """Return the counts of a backend, begun at zero when there are none."""
        backends = self.backends.setdefault(pool, {})
        if backend not in backends:
            backends[backend] = BackendCounts(Histogram())
        return backends[backend]


def add_counts(total: dict[str, int], added: dict[str, int]) -> None:
    """Add each count of `added` to the one of the same name in `total`."""
    for name, count in added.items():
        total[name] = total.get(name, 0) + count
