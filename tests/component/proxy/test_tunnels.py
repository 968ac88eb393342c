"""A byte tunnel after 101: both directions, half-closing, counting, idleness, and the ends of it."""

import asyncio
import json
import socket

import pytest

from tests.fakes.backend import OK, Peer, answering
from tests.fakes.gateway import Gateway, talking
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

ROUTES = [{"name": "ws", "allow_upgrade": True}]
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Accept: 1\r\n\r\n"
)
MIB = 1 << 20


async def echo(peer: Peer) -> None:
    """Switch, then send everything back in upper case; end when the client ends."""
    await peer.request_head()
    await peer.send(SWITCH)
    while data := await peer.read():
        await peer.send(data.upper())


async def open_tunnel(client: RawClient) -> bytes:
    """Ask for a tunnel; give the head of the answer."""
    client.writer.write(UPGRADE + b"Sec-WebSocket-Key: k\r\n\r\n")
    async with asyncio.timeout(5):
        return await client.reader.readuntil(b"\r\n\r\n")


async def test_bytes_flow_both_ways() -> None:
    """After 101 whatever comes on one side goes out on the other; the fields of the switch are passed."""
    async with talking(echo, routes=ROUTES) as (client, gateway, backend):
        head = (await open_tunnel(client)).decode().lower()
        for word in (b"one", b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
            client.writer.write(word)
            assert await client.reader.readexactly(len(word)) == word.upper()

        received = backend.peers[0].received.lower()
        assert head.startswith("http/1.1 101 switching protocols\r\n")
        assert "connection: upgrade\r\n" in head
        assert "upgrade: websocket\r\n" in head
        assert "x-accept: 1\r\n" in head
        assert b"connection: upgrade\r\n" in received
        assert b"upgrade: websocket\r\n" in received
        assert b"sec-websocket-key: k\r\n" in received
        assert gateway.in_flight == 1


async def test_tunnel_is_counted_until_it_ends() -> None:
    """A tunnel is in flight as long as it lasts, and recorded once, with its bytes."""
    async with talking(echo, routes=ROUTES) as (client, gateway, _):
        await open_tunnel(client)
        client.writer.write(b"12345")
        await client.reader.readexactly(5)
        assert gateway.in_flight == 1
        client.writer.write_eof()
        assert await client.read_end() == b""
        record = await gateway.record()

        assert (record.status, record.route, record.backend) == (101, "ws", "b0")
        assert (record.request_bytes, record.response_bytes) == (5, 5)
        assert gateway.in_flight == 0
        assert gateway.delta.errors == {}


async def test_half_close_of_the_client_reaches_the_backend() -> None:
    """When the client sends no more, the backend learns it and may still answer."""

    async def script(peer: Peer) -> None:
        await peer.request_head()
        await peer.send(SWITCH)
        everything = b""
        while data := await peer.read():
            everything += data
        await peer.send(b"you said " + everything)

    async with talking(script, routes=ROUTES) as (client, _, _):
        await open_tunnel(client)
        client.writer.write(b"hello")
        client.writer.write_eof()

        assert await client.read_end() == b"you said hello"


async def test_half_close_before_the_switch_reaches_the_backend() -> None:
    """A client that ended before the backend agreed: its bytes come first, then the end."""
    agrees = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request_head()
        await agrees.wait()
        await peer.send(SWITCH)
        everything = b""
        while data := await peer.read():
            everything += data
        await peer.send(b"you said " + everything)

    async with talking(script, routes=ROUTES) as (client, gateway, _):
        client.writer.write(UPGRADE + b"Sec-WebSocket-Key: k\r\n\r\nhello")
        client.writer.write_eof()
        await until(lambda: any(one.is_peer_gone for one in gateway.plane.connections))
        agrees.set()

        assert (await client.read_end()).endswith(b"\r\n\r\nyou said hello")


async def test_half_close_of_the_backend_reaches_the_client() -> None:
    """When the backend sends no more, the client learns it and may still send."""
    last_words: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.request_head()
        await peer.send(SWITCH + b"bye")
        peer.end_sending()
        while data := await peer.read():
            last_words.append(data)

    async with talking(script, routes=ROUTES) as (client, _, _):
        await open_tunnel(client)
        assert await client.read_end() == b"bye"
        client.writer.write(b"last words")
        client.writer.write_eof()
        await until(lambda: b"".join(last_words) == b"last words")


@pytest.mark.parametrize("is_reset", [False, True])
async def test_backend_that_leaves_ends_the_tunnel(is_reset: bool) -> None:
    """The client's connection ends with the backend's."""

    async def script(peer: Peer) -> None:
        await peer.request_head()
        await peer.send(SWITCH + b"bye")
        await peer.read_exactly(2)
        if is_reset:
            peer.reset()

    async with talking(script, routes=ROUTES) as (client, gateway, _):
        await open_tunnel(client)
        await client.reader.readexactly(3)
        client.writer.write(b"ok")
        assert await client.read_end() == b""
        client.writer.close()
        await until(lambda: not gateway.in_flight)


async def test_client_that_leaves_ends_the_tunnel() -> None:
    """The backend's connection ends with the client's, whatever `on_abandon` says."""
    async with talking(echo, routes=ROUTES) as (client, gateway, backend):
        await open_tunnel(client)
        client.writer.transport.abort()
        await until(backend.peers[0].has_ended.is_set)
        await until(lambda: not gateway.in_flight)


async def test_bytes_sent_with_the_request_are_not_lost() -> None:
    """What the client sends before it sees 101 belongs to the tunnel, however much it is."""
    early = b"x" * 300_000

    async def script(peer: Peer) -> None:
        await peer.request_head()
        await asyncio.sleep(0.05)
        await peer.send(SWITCH)
        while data := await peer.read():
            await peer.send(data.upper())

    async with talking(script, routes=ROUTES) as (client, _, _):
        client.writer.write(UPGRADE + b"\r\n" + early)
        await client.reader.readuntil(b"\r\n\r\n")
        assert await client.reader.readexactly(len(early)) == early.upper()
        client.writer.write(b"later")
        async with asyncio.timeout(2):
            assert await client.reader.readexactly(5) == b"LATER"


async def test_backend_bytes_sent_with_the_switch_are_not_lost() -> None:
    """What the backend sends in one piece with 101 reaches the client."""
    async with talking(answering_switch(b"at once"), routes=ROUTES) as (client, _, _):
        await open_tunnel(client)

        assert await client.reader.readexactly(7) == b"at once"


def answering_switch(more: bytes):  # type: ignore[no-untyped-def]
    """A backend that switches and sends `more` in the same piece."""

    async def script(peer: Peer) -> None:
        await peer.request_head()
        await peer.send(SWITCH + more)
        await peer.end()

    return script


async def test_idle_tunnel_is_closed() -> None:
    """After `tunnel_idle` without a byte on either side the tunnel ends; with bytes it does not."""
    async with talking(echo, routes=ROUTES, timeouts={"tunnel_idle": "300ms"}) as (client, gateway, _):
        await open_tunnel(client)
        for _ in range(6):
            client.writer.write(b"a")
            assert await client.reader.readexactly(1) == b"A"
            await asyncio.sleep(0.1)
        assert await client.read_end() == b""
        record = await gateway.record()

        assert record.reason == "tunnel_idle"
        assert record.duration > 0.6


async def test_response_timeouts_do_not_end_a_tunnel() -> None:
    """Once the tunnel is open, only `tunnel_idle` counts."""
    timeouts = {
        "response_head": "150ms",
        "request_total": "150ms",
        "stream_idle": "150ms",
        "client_idle": "150ms",
    }
    async with talking(echo, routes=ROUTES, timeouts=timeouts) as (client, _, _):
        await open_tunnel(client)
        await asyncio.sleep(0.5)
        client.writer.write(b"a")

        assert await client.reader.readexactly(1) == b"A"


async def test_refused_switch_is_an_answer_like_any_other() -> None:
    """A backend may refuse: its answer is passed on and the connection goes on as HTTP."""
    refusal = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno"
    async with talking(answering(refusal), routes=ROUTES) as (client, _, backend):
        client.writer.write(UPGRADE + b"\r\n")
        answer = await client.read_answer()
        backend.script = answering(OK)

        assert (answer.status, answer.body) == (426, b"no")
        assert (await client.ask("GET /")).status in {200, 426}


async def test_switch_without_permission_is_a_failure() -> None:
    """A backend that switches although it was not asked to: 502, and no byte of it reaches the client."""
    async with talking(answering_switch(b"evil")) as (client, _, _):
        client.writer.write(UPGRADE + b"\r\n")
        answer = await client.read_answer()

        assert (answer.status, json.loads(answer.body)["reason"]) == (502, "upgrade_failed")


async def test_slow_side_holds_the_other_back() -> None:
    """A side that does not read costs a buffer, not all that the other one sends."""
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request_head()
        await peer.send(SWITCH)
        while sent < 64 * MIB:
            await peer.send(b"x" * 65536)
            sent += 65536

    def held(gateway: Gateway) -> int:
        return sum(one.transport.get_write_buffer_size() for one in gateway.plane.connections)

    async with talking(script, routes=ROUTES, limits={"response_buffer": "128KiB"}) as (client, gateway, _):
        client.reader._limit = 1024  # type: ignore[attr-defined]
        await open_tunnel(client)
        before = -1
        async with asyncio.timeout(10):
            while before != sent:
                before = sent
                await asyncio.sleep(0.1)

        assert sent < 48 * MIB
        assert held(gateway) < MIB
        client.writer.transport.abort()


async def test_drain_leaves_tunnels_until_the_end() -> None:
    """A draining worker keeps tunnels; when drain_timeout is over they are cut."""
    async with talking(echo, routes=ROUTES) as (client, gateway, _):
        await open_tunnel(client)
        gateway.plane.begin_drain()
        gateway.plane.close_idle()
        client.writer.write(b"a")
        assert await client.reader.readexactly(1) == b"A"
        gateway.plane.cut_all()
        assert await client.read_end() == b""
        record = await gateway.record()

        assert (record.status, record.reason) == (101, "drain_timeout")


async def test_early_bytes_do_not_end_backpressure() -> None:
    """A backend that switches but does not read holds the client up, whatever waited before the switch."""
    may_switch, may_end = asyncio.Event(), asyncio.Event()

    async def switch_and_stop_reading(peer: Peer) -> None:
        await peer.request_head()
        await may_switch.wait()
        await peer.send(SWITCH)
        await may_end.wait()
        peer.reset()

    async with talking(switch_and_stop_reading, routes=ROUTES, receive_buffer=4096) as (client, gateway, _):
        client.writer.write(UPGRADE + b"\r\n")
        await until(lambda: gateway.in_flight == 1)
        (connection,) = gateway.plane.connections
        await until(lambda: connection.exchange is not None and connection.exchange.upstream is not None)
        assert connection.exchange is not None
        upstream = connection.exchange.upstream
        assert upstream is not None
        raw = upstream.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.writer.write(b"x" * 60_000)
        await until(lambda: len(connection._pending) == 60_000)
        client.writer.write(bytes(16 * MIB))
        await until(lambda: connection.is_reading_paused)
        may_switch.set()
        await client.reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)

        assert upstream.transport.get_write_buffer_size() < MIB
        may_end.set()
        client.reset()
