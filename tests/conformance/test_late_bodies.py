"""
Bodies where there are none: they never become the answer to somebody else's request.

An answer to HEAD, a 204 and a 304 end with their heads (RFC 9112 section 6.3). A backend that sends a body
all the same, be it later, has sent bytes that look like the next response on that connection (section 9.2).
"""

from __future__ import annotations

import asyncio
import socket

import pytest

from pcs_gateway.proxy.upstream import UpstreamConnection
from pcs_gateway.proxy.upstream_pool import UpstreamMember
from tests.fakes.backend import OK, Peer, Script, answering
from tests.fakes.gateway import Gateway, talking
from tests.fakes.waiting import until

STOLEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"

SILENT = [
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(STOLEN)),
    ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
    ("HEAD", b"HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\n"),
    ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(STOLEN)),
    ("GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: %d\r\n\r\n" % len(STOLEN)),
    ("GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ("HEAD", b"HTTP/1.1 204 No Content\r\n\r\n"),
]


def speaking_late(head: bytes, pause: float) -> Script:
    """Answer the first request of a connection with `head` and, later, with what must not follow it."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        if pause:
            await asyncio.sleep(pause)
        await peer.send(STOLEN)
        while True:
            await peer.request()
            await peer.send(OK)

    return script


@pytest.mark.parametrize("pause", [0.0, 0.003])
@pytest.mark.parametrize(("method", "head"), SILENT)
async def test_body_that_comes_late_reaches_nobody(method: str, head: bytes, pause: float) -> None:
    """9112 6.3, 9.2: the next request, which is asked at once, is answered on another connection."""
    async with talking(speaking_late(head, pause)) as (client, _, backend):
        first = await client.ask(f"{method} /first")
        backend.script = answering(OK)
        second = await client.ask("GET /second")
        third = await client.ask("GET /third")

        assert int(head[9:12]) == first.status
        assert (b"ok", b"ok") == (second.body, third.body)
        await until(backend.peers[0].has_ended.is_set)


@pytest.mark.parametrize(
    ("method", "head"), [row for row in SILENT if row[0] == "GET" and b":" not in row[1]]
)
async def test_connection_that_stayed_silent_is_used_again(method: str, head: bytes) -> None:
    """9112 9.3: after a moment of silence the connection is as good as any."""
    async with talking(answering(head)) as (client, gateway, backend):
        for _ in range(3):
            await client.ask(f"{method} /")
            await until(lambda: idle(gateway))

        assert 1 == len(backend.peers)


@pytest.mark.parametrize(
    ("method", "head", "connections"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 3),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", 3),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n", 1),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 3),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 3),
    ],
)
async def test_connection_of_an_announced_body_is_closed(method: str, head: bytes, connections: int) -> None:
    """9112 6.3: where the head announces a body that must not follow, nobody waits whether it does."""
    async with talking(answering(head)) as (client, gateway, backend):
        for _ in range(3):
            await client.ask(f"{method} /")
            await until(lambda: idle(gateway) or not gateway.upstream_connections)

        assert connections == len(backend.peers)


async def test_bytes_that_the_loop_has_not_read_end_the_rest() -> None:
    """9112 9.2: a worker that is late looks into the kernel's buffer before it uses the connection again."""
    async with talking(answering(OK)) as (_, gateway, _):
        pool = gateway.plane.pools["pcs"]
        (member,) = pool.balancer.members
        assert isinstance(member, UpstreamMember)
        ours, theirs = socket.socketpair()
        with theirs:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: UpstreamConnection(pool, member), sock=ours
            )
            theirs.send(STOLEN)
            connection.rested()

            assert not connection.is_open
            assert not member.idle


def idle(gateway: Gateway) -> int:
    """Count the idle connections of the only backend."""
    (member,) = gateway.plane.pools["pcs"].balancer.members
    assert isinstance(member, UpstreamMember)
    return len(member.idle)
