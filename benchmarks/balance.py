"""
How evenly the gateway's workers share: in flight over the backends, connections over the workers.

The backends live in one process and answer after an exponentially distributed time, so that many
exchanges are in flight; that process counts (max - min) in flight per weight exactly, over time.
"""

import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import accounting, load, servers
from benchmarks.scenarios import STEADY

WEIGHTS = (1, 1, 2)
MEAN_DELAY = 0.02
CONNECTIONS = STEADY.connections
WARM_SECONDS = 1.0
EMPTY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Balance:
    """What was seen with one number of workers."""

    workers: int
    gap: float
    """Time average of (max - min) in flight per weight."""
    connections: tuple[int, ...]
    """Client connections of each process that holds any."""
    requests_per_second: float
    errors: int

    @property
    def spread(self) -> float:
        """The largest deviation of a worker's connections from the mean, as a ratio of the mean."""
        mean = sum(self.connections) / self.workers
        idle = [0] * (self.workers - len(self.connections))
        return max(abs(count - mean) for count in (*self.connections, *idle)) / mean


def measure(directory: Path, workers: int, seconds: float, command: tuple[str, ...]) -> Balance:
    """Load the gateway steadily for some seconds and look at both."""
    with servers.delaying_backends(directory, WEIGHTS, MEAN_DELAY) as backends:
        setup = servers.Setup(directory, backends.port, workers, weights=WEIGHTS, gateway_command=command)
        with servers.gateway(setup, f"gateway-{workers}") as gateway:
            load.run(STEADY, gateway.url, 2 * WARM_SECONDS)  # until the last worker accepts too
            _wait_until_empty(gateway)
            return _observe(gateway, backends, workers, seconds)


def measure_in_turns(
    directory: Path, worker_counts: Sequence[int], rounds: int, seconds: float, command: tuple[str, ...]
) -> list[list[Balance]]:
    """
    Measure each number of workers for so many seconds in all, a round after the other.

    The machine's own restlessness moves the gap more than the number of workers does, so all numbers take
    turns: what is compared was measured side by side.
    """
    found: list[list[Balance]] = [[] for _ in worker_counts]
    for _ in range(rounds):
        for workers, balances in zip(worker_counts, found, strict=True):
            balances.append(measure(directory, workers, seconds / rounds, command))
    return found


def _wait_until_empty(gateway: servers.Server) -> None:
    """Wait until the connections of a load before are gone: what still closes is not a fair beginning."""
    deadline = time.monotonic() + EMPTY_SECONDS
    while connections_by_process(gateway) and time.monotonic() < deadline:
        time.sleep(0.05)


def _observe(gateway: servers.Server, backends: servers.Server, workers: int, seconds: float) -> Balance:
    with load.background(STEADY, gateway.url, seconds + 2 * WARM_SECONDS) as running:
        time.sleep(WARM_SECONDS)
        _read_gap(backends)
        time.sleep(seconds)
        gap = _read_gap(backends)
        connections = connections_by_process(gateway)
        result = running.result()
    return Balance(workers, gap, connections, result.requests / result.duration, result.errors)


def connections_by_process(server: servers.Server) -> tuple[int, ...]:
    """Return how many established connections to the server's port each of its processes holds."""
    counts = [
        sum(
            1
            for connection in psutil.Process(stat.pid).net_connections("tcp")
            if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == server.port
        )
        for stat in accounting.tree(server.pid)
    ]
    return tuple(count for count in counts if count)


def _read_gap(backends: servers.Server) -> float:
    with urllib.request.urlopen(f"{backends.url}/imbalance", timeout=5) as answer:
        return float(answer.read())
