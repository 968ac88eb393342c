"""
The guard of the data path's cost, counted and not timed.

A plain proxied exchange makes no task, no future, no timer, one write per leg, and no more calls than
`tests/data/plain_exchange_calls.txt` allows: for a client that repeats its fields, and for one that numbers
its requests.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest

from pcs_gateway.backends.backend import Backend
from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.clock import SystemClock
from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.processes.messages import EvidenceEntry
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.processes.tickets import Tickets
from pcs_gateway.proxy.data_plane import DataPlane
from pcs_gateway.proxy.downstream import DownstreamConnection
from pcs_gateway.proxy.upstream import UpstreamConnection
from pcs_gateway.proxy.upstream_pool import UpstreamMember
from pcs_gateway.telemetry.recorder import Recorder
from tests.fakes.backend import echoing
from tests.fakes.gateway import talking

BUDGET = Path(__file__).parents[2] / "data" / "plain_exchange_calls.txt"
COUNTED = 256
"""Exchanges counted: as many as one draw of identities serves, so that the count has no remainder."""

FIELDS = (
    b"Host: 127.0.0.1:8080\r\nUser-Agent: python-httpx/0.27.0\r\nAccept: application/json\r\n"
    b"Accept-Encoding: identity\r\nAuthorization: Bearer abcdefghijklmnop\r\nX-Tenant: acme\r\n"
    b"X-Request-Source: guard\r\nAccept-Language: en\r\nCache-Control: no-cache\r\nConnection: keep-alive\r\n"
)
REPEATED = b"GET /api/v1/prompts/3f2b HTTP/1.1\r\n" + FIELDS + b"\r\n"
NUMBERED = b"GET /api/v1/prompts/3f2b HTTP/1.1\r\nX-Request-ID: number-%06d\r\n" + FIELDS + b"\r\n"
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 20:15:21 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n"
    b"x-content-type-options: nosniff\r\nx-frame-options: DENY\r\n\r\n" + b"x" * 1024
)


class TickingClock(SystemClock):
    """A clock that moves when it is read: the machine's speed must not decide what is due."""

    def __init__(self) -> None:
        self._now = 1000.0

    def monotonic(self) -> float:
        self._now += 1e-5
        return self._now


class GuardedLoop:
    """A loop that must not be asked for anything."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a plain exchange asked the loop for {name}")


class CountingTransport:
    """A transport that counts what is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 50000)

    def set_write_buffer_limits(self, high: int) -> None:
        pass


class Legs:
    """A client's connection and a pooled one to a backend, without sockets."""

    def __init__(self) -> None:
        self._scoreboard = Scoreboard.create()
        self.row = self._scoreboard.occupy(1, Role.WORKER, 1, 1)
        self._tickets = Tickets.create(1)
        config = GatewayConfig.model_validate(
            {"pools": {"pcs": {"backends": [{"url": "http://127.0.0.1:1"}]}}}
        )
        backend = Backend(
            "pcs", "b0", "http://127.0.0.1:1", "http", "127.0.0.1", 1, ("127.0.0.1",), 1, 0, 1, ready=True
        )
        evidence: list[EvidenceEntry] = []
        self.plane = DataPlane(
            GuardedLoop(),  # type: ignore[arg-type]
            TickingClock(),
            Random(1),
            os.urandom,
            self._scoreboard,
            self.row,
            self._tickets,
            Recorder(),
            evidence.append,
        )
        self.plane.replace_pools((PoolSnapshot("pcs", 0, (backend,)),), config.pools)
        self.plane.configure(config.routes, config.limits, config.timeouts, config.forwarding)
        self.to_client, self.to_backend = CountingTransport(), CountingTransport()
        self._client = DownstreamConnection(self.plane, b"http")
        self._client.connection_made(self.to_client)  # type: ignore[arg-type]
        pool = self.plane.pools["pcs"]
        (member,) = pool.balancer.members
        assert isinstance(member, UpstreamMember)
        self._backend = UpstreamConnection(pool, member)
        self._backend.connection_made(self.to_backend)  # type: ignore[arg-type]
        pool.release(self._backend)

    def exchange(self, request: bytes, response: bytes = RESPONSE) -> None:
        """Let a request come from the client, and then its response from the backend."""
        self._client.data_received(request)
        self._backend.data_received(response)

    def close(self) -> None:
        self._tickets.close()
        self._scoreboard.close()


@pytest.fixture
def legs() -> Iterator[Legs]:
    """Both legs."""
    both = Legs()
    yield both
    both.close()


def repeated(number: int) -> bytes:
    """A request like all others of its client."""
    return bytes(bytearray(REPEATED))


def numbered(number: int) -> bytes:
    """A request that no other repeats."""
    return NUMBERED % number


def count_calls(legs: Legs, requests: list[bytes]) -> int:
    """Count the calls of Python and C functions that exchanges make."""
    calls = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    responses = [bytes(bytearray(RESPONSE)) for _ in requests]
    pairs = list(zip(requests, responses, strict=True))
    exchange = legs.exchange
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for request, response in pairs:
            exchange(request, response)
        legs.plane.settle()
    finally:
        sys.setprofile(before)
    # our own: one call of `exchange` and two of `data_received` each, which belong to the loop
    return calls - 3 * len(requests)


def budget(kind: str) -> int:
    """Read how many calls an exchange may make."""
    lines = BUDGET.read_text("utf-8").splitlines()
    numbers = dict(line.split() for line in lines if not line.startswith("#"))
    return int(numbers[kind])


KINDS: dict[str, Callable[[int], bytes]] = {"repeated": repeated, "numbered": numbered}


@pytest.mark.parametrize("kind", KINDS)
def test_exchange_makes_no_more_calls_than_recorded(legs: Legs, kind: str) -> None:
    """Calls of Python and C functions for each exchange, on average over many."""
    requests = [KINDS[kind](number) for number in range(3 * COUNTED)]
    for request in requests[: 2 * COUNTED]:
        legs.exchange(request)
    legs.plane.settle()

    calls = count_calls(legs, requests[2 * COUNTED :])

    assert math.ceil(calls / COUNTED) <= budget(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_exchange_writes_once_per_leg(legs: Legs, kind: str) -> None:
    """Head and body leave together, one system call each way; the loop is asked for nothing."""
    for number in range(100):
        legs.exchange(KINDS[kind](number))

    assert (len(legs.to_backend.writes), len(legs.to_client.writes)) == (100, 100)
    assert all(data.endswith(b"x" * 1024) for data in legs.to_client.writes)
    assert legs.plane.recorder.take_delta().count + len(legs.plane._over) == 100


def test_chunked_response_in_one_read_is_one_write(legs: Legs) -> None:
    """A chunked body that came whole with its head leaves in one piece too."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    for _ in range(10):
        legs.exchange(repeated(0), chunked)

    assert len(legs.to_client.writes) == 10
    assert all(data.endswith(b"5\r\nhello\r\n0\r\n\r\n") for data in legs.to_client.writes)


def test_lease_has_ended_when_the_answer_leaves(legs: Legs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the backend's last byte: other workers need not wait for our write to the client."""
    in_flight: list[int] = []
    monkeypatch.setattr(legs.to_client, "write", lambda _: in_flight.append(legs.row.in_flight[0]))
    monkeypatch.setattr(legs.to_backend, "write", lambda _: in_flight.append(legs.row.in_flight[0]))

    legs.exchange(repeated(0))

    assert [1, 0] == in_flight


def test_loop_is_guarded() -> None:
    """Whatever a plain exchange would ask of the loop fails the tests above."""
    loop = GuardedLoop()
    for name in ("create_task", "create_future", "call_later", "call_soon", "call_at"):
        with pytest.raises(AssertionError, match=name):
            getattr(loop, name)


async def test_real_exchanges_make_no_task_and_no_timer() -> None:
    """On real sockets the same: after the first, exchanges on kept-alive connections start nothing."""
    async with talking(echoing) as (client, gateway, _):
        await client.ask("GET /first")
        await asyncio.sleep(0)
        tasks = len(gateway._tasks)
        for number in range(50):
            await client.ask(f"GET /{number}")

        assert len(gateway._tasks) == tasks
        assert len(gateway.plane.delays) == 0
