"""One measurement: a bounded load on one server, and what the server's processes spent on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import accounting, load
from benchmarks.scenarios import Scenario
from benchmarks.servers import Server


@dataclass(frozen=True, slots=True)
class Sample:
    """One server under one scenario in one round. Times in seconds, memory in bytes."""

    requests: int
    requests_per_second: float
    bytes_per_second: float
    cpu_per_request: float
    """User and system time of all the server's processes."""
    context_switches_per_request: float
    p50: float
    p99: float
    rss: int
    pss: int
    errors: int


def measure(server: Server, scenario: Scenario, seconds: float) -> Sample:
    """
    Load a server for some seconds.

    Raises:
        load.LoadError: nothing was answered.

    """
    before = accounting.usage(server.pid)
    result = load.run(scenario, server.url, seconds)
    used = accounting.usage(server.pid).since(before)
    if not result.requests:
        message = f"{server.name} answered no request of {scenario.name}"
        raise load.LoadError(message)
    held = accounting.memory(server.pid)
    return Sample(
        requests=result.requests,
        requests_per_second=result.requests / result.duration,
        bytes_per_second=result.bytes / result.duration,
        cpu_per_request=used.cpu / result.requests,
        context_switches_per_request=used.context_switches / result.requests,
        p50=result.p50,
        p99=result.p99,
        rss=held.rss,
        pss=held.pss,
        errors=result.errors,
    )


def rotated(names: Sequence[str], number: int) -> list[str]:
    """Return the names in another order each round, so that nobody always follows the same one."""
    first = number % len(names)
    order = [*names[first:], *names[:first]]
    return order if (number // len(names)) % 2 == 0 else order[::-1]
