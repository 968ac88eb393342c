"""
How evenly the gateway's workers share: in flight over the backends, connections over the workers.

The backends live in one process and answer after an exponentially distributed time, so that many
exchanges are in flight; that process counts (max - min) in flight per weight exactly, over time.

Requests arrive on a schedule. With users who send on as soon as they are answered, what is measured is mostly
how long a busy machine takes from an answer to the next request: until then there is a gap where the answer
came from, however well the next backend is chosen. That figure is shown beside.
"""

import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import accounting, load, open_loop, servers
from benchmarks.scenarios import STEADY

WEIGHTS = (1, 1, 2)
MEAN_DELAY = 0.06
"""Seconds; what one instance of PCS takes to read a prompt with 16 clients."""

ARRIVALS = 600.0
"""Requests per second, Poisson: 36 in flight on average, nine for each weight."""

USERS = STEADY
CONNECTIONS = USERS.connections
WARM_SECONDS = 1.0
EMPTY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Balance:
    """What was seen with one number of workers."""

    workers: int
    gap: float
    """Time average of (max - min) in flight per weight while requests arrive steadily."""
    gap_with_users: float
    """The same while 64 users each send the next request with the answer to the last."""
    connections: tuple[int, ...]
    """Client connections of each process that holds any."""
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
            load.run(USERS, gateway.url, 2 * WARM_SECONDS)  # until the last worker accepts too
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
    with load.background(USERS, gateway.url, seconds + 2 * WARM_SECONDS) as users:
        gap_with_users = _watch(backends, seconds)
        connections = connections_by_process(gateway)
        answered = users.result()
    _wait_until_empty(gateway)
    plan = open_loop.Plan(ARRIVALS, WARM_SECONDS, seconds)
    with open_loop.background(plan, gateway.url) as arrivals:
        gap = _watch(backends, seconds)
        loaded = arrivals.result()
    failed = sum(kind.failed for kind in loaded.kinds.values())
    return Balance(workers, gap, gap_with_users, connections, answered.errors + failed)


def _watch(backends: servers.Server, seconds: float) -> float:
    time.sleep(WARM_SECONDS)
    _read_gap(backends)
    time.sleep(seconds)
    return _read_gap(backends)


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
