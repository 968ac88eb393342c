"""The specification's metrics."""

import msgspec

from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.histogram import Histogram
from pcs_gateway.telemetry.metrics import (
    ErrorMetrics,
    PerformanceMetrics,
    ResourceMetrics,
    ResponseTimeMetrics,
    ThroughputMetrics,
    summarize_durations,
    summarize_errors,
    summarize_throughput,
)
from pcs_gateway.telemetry.recorder import Recorder
from pcs_gateway.telemetry.window import Recent
from tests.fakes.exchanges import make_record, make_refusal


def test_fields_are_those_of_the_specification() -> None:
    """The names that users know are there, in snake_case."""
    metrics = PerformanceMetrics(
        ResponseTimeMetrics(), ThroughputMetrics(), ErrorMetrics(), ResourceMetrics()
    )

    assert msgspec.to_builtins(metrics) == {
        "response_time": {"p50": 0.0, "p95": 0.0, "p99": 0.0, "average": 0.0, "max": 0.0},
        "throughput": {"requests_per_second": 0.0, "concurrent_users": 0, "peak_load": 0.0},
        "errors": {"error_rate": 0.0, "error_count": 0, "error_types": {}},
        "resources": {"cpu_usage": 0.0, "memory_usage": 0.0, "disk_io": 0.0, "network_io": 0.0},
        "window_seconds": 0.0,
    }


def test_durations_are_summarized() -> None:
    """A hundred durations of 1 to 100 ms have the percentiles that everybody expects, within 1 %."""
    durations = Histogram()
    for milliseconds in range(1, 101):
        durations.record(milliseconds / 1000)
    summary = summarize_durations(durations)

    assert (0.0505, 0.1) == (summary.average, summary.max)
    for expected, value in ((0.050, summary.p50), (0.095, summary.p95), (0.099, summary.p99)):
        assert abs(value / expected - 1) <= 0.01


class TestErrors:
    def test_error_rate_is_a_share(self) -> None:
        """One 500 and one refusal for lack of backends, among four exchanges, are one half."""
        recorder = Recorder()
        for record in (
            make_record(),
            make_refusal(404, "no_route"),
            make_record(status=500),
            make_refusal(503, "queue_full"),
        ):
            recorder.record(record)
        expected = ErrorMetrics(0.5, 2, {"http_500": 1, "queue_full": 1})

        assert expected == summarize_errors(recorder.take_delta())

    def test_no_exchange_is_no_error(self) -> None:
        """Without traffic the rate is 0."""
        assert ErrorMetrics(0.0, 0, {}) == summarize_errors(Delta())


class TestThroughput:
    def test_peak_is_never_below_the_present(self) -> None:
        """Before the first step is complete the present rate is the peak."""
        recorder = Recorder()
        for _ in range(20):
            recorder.record(make_record())
        lately = Recent(recorder.take_delta(), 4.0)

        assert ThroughputMetrics(5.0, 3, 5.0) == summarize_throughput(lately, 3, 2.0)
        assert ThroughputMetrics(5.0, 3, 9.0) == summarize_throughput(lately, 3, 9.0)
