"""What a load test found: plain values, and how they are made from the counters."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from pcs_gateway.loadtest.measurements import Measurements
from pcs_gateway.telemetry.histogram import Histogram


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class LoadTestSummary(_Value):
    """
    The specification's figures.

    Attributes:
        total_requests: Requests whose time had come.
        successful_requests: Complete answers with an expected status.
        failed_requests: All others.
        average_response_time: Seconds, from the intended moment.
        p95_response_time: Likewise.
        throughput: Successful requests per second of the whole test.
        error_rate: Failed requests as a share of all, 0 to 1.
    """

    total_requests: int
    successful_requests: int
    failed_requests: int
    average_response_time: float
    p95_response_time: float
    throughput: float
    error_rate: float


class Durations(_Value):
    """
    A distribution of seconds.

    Attributes:
        count: How many durations it is of.
    """

    count: int
    average: float
    p50: float
    p90: float
    p95: float
    p99: float
    p99_9: float
    max: float

    @classmethod
    def of(cls, histogram: Histogram) -> Durations:
        p50, p90, p95, p99, p99_9 = histogram.percentiles((0.5, 0.9, 0.95, 0.99, 0.999))
        return cls(
            count=histogram.count,
            average=histogram.average,
            p50=p50,
            p90=p90,
            p95=p95,
            p99=p99,
            p99_9=p99_9,
            max=histogram.maximum,
        )


class ScenarioMetrics(_Value):
    """One scenario's share."""

    successful_requests: int
    failed_requests: int
    response_time: Durations


class SecondMetrics(_Value):
    """
    One second of the test.

    Attributes:
        second: Counted from 0.
        answered: Complete answers, whatever their status.
        failed: Failed requests, those with an unexpected status included.
    """

    second: int
    answered: int
    failed: int


class FailedRequest(_Value):
    """
    One failure in full.

    Attributes:
        at: Seconds after the start.
        scenario: What was requested.
        failure: Why it failed.
        detail: More about it.
    """

    at: float
    scenario: str
    failure: str
    detail: str


class LoadTestMetrics(LoadTestSummary):
    """
    All figures: those of the summary, and what is behind them.

    Attributes:
        duration: Seconds from the start to the last request's end.
        offered_rate: Requests per second that were begun while sending went on.
        response_time: Seconds from the intended moment to the last byte, of every complete answer and, as a
            lower bound, of every request that was given up.
        service_time: The same from the actual sending: what a tester that waits its turn would have seen.
        lateness: Seconds by which the tester itself was late.
        statuses: Complete answers by status.
        instances: Complete answers by the instance that gave them.
        failures: Failed requests by reason.
        scenarios: By name.
        seconds: Second by second.
        failed: The first failures in full.
        peak_in_flight: The most requests at once.
        waited_for_connection: Requests that all connections were too busy for at their time.
        connections: Connections that were made.
        body_bytes: Bytes of all bodies received.
    """

    duration: float
    offered_rate: float
    response_time: Durations
    service_time: Durations
    lateness: Durations
    statuses: dict[int, int]
    instances: dict[str, int]
    failures: dict[str, int]
    scenarios: dict[str, ScenarioMetrics]
    seconds: tuple[SecondMetrics, ...]
    failed: tuple[FailedRequest, ...]
    peak_in_flight: int
    waited_for_connection: int
    connections: int
    body_bytes: int


class LoadTestReport(_Value):
    """
    The result.

    Attributes:
        summary: The specification's figures.
        detailed_metrics: All figures.
        recommendations: What the figures suggest, in sentences.
        warnings: Why the figures are to be taken with care, in sentences; empty when they are not.
        timestamp: When the test ended.
    """

    summary: LoadTestSummary
    detailed_metrics: LoadTestMetrics
    recommendations: tuple[str, ...]
    warnings: tuple[str, ...]
    timestamp: datetime


def summarize(counted: Measurements) -> LoadTestSummary:
    """Give the specification's figures."""
    total = counted.successful + counted.failed
    duration = counted.ended - counted.started
    return LoadTestSummary(
        total_requests=total,
        successful_requests=counted.successful,
        failed_requests=counted.failed,
        average_response_time=counted.response_time.average,
        p95_response_time=counted.response_time.percentile(0.95),
        throughput=counted.successful / duration if duration > 0 else 0.0,
        error_rate=counted.failed / total if total else 0.0,
    )


def detail(counted: Measurements) -> LoadTestMetrics:
    """Give all figures."""
    duration = counted.ended - counted.started
    last_second = max([*counted.answered_by_second, *counted.failed_by_second], default=-1)
    return LoadTestMetrics(
        **dict(summarize(counted)),
        duration=duration,
        offered_rate=counted.begun / max(counted.last_due, 1.0),
        response_time=Durations.of(counted.response_time),
        service_time=Durations.of(counted.service_time),
        lateness=Durations.of(counted.lateness),
        statuses=dict(sorted(counted.statuses.items())),
        instances=dict(sorted(counted.instances.items())),
        failures={failure.value: count for failure, count in counted.failures.most_common()},
        scenarios={
            name: ScenarioMetrics(
                successful_requests=one.successful,
                failed_requests=one.failed,
                response_time=Durations.of(one.response_time),
            )
            for name, one in sorted(counted.scenarios.items())
        },
        seconds=tuple(
            SecondMetrics(
                second=second,
                answered=counted.answered_by_second[second],
                failed=counted.failed_by_second[second],
            )
            for second in range(last_second + 1)
        ),
        failed=tuple(
            FailedRequest(at=one.at, scenario=one.scenario, failure=one.failure.value, detail=one.detail)
            for one in counted.examples
        ),
        peak_in_flight=counted.peak_in_flight,
        waited_for_connection=counted.waited,
        connections=counted.connections,
        body_bytes=counted.body_bytes,
    )
