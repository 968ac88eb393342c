"""The specification's PerformanceMonitor."""

import asyncio

from pcs_gateway.telemetry.monitor import PerformanceMonitor
from pcs_gateway.telemetry.recorder import Recorder
from pcs_gateway.telemetry.store import MeasurementStore
from tests.fakes.clock import FakeClock
from tests.fakes.exchanges import make_record, make_refusal


def measured(clock: FakeClock) -> MeasurementStore:
    """Return a store of 50 exchanges of 10 ms each, of which 5 were refused, measured now."""
    recorder = Recorder()
    for _ in range(45):
        recorder.record(make_record(duration=0.01))
    for _ in range(5):
        recorder.record(make_refusal(503, "queue_full", duration=0.01))
    store = MeasurementStore(clock.monotonic())
    clock.advance(5.0)
    store.add(recorder.take_delta(), clock.monotonic())
    return store


async def test_metrics_are_those_of_the_last_minute() -> None:
    """Durations, rates, errors and users come from the store and the scoreboard."""
    clock = FakeClock()
    metrics = await PerformanceMonitor(measured(clock), clock, lambda: 12).collect_metrics()

    assert abs(metrics.response_time.p95 / 0.01 - 1) <= 0.01
    assert (10.0, 12, 10.0) == (
        metrics.throughput.requests_per_second,
        metrics.throughput.concurrent_users,
        metrics.throughput.peak_load,
    )
    assert (0.1, 5, {"queue_full": 5}) == (
        metrics.errors.error_rate,
        metrics.errors.error_count,
        metrics.errors.error_types,
    )
    assert metrics.window_seconds == 5.0
    assert 0.0 < metrics.resources.memory_usage < 1.0


async def test_throughput_follows_the_present() -> None:
    """Half a minute after the last exchange the rate is 0, while the minute still has percentiles."""
    clock = FakeClock()
    monitor = PerformanceMonitor(measured(clock), clock, lambda: 0)
    clock.advance(30.0)
    metrics = await monitor.collect_metrics()

    assert (0.0, 5.0) == (metrics.throughput.requests_per_second, metrics.throughput.peak_load)
    assert metrics.response_time.max == 0.01


async def test_several_may_ask_at_once() -> None:
    """Alerts, dashboard and scaling see the same numbers."""
    clock = FakeClock()
    monitor = PerformanceMonitor(measured(clock), clock, lambda: 1)
    first, second = await asyncio.gather(monitor.collect_metrics(), monitor.collect_metrics())

    assert first == second
