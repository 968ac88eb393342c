"""Traffic of our own load tester beside a test, in a thread of its own, with every outcome counted."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from pcs_gateway.loadtest import LoadTestConfig, LoadTester, TestScenario
from pcs_gateway.loadtest.measurements import Measurements
from pcs_gateway.loadtest.outcomes import Failure
from pcs_gateway.loadtest.report import LoadTestReport

NEVER_SENT = frozenset(map(str, (Failure.CONNECTION_REFUSED, Failure.CONNECTION_TIMEOUT)))
"""What may become of clients who come after the listeners were closed: their requests were not sent."""

LONG = 600.0
"""Seconds; longer than any test."""


class Traffic:
    """One load test on its way; use `traffic` to make one."""

    def __init__(self, config: LoadTestConfig) -> None:
        self._config = config
        self._is_on_its_way = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")
        self._report: LoadTestReport | None = None

    def _run(self) -> None:
        uvloop.run(self._put_load())

    async def _put_load(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = LoadTester().start(self._config)
        self._is_on_its_way.set()
        await self._stop.wait()
        self._report = await self._running.stop()

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._is_on_its_way.wait()

    def stop(self) -> None:
        """Send nothing more, and return when all that was sent has ended."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def measured(self) -> Measurements:
        """The counters as they are now."""
        return self._running.measurements

    @property
    def report(self) -> LoadTestReport:
        """What came of it; there is none before the end."""
        assert self._report is not None
        return self._report

    @property
    def answered(self) -> int:
        """Complete answers with an expected status."""
        return self.measured.successful

    @property
    def failures(self) -> dict[str, int]:
        """Failed requests by reason, and by status where the answer was complete."""
        found = {str(failure): count for failure, count in self.measured.failures.items()}
        if found.pop(str(Failure.UNEXPECTED_STATUS), 0):
            found |= {str(status): count for status, count in self.measured.statuses.items() if status >= 400}
        return found

    @property
    def losses(self) -> dict[str, int]:
        """The failures of requests that were sent."""
        return {what: count for what, count in self.failures.items() if what not in NEVER_SENT}

    @property
    def instances(self) -> Counter[str]:
        """Complete answers by the instance that gave them."""
        return Counter(self.measured.instances)

    @property
    def longest(self) -> float:
        """Seconds from the moment a request was due to its last byte, at most."""
        return self.measured.response_time.maximum

    @property
    def connections(self) -> int:
        """How many connections were made."""
        return self.measured.connections


@contextmanager
def traffic(address: str, path: str = "/", **config: Any) -> Iterator[Traffic]:
    """
    GETs to `address` (host:port) until the block ends.

    Args:
        address: Where the gateway listens.
        path: What is requested.
        config: Fields of `LoadTestConfig`; without `target_rps` users who send on with every answer.
    """
    values: dict[str, Any] = {
        "base_url": f"http://{address}",
        "duration": LONG,
        "concurrent_users": 16,
        "test_scenarios": (TestScenario(path=path),),
        "connect_timeout": 10.0,
        "seed": 1,
    }
    load = Traffic(LoadTestConfig(**(values | config)))
    load.start()
    try:
        yield load
    finally:
        load.stop()
