"""What the machine is doing."""

import time
from pathlib import Path

import msgspec
import pytest

from pcs_gateway.telemetry.metrics import ResourceMetrics
from pcs_gateway.telemetry.resources import (
    ResourceCounters,
    ResourceMeter,
    cpu_seconds,
    rates_between,
    read_counters,
)

BEFORE = ResourceCounters(
    at=100.0, busy_seconds=50.0, cpu_seconds=400.0, memory_usage=0.5, disk_bytes=1000, network_bytes=5000
)


class TestRatesBetween:
    def test_rates_are_per_second(self) -> None:
        """Four seconds of two cores, one of them busy."""
        after = ResourceCounters(104.0, 54.0, 408.0, 0.25, 5000, 5400)

        assert ResourceMetrics(0.5, 0.25, 1000.0, 100.0) == rates_between(BEFORE, after)

    def test_no_time_has_no_rates(self) -> None:
        """The first answer knows the memory only."""
        assert ResourceMetrics(0.0, 0.5, 0.0, 0.0) == rates_between(BEFORE, BEFORE)

    def test_counter_that_went_back_counts_as_zero(self) -> None:
        """A network interface that was removed takes its bytes with it."""
        after = msgspec.structs.replace(BEFORE, at=101.0, cpu_seconds=402.0, network_bytes=10, disk_bytes=0)

        assert ResourceMetrics(0.0, 0.5, 0.0, 0.0) == rates_between(BEFORE, after)


def test_busy_is_what_is_neither_idle_nor_waiting() -> None:
    """Time of guests is not counted twice."""
    times = {"user": 5.0, "system": 2.0, "idle": 10.0, "iowait": 1.0, "guest": 3.0, "guest_nice": 0.5}

    assert (7.0, 18.0) == cpu_seconds(times)


def test_machine_can_be_read() -> None:
    """Memory and CPU time are there, and in the ranges that they have."""
    counters = read_counters(7.0)

    assert 0.0 < counters.memory_usage < 1.0
    assert 0.0 < counters.busy_seconds < counters.cpu_seconds
    assert counters.at == 7.0


def test_memory_is_that_of_the_kernel() -> None:
    """The share agrees with what the kernel calls available."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))

    assert read_counters(0.0).memory_usage == pytest.approx(1 - available / total, abs=0.05)


class TestMeter:
    def test_work_shows(self) -> None:
        """A core that computes for a while makes the machine busy."""
        meter = ResourceMeter(0.0)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            sum(range(1000))

        assert meter.measure(1.5).cpu_usage > 0.0

    def test_readers_within_a_second_get_the_same_answer(self) -> None:
        """Two readers do not shorten each other's time until rates say nothing."""
        meter = ResourceMeter(0.0)
        first = meter.measure(1.0)

        assert meter.measure(1.9) is first
        assert meter.measure(2.0) is not first
