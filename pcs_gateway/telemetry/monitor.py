"""The specification's PerformanceMonitor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pcs_gateway.clock import Clock
from pcs_gateway.telemetry.metrics import (
    PerformanceMetrics,
    summarize_durations,
    summarize_errors,
    summarize_throughput,
)
from pcs_gateway.telemetry.resources import ResourceMeter
from pcs_gateway.telemetry.store import MeasurementStore

RATE_SECONDS: Final = 10.0
"""Throughput follows the present more closely than percentiles can."""


class PerformanceMonitor:
    """Says how the service is doing now, from what all workers measured and what the machine tells."""

    def __init__(self, store: MeasurementStore, clock: Clock, count_connections: Callable[[], int]) -> None:
        """
        Watch a store.

        Args:
            store: What the workers measured.
            clock: For the window and the rates.
            count_connections: Returns how many client connections are open, over all workers.
        """
        self._store = store
        self._clock = clock
        self._count_connections = count_connections
        self._meter = ResourceMeter(clock.monotonic())

    async def collect_metrics(self, window_seconds: float = 60.0) -> PerformanceMetrics:
        """Return the metrics of the last `window_seconds`; asynchronous because the specification says so."""
        now = self._clock.monotonic()
        recent = self._store.recent(now, window_seconds)
        lately = self._store.recent(now, RATE_SECONDS)
        return PerformanceMetrics(
            response_time=summarize_durations(recent.measured.durations()),
            throughput=summarize_throughput(lately, self._count_connections(), self._store.window.peak_rate),
            errors=summarize_errors(recent.measured),
            resources=self._meter.measure(now),
            window_seconds=recent.seconds,
        )
