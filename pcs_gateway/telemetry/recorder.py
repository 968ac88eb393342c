"""
A worker's measurements: one call for each exchange, one delta a second.

`Recorder.record` is on the data path of every exchange and has a budget of 1.5 µs. What keeps it there:

- what is counted together lies in one cell, found by plain dictionaries of route, method and status;
- a histogram is a dictionary of bucket counts, its index one logarithm; sums are floats;
- everything unusual (a refusal, an error, more than one attempt) is left to a second method;
- the index is not clamped and `Histogram.record` not called: both wait until a delta is taken.
"""

from __future__ import annotations

from math import ceil, log2
from typing import Final

from pcs_gateway.telemetry.delta import (
    SERVER_ERROR,
    SUCCESS,
    BackendCounts,
    Decision,
    Delta,
    Event,
    ExchangeCounts,
    QueueCounts,
)
from pcs_gateway.telemetry.histogram import LOWEST_BUCKET, NANOSECONDS, Histogram, clamp_bucket
from pcs_gateway.telemetry.record import ExchangeRecord, error_type

OTHER: Final = "other"
METHODS: Final = {
    name.encode(): name
    for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", OTHER)
}
"""Methods counted by name. A client may invent others without end; they are counted as "other"."""

BUCKETS_PER_OCTAVE: Final = 64.0
"""As in `histogram`, but a float: the product with a logarithm needs no conversion."""


class _Durations:
    """Durations between two deltas; the sum and the maximum are still floats."""

    __slots__ = ("counts", "maximum", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.total = 0.0
        self.maximum = 0.0

    def take_histogram(self) -> Histogram:
        """Return what was counted, and begin again."""
        counts: dict[int, int] = {}
        for index, count in self.counts.items():
            bucket = clamp_bucket(index)
            counts[bucket] = counts.get(bucket, 0) + count
        taken = Histogram(counts, round(self.total * NANOSECONDS), round(self.maximum * NANOSECONDS))
        self.counts = {}
        self.total = self.maximum = 0.0
        return taken


class _ExchangeCell(_Durations):
    """Exchanges of one route, method and status."""

    __slots__ = ("gateway_time", "request_bytes", "response_bytes")

    def __init__(self) -> None:
        super().__init__()
        self.gateway_time = 0.0
        self.request_bytes = 0
        self.response_bytes = 0

    def take(self) -> ExchangeCounts:
        """Return what was counted, and begin again."""
        taken = ExchangeCounts(
            self.take_histogram(),
            round(self.gateway_time * NANOSECONDS),
            self.request_bytes,
            self.response_bytes,
        )
        self.gateway_time = 0.0
        self.request_bytes = self.response_bytes = 0
        return taken


class _BackendCell(_Durations):
    """
    Exchanges answered by one backend, and the attempts at it.

    `unusual` of the durations belong to exchanges whose attempts stand in `outcomes`; all others were plain
    successes, which are counted only when a delta is taken.
    """

    __slots__ = ("outcomes", "unusual")

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, int] = {}
        self.unusual = 0

    def add_outcome(self, outcome: str) -> None:
        """Count one attempt."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def take(self) -> BackendCounts:
        """Return what was counted, and begin again."""
        durations = self.take_histogram()
        outcomes = self.outcomes
        if plain := durations.count - self.unusual:
            outcomes[SUCCESS] = outcomes.get(SUCCESS, 0) + plain
        self.outcomes = {}
        self.unusual = 0
        return BackendCounts(durations, outcomes)


class Recorder:
    """Counts what a worker's exchanges did. Not for use by several threads."""

    __slots__ = ("_backends", "_decisions", "_errors", "_events", "_exchanges", "_queues", "_reasons")

    def __init__(self) -> None:
        self._exchanges: dict[str, dict[bytes, dict[int, _ExchangeCell]]] = {}
        self._backends: dict[str, dict[str, _BackendCell]] = {}
        self._reasons: dict[str, int] = {}
        self._errors: dict[str, int] = {}
        self._events: dict[str, int] = {}
        self._queues: dict[str, QueueCounts] = {}
        self._decisions: dict[str, dict[str, dict[str, int]]] = {}

    def record(self, record: ExchangeRecord) -> None:
        """Count one exchange that is over."""
        status = record.status
        try:
            cell = self._exchanges[record.route][record.method][status]
        except KeyError:
            cell = self._open_exchange_cell(record)
        seconds = record.duration
        try:
            index = ceil(log2(seconds) * BUCKETS_PER_OCTAVE)
        except ValueError:  # a duration of 0
            index = LOWEST_BUCKET
        counts = cell.counts
        try:
            counts[index] += 1
        except KeyError:
            counts[index] = 1
        cell.total += seconds
        if seconds > cell.maximum:  # a call of max takes longer than all of this branch
            cell.maximum = seconds
        cell.gateway_time += record.gateway_time
        cell.request_bytes += record.request_bytes
        cell.response_bytes += record.response_bytes

        seconds = record.upstream_time
        if seconds > 0.0:
            try:
                answered = self._backends[record.pool][record.backend]
            except KeyError:
                answered = self._backend_cell(record.pool, record.backend)
            index = ceil(log2(seconds) * BUCKETS_PER_OCTAVE)
            counts = answered.counts
            try:
                counts[index] += 1
            except KeyError:
                counts[index] = 1
            answered.total += seconds
            if seconds > answered.maximum:
                answered.maximum = seconds

        if status >= 500 or record.reason or record.outcomes:
            self._record_unusual(record)

    def _record_unusual(self, record: ExchangeRecord) -> None:
        if record.reason:
            self.refuse(record.reason)
        if error := error_type(record.status, record.reason):
            self._errors[error] = self._errors.get(error, 0) + 1
        for backend, outcome in record.outcomes:
            self.attempt(record.pool, backend, outcome)
        if record.upstream_time > 0.0:
            answered = self._backend_cell(record.pool, record.backend)
            answered.unusual += 1
            if not record.outcomes:
                answered.add_outcome(record.reason or (SERVER_ERROR if record.status >= 500 else SUCCESS))

    def attempt(self, pool: str, backend: str, outcome: str) -> None:
        """Count one attempt that no record tells of, such as a hedge that lost."""
        self._backend_cell(pool, backend).add_outcome(outcome)

    def refuse(self, reason: str) -> None:
        """Count a refusal of what never became an exchange; a record's own reason is counted by `record`."""
        self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def waited(self, pool: str, seconds: float) -> None:
        """Count one that waited for a lease and got one."""
        self._queue(pool).waits.record(seconds)

    def shed(self, pool: str, priority: str, reason: str) -> None:
        """Count one that got no lease; that its exchange was refused is counted by `record`."""
        reasons = self._queue(pool).sheds.setdefault(priority, {})
        reasons[reason] = reasons.get(reason, 0) + 1

    def mean_upstream_time(self, pool: str) -> float:
        """Return the mean upstream time of the exchanges since the last delta; 0.0 when there were none."""
        cells = self._backends.get(pool, {}).values()
        count = sum([sum(cell.counts.values()) for cell in cells])
        return sum([cell.total for cell in cells]) / count if count else 0.0

    def count_connection(self, *, opened: bool) -> None:
        """Count a client connection that was accepted, or that ended."""
        self.count(Event.CONNECTION_OPENED if opened else Event.CONNECTION_CLOSED)

    def count(self, event: str, amount: int = 1) -> None:
        """Add to what is only counted."""
        self._events[event] = self._events.get(event, 0) + amount

    def decide(self, pool: str, decision: Decision, reason: str) -> None:
        """Count a decision about attempts of a pool."""
        reasons = self._decisions.setdefault(pool, {}).setdefault(decision, {})
        reasons[reason] = reasons.get(reason, 0) + 1

    def take_delta(self) -> Delta:
        """
        Return all that was counted since the last call, each exchange in exactly one delta.

        A cell that counted nothing since then is given up: routes and backends come and go with reloads.
        """
        reasons, self._reasons = self._reasons, {}
        errors, self._errors = self._errors, {}
        events, self._events = self._events, {}
        queues, self._queues = self._queues, {}
        decisions, self._decisions = self._decisions, {}
        return Delta(
            self._take_exchanges(), self._take_backends(), reasons, errors, events, queues, decisions
        )

    def _queue(self, pool: str) -> QueueCounts:
        queue = self._queues.get(pool)
        if queue is None:
            queue = self._queues[pool] = QueueCounts(Histogram())
        return queue

    def _open_exchange_cell(self, record: ExchangeRecord) -> _ExchangeCell:
        method = record.method if record.method in METHODS else OTHER.encode()
        statuses = self._exchanges.setdefault(record.route, {}).setdefault(method, {})
        return statuses.setdefault(record.status, _ExchangeCell())

    def _backend_cell(self, pool: str, backend: str) -> _BackendCell:
        return self._backends.setdefault(pool, {}).setdefault(backend, _BackendCell())

    def _take_exchanges(self) -> dict[str, dict[str, dict[int, ExchangeCounts]]]:
        taken: dict[str, dict[str, dict[int, ExchangeCounts]]] = {}
        kept: dict[str, dict[bytes, dict[int, _ExchangeCell]]] = {}
        for route, methods in self._exchanges.items():
            for method, statuses in methods.items():
                for status, cell in statuses.items():
                    if cell.counts:
                        kept.setdefault(route, {}).setdefault(method, {})[status] = cell
                        taken.setdefault(route, {}).setdefault(METHODS[method], {})[status] = cell.take()
        self._exchanges = kept
        return taken

    def _take_backends(self) -> dict[str, dict[str, BackendCounts]]:
        taken: dict[str, dict[str, BackendCounts]] = {}
        kept: dict[str, dict[str, _BackendCell]] = {}
        for pool, backends in self._backends.items():
            for backend, cell in backends.items():
                if cell.counts or cell.outcomes:
                    kept.setdefault(pool, {})[backend] = cell
                    taken.setdefault(pool, {})[backend] = cell.take()
        self._backends = kept
        return taken
