"""
What the figures mean: warnings about the measurement itself, recommendations about the service.

Pure: from the configuration and the figures to sentences. Each threshold is a field of `Thresholds`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pcs_gateway.loadtest.config import LoadTestConfig
from pcs_gateway.loadtest.outcomes import Failure
from pcs_gateway.loadtest.report import LoadTestMetrics, LoadTestSummary


@dataclass(frozen=True, slots=True)
class Thresholds:
    """
    From when on something is said.

    Attributes:
        lateness: Seconds; the tester may be late by this much at the 99th percentile.
        few_requests: Fewer say little about the 95th percentile.
        waiting_share: Of the requests; more waited for a free connection.
        error_rate: Of the requests; more failed.
        tail: 99th percentile over median; more is a long tail,
        tail_seconds: if the 99th percentile is also longer than this.
        imbalance: The busiest instance's answers over the mean.
    """

    lateness: float = 0.01
    few_requests: int = 100
    waiting_share: float = 0.01
    error_rate: float = 0.01
    tail: float = 10.0
    tail_seconds: float = 0.05
    imbalance: float = 1.25


DEFAULT = Thresholds()

ADVICE = {
    Failure.CONNECTION_REFUSED: "nobody listens there, or the backlog is full",
    Failure.CONNECTION_TIMEOUT: "the machine does not answer, or its backlog is full",
    Failure.CONNECTION_FAILED: "look at the first failures for the reason",
    Failure.CONNECTION_RESET: "the service drops connections: it crashed, or ends keep-alive early",
    Failure.CONNECTION_CLOSED: "connections are closed under requests: compare keep-alive times",
    Failure.INCOMPLETE_RESPONSE: "the service breaks answers off",
    Failure.MALFORMED_RESPONSE: "the service does not speak HTTP/1.1 there",
    Failure.RESPONSE_TIMEOUT: "the service hangs, or is loaded beyond what it can do",
    Failure.NO_CONNECTION: "more arrive than are answered: allow more concurrent_users or lower the rate",
    Failure.UNEXPECTED_STATUS: "look at the statuses",
}


def warn(
    config: LoadTestConfig,
    summary: LoadTestSummary,
    metrics: LoadTestMetrics,
    thresholds: Thresholds = DEFAULT,
) -> Iterator[str]:
    """Say why the figures are to be taken with care."""
    if metrics.lateness.p99 > thresholds.lateness:
        yield (
            f"the load tester itself was late: {metrics.lateness.p99 * 1000:.1f} ms at the 99th percentile, "
            f"{metrics.lateness.max * 1000:.1f} ms at most; part of the response times is its own. "
            "Give it a core of its own or lower the rate"
        )
    if 0 < summary.total_requests < thresholds.few_requests:
        yield f"only {summary.total_requests} requests: the percentiles say little"
    if (
        config.is_open_loop
        and metrics.waited_for_connection > summary.total_requests * thresholds.waiting_share
    ):
        yield (
            f"{metrics.waited_for_connection} requests waited, for all {config.concurrent_users} connections "
            "were busy; the waiting is in their response time"
        )
    if not config.is_open_loop:
        yield (
            "closed loop: users wait for a slow service and ask it less often, so its pauses are counted "
            "less often than independent clients would meet them"
        )


def recommend(
    config: LoadTestConfig,
    summary: LoadTestSummary,
    metrics: LoadTestMetrics,
    thresholds: Thresholds = DEFAULT,
) -> Iterator[str]:
    """Say what the figures suggest."""
    if summary.total_requests == 0:
        yield "no request was sent: make the test longer or the rate higher"
        return
    if summary.error_rate > thresholds.error_rate:
        reason, count = next(iter(metrics.failures.items()))
        yield (
            f"{summary.error_rate:.1%} of the requests failed, most ({count}) with {reason}: "
            f"{ADVICE[Failure(reason)]}"
        )
    times = metrics.response_time
    if times.p99 > max(times.p50 * thresholds.tail, thresholds.tail_seconds):
        yield (
            f"the 99th percentile ({times.p99 * 1000:.1f} ms) is {times.p99 / times.p50:.0f} times p50: "
            "look for pauses, queues and one slow instance"
        )
    if len(metrics.instances) > 1:
        mean = sum(metrics.instances.values()) / len(metrics.instances)
        name, most = max(metrics.instances.items(), key=lambda item: item[1])
        if most > mean * thresholds.imbalance:
            yield f"{name} gave {most / mean:.2f} times the mean of answers: look at weights and strategy"
