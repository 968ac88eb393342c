"""The specification's metrics, and how they follow from what was measured."""

from __future__ import annotations

import msgspec

from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.histogram import Histogram
from pcs_gateway.telemetry.window import Recent


class ResponseTimeMetrics(msgspec.Struct, frozen=True):
    """Durations of whole exchanges in seconds; all 0.0 when there was none."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    average: float = 0.0
    max: float = 0.0


class ThroughputMetrics(msgspec.Struct, frozen=True):
    """
    How much traffic there is.

    Attributes:
        requests_per_second: Exchanges that ended, per second, in the last ten to twenty seconds.
        concurrent_users: Client connections that are open now.
        peak_load: The most requests per second of any ten seconds since the start.
    """

    requests_per_second: float = 0.0
    concurrent_users: int = 0
    peak_load: float = 0.0


class ErrorMetrics(msgspec.Struct, frozen=True):
    """
    What went wrong; see `record.error_type` for what an error is.

    Attributes:
        error_rate: Share of the exchanges that were errors, 0 to 1.
        error_count: How many were.
        error_types: How many of each type: a reason of the gateway, or "http_500" … of a backend.
    """

    error_rate: float = 0.0
    error_count: int = 0
    error_types: dict[str, int] = {}


class ResourceMetrics(msgspec.Struct, frozen=True):
    """
    How busy the machine is on which the gateway runs.

    Attributes:
        cpu_usage: Busy share of all cores, 0 to 1.
        memory_usage: Share of memory that is not available, 0 to 1.
        disk_io: Bytes read and written per second.
        network_io: Bytes received and sent per second, over all interfaces.
    """

    cpu_usage: float = 0.0
    memory_usage: float = 0.0
    disk_io: float = 0.0
    network_io: float = 0.0


class PerformanceMetrics(msgspec.Struct, frozen=True):
    """
    The state of the service in figures, as the specification names them.

    Attributes:
        window_seconds: The time that response times and errors cover; short after a start.
    """

    response_time: ResponseTimeMetrics
    throughput: ThroughputMetrics
    errors: ErrorMetrics
    resources: ResourceMetrics
    window_seconds: float = 0.0


def summarize_durations(durations: Histogram) -> ResponseTimeMetrics:
    """Return percentiles, average and maximum of a histogram."""
    p50, p95, p99 = durations.percentiles((0.5, 0.95, 0.99))
    return ResponseTimeMetrics(p50, p95, p99, durations.average, durations.maximum)


def summarize_errors(measured: Delta) -> ErrorMetrics:
    """Return how many exchanges were errors, and of which types."""
    count = sum(measured.errors.values())
    exchanges = measured.count
    return ErrorMetrics(count / exchanges if exchanges else 0.0, count, dict(measured.errors))


def summarize_throughput(lately: Recent, concurrent_users: int, peak_rate: float) -> ThroughputMetrics:
    """Return the rate of the last seconds; the peak is never below it."""
    rate = lately.rate(lately.measured.count)
    return ThroughputMetrics(rate, concurrent_users, max(peak_rate, rate))
