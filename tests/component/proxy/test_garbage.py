"""
No reference cycles on the data path, whatever becomes of an exchange.

The oldest generation is never collected in a worker, so what a cycle holds is lost for good.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fakes.backend import OK, Peer, Script, answering, answering_once, echoing, hanging, resetting
from tests.fakes.gateway import Gateway, balancing, talking
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

Doing = Callable[[RawClient, Gateway], Awaitable[None]]


async def switching(peer: Peer) -> None:
    """Switch protocols and end with the client."""
    await peer.request_head()
    await peer.send(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    await peer.end()


async def ask(client: RawClient, gateway: Gateway) -> None:
    """Exchange, with and without bodies, pipelined."""
    for _ in range(3):
        await client.ask("GET /")
        await client.ask("POST /", body=b"x" * 1000)
    client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    for _ in range(3):
        await client.read_answer()


async def be_refused(client: RawClient, gateway: Gateway) -> None:
    """Send something that is refused."""
    client.writer.write(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
    await client.read_end()


async def see_the_end(client: RawClient, gateway: Gateway) -> None:
    """Ask, and read until the connection ends."""
    client.send("GET /", "Connection: close")
    await client.read_end()


async def leave(client: RawClient, gateway: Gateway) -> None:
    """Leave while the backend works."""
    client.send("GET /")
    await until(lambda: gateway.in_flight)
    client.reset()
    await until(lambda: gateway.plane.abandoned)
    gateway.jump(60)


async def wait_too_long(client: RawClient, gateway: Gateway) -> None:
    """Wait until the attempt has timed out, and what is left of it too."""
    client.send("GET /")
    await until(lambda: gateway.in_flight)
    gateway.jump(16)
    await client.read_answer()
    gateway.jump(61)


async def tunnel(client: RawClient, gateway: Gateway) -> None:
    """Open a tunnel and end it."""
    client.send("GET /", "Connection: upgrade", "Upgrade: x")
    await client.reader.readuntil(b"\r\n\r\n")
    client.writer.write_eof()
    await client.read_end()


async def be_cut(client: RawClient, gateway: Gateway) -> None:
    """Open a tunnel and see it cut by the end of a drain."""
    client.send("GET /", "Connection: upgrade", "Upgrade: x")
    await client.reader.readuntil(b"\r\n\r\n")
    gateway.plane.cut_all()
    await client.read_end()


BROKEN = answering_once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
CHUNKED = answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"0\r\n\r\n")
CASES: dict[str, tuple[Script, Doing]] = {
    "exchanges": (echoing, ask),
    "chunked responses": (CHUNKED, ask),
    "server errors": (answering(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"), ask),
    "malformed responses": (answering(b"garbage\r\n\r\n"), ask),
    "resets": (resetting, ask),
    "refused requests": (answering(OK), be_refused),
    "closed connections": (answering(OK), see_the_end),
    "broken responses": (BROKEN, see_the_end),
    "clients that leave": (hanging, leave),
    "timeouts": (hanging, wait_too_long),
    "tunnels": (switching, tunnel),
    "tunnels that are cut": (switching, be_cut),
}


def ours(objects: list[Any]) -> Counter[str]:
    """Count the objects of our own classes, and what they are."""
    classes = [type(one) for one in objects]
    return Counter(one.__qualname__ for one in classes if one.__module__.startswith("pcs_gateway."))


async def left_behind(gateway: Gateway, doing: Doing) -> Counter[str]:
    """Let a client do something, and count what only the collector can forget of it."""
    gc.collect()
    gc.disable()
    try:
        async with gateway.client() as another:
            await doing(another, gateway)
        await until(lambda: not gateway.in_flight and len(gateway.plane.connections) <= 1)
        gateway.plane.settle()
        gateway.recorder.records.clear()
        await asyncio.sleep(0)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return ours(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("name", CASES)
async def test_nothing_is_left_for_the_collector(name: str) -> None:
    """When an exchange is over, counting references is enough to forget it."""
    script, doing = CASES[name]
    async with talking(script, routes=[{"allow_upgrade": True}]) as (_, gateway, _):
        assert await left_behind(gateway, doing) == {}


async def late(peer: Peer) -> None:
    """Answer each request after a while."""
    while True:
        await peer.request()
        await asyncio.sleep(0.04)
        await peer.send(OK)


async def ask_for_once(client: RawClient, gateway: Gateway) -> None:
    """Exchange some times, one after another, with room for hedges."""
    gateway.plane.pools["pcs"].budget.requests += 1000
    for _ in range(4):
        await client.ask("GET /")


BUSY = answering(b"HTTP/1.1 503 X\r\nContent-Length: 3\r\n\r\nabc")
BEGUN = answering(b"HTTP/1.1 503 X\r\nContent-Length: 3\r\n\r\na", b"bc")
RACES: dict[str, tuple[Script, Script]] = {
    "retries of statuses": (BUSY, answering(OK)),
    "retries that do not help": (BUSY, BEGUN),
    "last words that are waited for": (BEGUN, resetting),
    "hedges": (late, late),
    "hedges that win": (late, answering(OK)),
    "hedges that fail": (late, resetting),
    "hedges that are busy": (late, BUSY),
}


@pytest.mark.parametrize("name", RACES)
async def test_attempts_leave_nothing_for_the_collector(name: str) -> None:
    """Nor do several attempts of one exchange, whichever is answered."""
    pool = {
        "hedge": {"after": "10ms", "budget": 1.0},
        "retry": {"attempts": 1, "on": ["reset_before_response", 503], "backoff": {"base": "1ms"}},
        "outlier_detection": {"consecutive_failures": 0},
    }
    async with balancing(*RACES[name], pool=pool) as (_, gateway, _):
        assert await left_behind(gateway, ask_for_once) == {}
