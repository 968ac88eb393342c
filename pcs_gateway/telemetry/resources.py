"""What the machine is doing, read with psutil and turned into shares and rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import psutil

from pcs_gateway.telemetry.metrics import ResourceMetrics

LEAST_SECONDS: Final = 1.0
"""Rates over less time say nothing; two readers within a second get the same answer."""


class ResourceCounters(msgspec.Struct, frozen=True):
    """
    What the machine has counted at a moment.

    Attributes:
        at: Monotonic seconds.
        busy_seconds: CPU time of all cores that was not idle.
        cpu_seconds: CPU time of all cores.
        memory_usage: Share of memory that is not available, 0 to 1.
        disk_bytes: Read and written.
        network_bytes: Received and sent.
    """

    at: float
    busy_seconds: float
    cpu_seconds: float
    memory_usage: float
    disk_bytes: int
    network_bytes: int


def read_counters(now: float) -> ResourceCounters:
    """Read the machine's counters; what it does not have counts as 0."""
    busy, every = cpu_seconds(psutil.cpu_times()._asdict())
    memory = psutil.virtual_memory()
    disk = psutil.disk_io_counters()
    network = psutil.net_io_counters()
    return ResourceCounters(
        at=now,
        busy_seconds=busy,
        cpu_seconds=every,
        memory_usage=1.0 - memory.available / memory.total,
        disk_bytes=disk.read_bytes + disk.write_bytes if disk else 0,
        network_bytes=network.bytes_recv + network.bytes_sent if network else 0,
    )


def cpu_seconds(times: Mapping[str, float]) -> tuple[float, float]:
    """
    Return busy seconds and all seconds of the processors, from their times by kind.

    Guest time is part of user time (proc(5)), and waiting for a disk is idle time.
    """
    every = sum(seconds for kind, seconds in times.items() if not kind.startswith("guest"))
    return every - times.get("idle", 0.0) - times.get("iowait", 0.0), every


def rates_between(before: ResourceCounters, after: ResourceCounters) -> ResourceMetrics:
    """Return shares and rates of the time between two readings; a counter that went back counts as 0."""
    seconds = after.at - before.at
    cpu_seconds = after.cpu_seconds - before.cpu_seconds
    busy = (after.busy_seconds - before.busy_seconds) / cpu_seconds if cpu_seconds > 0 else 0.0
    return ResourceMetrics(
        cpu_usage=min(max(busy, 0.0), 1.0),
        memory_usage=after.memory_usage,
        disk_io=max(after.disk_bytes - before.disk_bytes, 0) / seconds if seconds > 0 else 0.0,
        network_io=max(after.network_bytes - before.network_bytes, 0) / seconds if seconds > 0 else 0.0,
    )


class ResourceMeter:
    """Remembers the last reading, so that each answer covers the time since the one before."""

    def __init__(self, now: float) -> None:
        """Take a first reading."""
        self._before = read_counters(now)
        self._answer = rates_between(self._before, self._before)

    def measure(self, now: float) -> ResourceMetrics:
        """Return what the machine did since the last answer, or that answer when it is under a second old."""
        if now - self._before.at >= LEAST_SECONDS:
            after = read_counters(now)
            self._answer = rates_between(self._before, after)
            self._before = after
        return self._answer
