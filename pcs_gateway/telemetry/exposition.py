"""
The page /metrics: what was measured, in the words of Prometheus.

The collectors read the store and the gateway's figures when the page is asked for; nothing is kept twice, and
no object of prometheus-client is ever touched by an exchange. Names follow Prometheus' conventions: base
units, `_total` for what only grows, one meaning over all labels. Labels come from the configuration, from
fixed tables or from reasons of the gateway itself, never from a client; "-" stands for no route.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from pcs_gateway.telemetry.delta import Delta, Event
from pcs_gateway.telemetry.figures import GatewayFigures
from pcs_gateway.telemetry.histogram import NANOSECONDS, Histogram
from pcs_gateway.telemetry.record import SWITCHING_PROTOCOLS
from pcs_gateway.telemetry.store import MeasurementStore

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
PREFIX: Final = "pcs_gateway_"
NO_ROUTE: Final = "-"
"""No configured name looks like this."""

OCTAVES: Final = range(-13, 7)
"""Bounds of the exposed buckets as powers of two of a second: 0.12 ms to 64 s. They are edges of the buckets
that are counted, so these counts are exact."""
BOUNDS: Final = tuple(str(2.0**octave) for octave in OCTAVES)


class MeasurementCollector(Collector):
    """What the workers measured since the control process started."""

    def __init__(self, store: MeasurementStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        totals = self._store.totals
        yield counter(
            "requests",
            "Exchanges that ended, by the class of the status sent; none: no response was sent.",
            ("route", "method", "status_class"),
            requests_by_class(totals),
        )
        yield histogram(
            "request_duration_seconds",
            "Time from the first byte of a request to the last byte of its response; tunnels are left out.",
            ("route",),
            durations_by_route(totals),
        )
        yield from self._sums_by_route(totals)
        yield counter(
            "attempts",
            "Attempts at a backend, by how they ended.",
            ("pool", "backend", "outcome"),
            {
                (pool, backend, outcome): count
                for pool, backend, counts in totals.each_backend()
                for outcome, count in counts.outcomes.items()
            },
        )
        yield histogram(
            "upstream_duration_seconds",
            "Time from a request sent to a backend to the last byte of its response.",
            ("pool", "backend"),
            {(pool, backend): counts.durations for pool, backend, counts in totals.each_backend()},
        )
        yield counter(
            "refusals",
            "Exchanges and connections that the gateway refused or could not finish.",
            ("reason",),
            {(reason,): count for reason, count in totals.reasons.items()},
        )
        yield from self._queues(totals)
        yield counter(
            "errors",
            "Exchanges that failed through the service's fault.",
            ("type",),
            {(name,): count for name, count in totals.errors.items()},
        )
        yield from self._events(totals.events)

    def _sums_by_route(self, totals: Delta) -> Iterator[Metric]:
        gateway_ns: dict[tuple[str, ...], int] = {}
        request_bytes: dict[tuple[str, ...], int] = {}
        response_bytes: dict[tuple[str, ...], int] = {}
        for route, _, _, counts in totals.each_exchange():
            label = (route or NO_ROUTE,)
            gateway_ns[label] = gateway_ns.get(label, 0) + counts.gateway_ns
            request_bytes[label] = request_bytes.get(label, 0) + counts.request_bytes
            response_bytes[label] = response_bytes.get(label, 0) + counts.response_bytes
        yield counter(
            "own_time_seconds",
            "The gateway's own share of the time of exchanges.",
            ("route",),
            {label: nanoseconds / NANOSECONDS for label, nanoseconds in gateway_ns.items()},
        )
        yield counter("request_body_bytes", "Body bytes received from clients.", ("route",), request_bytes)
        yield counter("response_body_bytes", "Body bytes sent to clients.", ("route",), response_bytes)

    def _queues(self, totals: Delta) -> Iterator[Metric]:
        yield histogram(
            "queue_wait_seconds",
            "Time that requests waited for a backend who did not get one at once.",
            ("pool",),
            {(pool,): queue.waits for pool, queue in totals.queues.items()},
        )
        yield counter(
            "sheds",
            "Requests that got no backend because of the load, by their priority class.",
            ("pool", "priority", "reason"),
            {
                (pool, priority, reason): count
                for pool, queue in totals.queues.items()
                for priority, reasons in queue.sheds.items()
                for reason, count in reasons.items()
            },
        )

    def _events(self, events: Mapping[str, int]) -> Iterator[Metric]:
        yield counter(
            "connections",
            "Client connections, by what happened to them.",
            ("event",),
            {
                ("opened",): events.get(Event.CONNECTION_OPENED, 0),
                ("closed",): events.get(Event.CONNECTION_CLOSED, 0),
            },
        )
        yield counter(
            "access_log_lines",
            "Lines of the access log; dropped: lost because they could not be written in time.",
            ("result",),
            {
                ("written",): events.get(Event.ACCESS_LOG_WRITTEN, 0),
                ("dropped",): events.get(Event.ACCESS_LOG_DROPPED, 0),
                ("unsampled",): events.get(Event.ACCESS_LOG_UNSAMPLED, 0),
            },
        )
        yield counter(
            "gc_pauses",
            "Garbage collections in workers that took more than 5 ms.",
            (),
            {(): events.get(Event.GC_PAUSES, 0)},
        )
        yield counter(
            "gc_pause_seconds",
            "Time that these collections took.",
            (),
            {(): events.get(Event.GC_PAUSE_NANOSECONDS, 0) / NANOSECONDS},
        )
        yield counter(
            "backend_skips",
            "Times that a worker avoided a backend by itself: failures; or suspicion, for a moment.",
            ("reason",),
            {
                ("failures",): events.get(Event.BACKEND_SKIPS, 0),
                ("suspicion",): events.get(Event.BACKEND_SUSPENSIONS, 0),
            },
        )


class FiguresCollector(Collector):
    """What the gateway knows of itself now."""

    def __init__(self, read: Callable[[], GatewayFigures]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield every family, from one reading."""
        figures = self._read()
        yield from self._backends(figures)
        yield from self._levels(figures)
        yield gauge(
            "waiting_requests",
            "Requests that wait for a backend.",
            ("pool",),
            {(pool,): count for pool, count in figures.waiters.items()},
        )
        yield gauge(
            "concurrency_limit",
            "Most attempts in flight to a whole pool, where that is limited.",
            ("pool",),
            {(pool,): limit for pool, limit in figures.limits.items()},
        )
        yield gauge(
            "overloaded_workers",
            "Workers in which a pool's queue is overloaded.",
            ("pool",),
            {(pool,): count for pool, count in figures.overloaded.items()},
        )
        yield gauge(
            "client_connections",
            "Open client connections.",
            ("worker",),
            {(worker,): count for worker, count in figures.client_connections.items()},
        )
        yield gauge(
            "client_connections_limit",
            "Client connections that a worker holds at most: as configured, or what its descriptors allow.",
            ("worker",),
            {(worker,): limit for worker, limit in figures.client_connections_limits.items()},
        )
        yield gauge(
            "rate_limit_table_fill",
            "Share of a rate limit's cells in which something is counted.",
            ("limit",),
            {(name,): share for name, share in figures.rate_limit_fill.items()},
        )
        yield counter(
            "worker_restarts",
            "Workers that were replaced because they died or hung.",
            (),
            {(): figures.worker_restarts},
        )
        yield counter(
            "health_flips",
            "Changes of a backend's health, by its new status.",
            ("pool", "backend", "status"),
            figures.health_flips,
        )
        yield counter(
            "reloads",
            "Attempts to load the configuration anew.",
            ("result",),
            {(result,): count for result, count in figures.reloads.items()},
        )
        yield gauge(
            "start_time_seconds", "When the control process started, in unix time.", (), {(): figures.started}
        )

    def _backends(self, figures: GatewayFigures) -> Iterator[Metric]:
        named = {(figure.pool, figure.backend): figure for figure in figures.backends}
        labels = ("pool", "backend")
        yield gauge(
            "backend_ready",
            "Whether a backend may take attempts.",
            labels,
            {name: int(figure.ready) for name, figure in named.items()},
        )
        yield gauge(
            "backend_weight",
            "A backend's share of the traffic, relative to the others of its pool.",
            labels,
            {name: figure.weight for name, figure in named.items()},
        )
        yield gauge(
            "in_flight_attempts",
            "Attempts under way.",
            labels,
            {name: figure.in_flight for name, figure in named.items()},
        )
        yield gauge(
            "upstream_connections",
            "Connections to a backend, idle ones included.",
            labels,
            {name: figure.connections for name, figure in named.items()},
        )

    def _levels(self, figures: GatewayFigures) -> Iterator[Metric]:
        named = {(figure.pool, str(figure.priority)): figure for figure in figures.levels}
        labels = ("pool", "priority")
        yield gauge(
            "level_load",
            "Share of a pool's traffic that a priority level takes.",
            labels,
            {name: figure.load for name, figure in named.items()},
        )
        yield gauge(
            "panic",
            "Whether failed checks and ejections are ignored in a priority level of a pool.",
            labels,
            {name: int(figure.is_panicking) for name, figure in named.items()},
        )


class BuildCollector(Collector):
    """Which program this is."""

    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """Yield the one family."""
        facts = {"version": self._version, "python": platform.python_version()}
        yield InfoMetricFamily(f"{PREFIX}build", "The gateway's version and what it runs on.", facts)


def render_metrics(collectors: Iterable[Collector]) -> bytes:
    """Return the page, of media type `CONTENT_TYPE`."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)


def requests_by_class(totals: Delta) -> dict[tuple[str, ...], int]:
    """Return the number of exchanges by route, method and class of status."""
    result: dict[tuple[str, ...], int] = {}
    for route, method, status, counts in totals.each_exchange():
        label = (route or NO_ROUTE, method, status_class(status))
        result[label] = result.get(label, 0) + counts.durations.count
    return result


def durations_by_route(totals: Delta) -> dict[tuple[str, ...], Histogram]:
    """Return the durations of all exchanges but tunnels, by route."""
    result: dict[tuple[str, ...], Histogram] = {}
    for route, _, status, counts in totals.each_exchange():
        if status != SWITCHING_PROTOCOLS:
            result.setdefault((route or NO_ROUTE,), Histogram()).merge(counts.durations)
    return result


def status_class(status: int) -> str:
    """Return "2xx" and the like; "none" for no response, "other" beyond the five classes."""
    if status == 0:
        return "none"
    return f"{status // 100}xx" if 100 <= status < 600 else "other"


def counter(
    name: str, documentation: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
) -> Metric:
    """Return a family of counters; `_total` is added to its name."""
    family = CounterMetricFamily(PREFIX + name, documentation, labels=labels)
    for label_values, value in sorted(values.items()):
        family.add_metric(label_values, value)
    return family


def gauge(
    name: str, documentation: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
) -> Metric:
    """Return a family of values that go up and down."""
    family = GaugeMetricFamily(PREFIX + name, documentation, labels=labels)
    for label_values, value in sorted(values.items()):
        family.add_metric(label_values, value)
    return family


def histogram(
    name: str,
    documentation: str,
    labels: tuple[str, ...],
    values: Mapping[tuple[str, ...], Histogram],
) -> Metric:
    """Return a family of histograms with buckets at powers of two of a second."""
    family = HistogramMetricFamily(PREFIX + name, documentation, labels=labels)
    for label_values, durations in sorted(values.items(), key=lambda item: item[0]):
        counts = map(float, durations.cumulative(OCTAVES))
        buckets = [*zip(BOUNDS, counts, strict=True), ("+Inf", float(durations.count))]
        family.add_metric(label_values, buckets, durations.total)
    return family
