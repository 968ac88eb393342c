"""
What it costs to shed one request: from the bytes of its head to the bytes of its 503, record included.

    python -m benchmarks.shedding

One worker's data plane in this process, on transports that go nowhere: no system call is counted. Beside it
what the same request costs that the route answers by itself, the least that any answer costs.
"""

import asyncio
import os
import socket
import time
from random import Random
from typing import Any

import uvloop

from benchmarks import command_line
from benchmarks.comparison import median
from pcs_gateway.backends.backend import Backend
from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.clock import SystemClock
from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.processes.tickets import Tickets
from pcs_gateway.proxy.data_plane import DataPlane
from pcs_gateway.proxy.downstream import DownstreamConnection
from pcs_gateway.telemetry.recorder import Recorder

REQUESTS = 2_000
ROUNDS = 21
HEAD = (
    b"GET %b HTTP/1.1\r\nHost: pcs.example.com\r\nUser-Agent: benchmark\r\nAccept: application/json\r\n"
    b"Accept-Encoding: gzip, br\r\nAuthorization: Bearer 0123456789abcdef\r\nX-Tenant: one\r\n\r\n"
)
CONFIGURATION: dict[str, Any] = {
    "pools": {
        "pcs": {
            "backends": [{"url": "http://127.0.0.1:9", "name": "one"}],
            "connections": {"max_per_backend": 1},
            "queue": {"max_waiting": 0},
        }
    },
    "routes": [{"match": {"path": "/fixed"}, "respond": {"body": "{}"}}, {"pool": "pcs"}],
}


class NowhereTransport(asyncio.Transport):
    """Forgets what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 40000), "socket": socket.socket()})
        self.last = b""

    def write(self, data: Any) -> None:
        self.last = data

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It never fills."""

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.get_extra_info("socket").close()


def measure(path: bytes = b"/", expected: bytes = b"HTTP/1.1 503 ", rounds: int = ROUNDS) -> float:
    """Return the CPU seconds of one answer, the median of some rounds."""
    return uvloop.run(_measure(path, expected, rounds))


async def _measure(path: bytes, expected: bytes, rounds: int) -> float:
    plane, scoreboard = _full_plane()
    transport = NowhereTransport()
    connection = DownstreamConnection(plane, b"http")
    connection.connection_made(transport)
    head = HEAD % path
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(REQUESTS):
            connection.data_received(head)
        plane.settle()
        spent.append((time.process_time() - began) / REQUESTS)
        plane.recorder.take_delta()
        assert transport.last.startswith(expected), transport.last
    connection.connection_lost(None)
    transport.abort()
    scoreboard.close()
    return median(spent)


def _full_plane() -> tuple[DataPlane, Scoreboard]:
    """Make a data plane whose only backend is at its limit."""
    config = GatewayConfig.model_validate(CONFIGURATION)
    scoreboard = Scoreboard.create()
    row = scoreboard.occupy(1, Role.WORKER, 1, 1)
    plane = DataPlane(
        asyncio.get_running_loop(),
        SystemClock(),
        Random(1),
        os.urandom,
        scoreboard,
        row,
        Tickets.create(),
        Recorder(),
        lambda _: None,
    )
    backend = Backend(
        "pcs",
        "one",
        "http://127.0.0.1:9",
        "http",
        "127.0.0.1",
        9,
        ("127.0.0.1",),
        1,
        0,
        1,
        ready=True,
        reason="",
    )
    plane.replace_pools([PoolSnapshot("pcs", 0, (backend,))], config.pools)
    plane.configure(config.routes, config.limits, config.timeouts, config.forwarding)
    lease = plane.pools["pcs"].balancer.route_request(None, 0.0)
    assert lease is not None
    return plane, scoreboard


def main() -> None:
    """Print both figures."""
    command_line.parser("benchmarks.shedding", __doc__).parse_args()
    print(f"shed one request             {measure() * 1e6:6.1f} µs")
    print(f"a fixed answer of the route  {measure(b'/fixed', b'HTTP/1.1 200 ') * 1e6:6.1f} µs")


if __name__ == "__main__":
    main()
