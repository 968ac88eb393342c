"""
What a plain exchange costs, counted and not timed: a number is the same on every machine.

Both connections are the real ones; only the sockets under them are not.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from types import FrameType
from typing import Any

from pcs_gateway.proxy.downstream import DownstreamConnection
from pcs_gateway.proxy.upstream import UpstreamConnection
from pcs_gateway.proxy.upstream_pool import UpstreamMember
from pcs_gateway.telemetry.recorder import Recorder
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import Gateway, one_pool

MOST_CALLS = 55
"""
Calls of Python and C functions that a plain exchange may make, its record included.

Lower it when the data path got shorter. Raising it needs a reason in CHANGELOG.md.
"""

EXCHANGES = 1280
"""Counted together, as records are made for many at a time."""

REQUEST = (
    b"GET /api/v1/prompts/42 HTTP/1.1\r\nHost: api.example\r\nUser-Agent: client/1.0\r\nAccept: */*\r\n"
    b"Accept-Encoding: gzip\r\nAccept-Language: en\r\nAuthorization: Bearer secret\r\n"
    b"X-Tenant: one\r\nX-API-Version: 1\r\nReferer: http://api.example/\r\nPriority: u=1\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n"
    b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: sample\r\n\r\n" + b"x" * 1024
)


class CountingTransport(asyncio.Transport):
    """A transport that goes nowhere and keeps what was written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 40000), "socket": socket.socket()})
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It never fills."""

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.get_extra_info("socket").close()


class Conversation:
    """A client's connection and a pooled one to the only backend, on one worker's data plane."""

    def __init__(self, gateway: Gateway) -> None:
        plane, pool = gateway.plane, gateway.plane.pools["pcs"]
        member = pool.balancer.members[0]
        assert isinstance(member, UpstreamMember)
        self.client, self.backend = CountingTransport(), CountingTransport()
        self.downstream = DownstreamConnection(plane, b"http")
        self.downstream.connection_made(self.client)
        self.upstream = UpstreamConnection(pool, member)
        self.upstream.connection_made(self.backend)
        pool.release(self.upstream)

    def exchange(self) -> None:
        """One request comes in one read, and its response too."""
        self.downstream.data_received(REQUEST)
        self.upstream.data_received(RESPONSE)

    def forget(self) -> None:
        """Forget what was written."""
        self.client.written.clear()
        self.backend.written.clear()

    def end(self) -> None:
        """Both peers leave."""
        for connection in (self.upstream, self.downstream):
            connection.connection_lost(None)
        self.client.abort()
        self.backend.abort()


class Calls:
    """Counts the calls of the package's functions, and those that they make, while its context is open."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()

    def _note(self, frame: FrameType, event: str, callee: Any) -> None:
        if event == "c_call" and "pcs_gateway" in frame.f_code.co_filename:
            self.made[f"{callee.__qualname__} of C"] += 1
        elif event == "call":
            caller = frame.f_back.f_code.co_filename if frame.f_back is not None else ""
            if "pcs_gateway" in frame.f_code.co_filename or "pcs_gateway" in caller:
                self.made[frame.f_code.co_qualname] += 1

    def __enter__(self) -> Counter[str]:
        sys.setprofile(self._note)
        return self.made

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


class WatchedLoop:
    """Notes whatever tasks, futures and timers are asked of a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("create_", "call_", "run_", "add_", "sock_")):
            self.asked[name] += 1
        return getattr(self._loop, name)


class TestPlainExchange:
    """A request without a body, a pooled connection, a response that comes in one read."""

    async def test_makes_no_task_future_or_timer(self) -> None:
        """Nothing is asked of the loop, and nobody else starts a task."""
        async with Gateway(one_pool("http://127.0.0.1:1")) as gateway:
            watched: Any = WatchedLoop(asyncio.get_running_loop())
            plane = gateway.plane
            plane.loop = watched
            plane.delays._loop = watched
            plane.pools["pcs"]._loop = watched
            tasks = asyncio.all_tasks()
            conversation = Conversation(gateway)

            conversation.exchange()

            assert not watched.asked
            assert tasks == asyncio.all_tasks()
            assert 0 == len(plane.delays)
            conversation.end()

    async def test_writes_once_to_each_side(self) -> None:
        """Head and body leave together."""
        async with Gateway(one_pool("http://127.0.0.1:1")) as gateway:
            conversation = Conversation(gateway)

            conversation.exchange()

            (request,), (response,) = conversation.backend.written, conversation.client.written
            assert request.startswith(b"GET /api/v1/prompts/42 HTTP/1.1\r\nHost: api.example\r\n")
            assert response.startswith(b"HTTP/1.1 200 OK\r\n")
            assert response.endswith(b"x" * 1024)
            conversation.end()

    async def test_calls_no_more_than_is_recorded(self) -> None:
        """The recorded number is not exceeded; whoever makes the path longer notices here."""
        async with Gateway(one_pool("http://127.0.0.1:1")) as gateway:
            plane = gateway.plane
            plane.recorder = Recorder()
            plane.monotonic = (
                FakeClock().monotonic
            )  # else the machine's speed decides how often others are read
            conversation = Conversation(gateway)
            for _ in range(EXCHANGES):
                conversation.exchange()
            plane.settle()
            conversation.forget()

            with Calls() as made:
                for _ in range(EXCHANGES):
                    conversation.exchange()
                plane.settle()

            assert EXCHANGES == len(conversation.client.written)
            listed = "\n".join(f"{count / EXCHANGES:6.2f} {name}" for name, count in made.most_common())
            assert made.total() / EXCHANGES <= MOST_CALLS, listed
            conversation.end()
