"""CPU and memory of this instance, as it tells them itself."""

import psutil

from pcs_gateway.clock import Clock

SHORTEST_WINDOW = 0.5
"""Seconds; whoever reads again sooner gets the same figures, not those of a few milliseconds."""


class ResourceUsage:
    """
    The process's own use of the machine.

    Args:
        clock: Tells how old a reading is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._process = psutil.Process()
        self._process.cpu_percent(None)
        self._read_at = clock.monotonic()
        self._cpu_usage = 0.0

    def cpu_usage(self) -> float:
        """Give the share of one core used since the last reading; above 1 with several threads."""
        now = self._clock.monotonic()
        if now - self._read_at >= SHORTEST_WINDOW:
            self._cpu_usage = self._process.cpu_percent(None) / 100
            self._read_at = now
        return self._cpu_usage

    def memory_bytes(self) -> int:
        """Give the resident set's size."""
        resident: int = self._process.memory_info().rss
        return resident

    def memory_usage(self) -> float:
        """Give the resident set as a share of the machine's memory."""
        total: int = psutil.virtual_memory().total
        return self.memory_bytes() / total
