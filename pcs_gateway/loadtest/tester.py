"""The load tester: a configuration in, a report out."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from random import Random

from pcs_gateway.clock import Clock, SystemClock
from pcs_gateway.loadtest.config import LoadTestConfig
from pcs_gateway.loadtest.judgement import recommend, warn
from pcs_gateway.loadtest.measurements import Measurements
from pcs_gateway.loadtest.report import LoadTestReport, detail, summarize
from pcs_gateway.loadtest.runner import TestRunner


class RunningLoadTest:
    """
    A load test in the background.

    Args:
        config: What it does.
        clock: Time.
    """

    def __init__(self, config: LoadTestConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._runner = TestRunner(config, clock, Random(config.seed))
        self._task = asyncio.create_task(self._runner.execute(), name="load test")

    @property
    def measurements(self) -> Measurements:
        """The counters as they are now; read only."""
        return self._runner.measurements

    async def stop(self) -> LoadTestReport:
        """Send nothing more, wait for what was sent, and report."""
        self._runner.stop()
        return await self.wait()

    async def wait(self) -> LoadTestReport:
        """Wait for the end, and report.

        Raises:
            OSError: The server's name cannot be resolved.
        """
        await self._task
        counted = self._runner.measurements
        summary, metrics = summarize(counted), detail(counted)
        return LoadTestReport(
            summary=summary,
            detailed_metrics=metrics,
            recommendations=tuple(recommend(self._config, summary, metrics)),
            warnings=tuple(warn(self._config, summary, metrics)),
            timestamp=datetime.fromtimestamp(self._clock.time(), UTC),
        )

    async def cancel(self) -> None:
        """End at once; what is in flight is dropped."""
        self._task.cancel()
        await asyncio.wait({self._task})


class LoadTester:
    """
    Puts load on a service and says how it bore it.

    Args:
        clock: Time.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    async def run_load_test(self, config: LoadTestConfig) -> LoadTestReport:
        """Run one load test from start to end.

        Raises:
            OSError: The server's name cannot be resolved.
        """
        running = self.start(config)
        try:
            return await running.wait()
        except asyncio.CancelledError:
            await running.cancel()
            raise

    def start(self, config: LoadTestConfig) -> RunningLoadTest:
        """Begin a load test in the background of the running event loop."""
        return RunningLoadTest(config, self._clock)
