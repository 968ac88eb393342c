"""What holds for a client's connection holds over TLS: order, pressure, halves, the promise of a drain."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pcs_gateway.proxy.downstream import DownstreamConnection
from tests.fakes.authority import Authority
from tests.fakes.backend import OK, Peer, Script, ScriptedBackend, answering, echoing, hanging
from tests.fakes.gateway import Gateway, one_pool
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

MEBIBYTE = 1 << 20


class SlowTls:
    """
    A client whose TLS is a test's own, so that it can read and write records one by one, end its half, or be
    slow.
    """

    def __init__(self, client: RawClient, context: ssl.SSLContext) -> None:
        self.client = client
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    async def shake_hands(self) -> None:
        """Complete the handshake."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                self.incoming.write(await self.client.reader.read(65536))
            else:
                self.flush()
                return

    def flush(self) -> None:
        """Send what TLS has written."""
        self.client.writer.write(self.outgoing.read())

    def send(self, *records: bytes) -> None:
        """Send these records in one segment."""
        for record in records:
            self.tls.write(record)
        self.flush()

    def end(self, *, close_notify: bool = True) -> None:
        """Send no more: with TLS's own word for it, or without."""
        if close_notify:
            with pytest.raises(ssl.SSLWantReadError):
                self.tls.unwrap()
            self.flush()
        self.client.writer.write_eof()

    async def read_to_end(self) -> tuple[bytes, bool]:
        """Give all that comes, and whether the gateway said `close_notify` before it closed."""
        pieces: list[bytes] = []
        async with asyncio.timeout(5):
            while True:
                try:
                    piece = self.tls.read(16384)
                except ssl.SSLZeroReturnError:
                    assert b"" == await self.client.reader.read()
                    return b"".join(pieces), True
                except ssl.SSLWantReadError:
                    data = await self.client.reader.read(65536)
                    if not data:
                        return b"".join(pieces), False
                    self.incoming.write(data)
                else:
                    if not piece:
                        assert b"" == await self.client.reader.read()
                        return b"".join(pieces), True
                    pieces.append(piece)


@asynccontextmanager
async def talking_tls(
    directory: Path, script: Script, pool: Mapping[str, Any] | None = None, **sections: Any
) -> AsyncIterator[tuple[SlowTls, Gateway, ScriptedBackend]]:
    """Connect a client over TLS through a gateway to a backend that follows a script."""
    authority = Authority(directory)
    listen = [{"address": "127.0.0.1:8443", "tls": authority.pair()}]
    async with (
        ScriptedBackend(script) as backend,
        Gateway(one_pool(backend.url, pool=pool, listen=listen, **sections)) as gateway,
        gateway.client() as client,
    ):
        slow = SlowTls(client, authority.client())
        await slow.shake_hands()
        yield slow, gateway, backend


async def connected(gateway: Gateway) -> DownstreamConnection:
    """Wait for the only client's connection."""
    await until(lambda: gateway.plane.connections)
    [connection] = gateway.plane.connections
    return connection


def request(target: str, body: bytes = b"", more: str = "") -> bytes:
    """A request as it is sent."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"GET {target} HTTP/1.1\r\nHost: a\r\n{length}{more}\r\n".encode() + body


async def test_requests_in_many_records_and_one_segment_are_answered_in_order(tmp_path: Path) -> None:
    """Pipelining: one request in two records, three in one, all in one segment with the end of the half."""
    async with talking_tls(tmp_path, echoing) as (client, _, _):
        client.send(request("/0")[:9], request("/0")[9:], b"".join(request(f"/{n}") for n in range(1, 4)))
        client.end()

        answers, said_goodbye = await client.read_to_end()

        assert [b"/0 ", b"/1 ", b"/2 ", b"/3 "] == [part[-3:] for part in answers.split(b"HTTP/1.1 200")[1:]]
        assert said_goodbye


async def test_request_split_anywhere_is_understood(tmp_path: Path) -> None:
    """Ciphertext that comes byte by byte, so that every record is in pieces."""
    async with talking_tls(tmp_path, echoing) as (client, _, _):
        client.tls.write(request("/x", more="Connection: close\r\n"))
        for byte in client.outgoing.read():
            client.client.writer.write(bytes([byte]))
            await asyncio.sleep(0)

        answer, _ = await client.read_to_end()

        assert answer.endswith(b"/x ")


async def test_large_bodies_pass_both_ways(tmp_path: Path) -> None:
    """Four MiB up, and back."""
    body = bytes(range(256)) * (4 * MEBIBYTE // 256)
    authority = Authority(tmp_path)
    listen = [{"address": "127.0.0.1:8443", "tls": authority.pair()}]
    async with (
        ScriptedBackend(echoing) as backend,
        Gateway(one_pool(backend.url, listen=listen)) as gateway,
        gateway.client(authority.client()) as client,
    ):
        answer = await client.ask("POST /", body=body)

        assert b"/ " + body == answer.body
        assert body == backend.requests[0].body


async def test_client_that_does_not_read_holds_the_backend(tmp_path: Path) -> None:
    """Backpressure: the backend cannot send a body of 64 MiB into the gateway's memory."""
    sent = 0

    async def flood(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MEBIBYTE))
        for _ in range(64):
            await peer.send(bytes(MEBIBYTE))
            sent += 1

    async with talking_tls(tmp_path, flood) as (client, gateway, _):
        client.send(request("/", more="Connection: close\r\n"))
        client.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        connection = await connected(gateway)
        await until(lambda: connection.exchange is not None and connection.exchange.is_paused)
        held = connection.transport.get_write_buffer_size()
        stuck = sent

        client.client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        body, said_goodbye = await client.read_to_end()

        assert stuck < 40
        assert held < 2 * MEBIBYTE
        assert 64 * MEBIBYTE == len(body.partition(b"\r\n\r\n")[2])
        assert said_goodbye


async def test_backend_that_does_not_read_holds_the_client(tmp_path: Path) -> None:
    """An upload stops where the backend stops reading, and goes on with it."""
    may_read = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.read_until(b"\r\n\r\n")
        await may_read.wait()
        for _ in range(32):
            await peer.read_exactly(MEBIBYTE)
        await peer.send(OK)

    async with talking_tls(tmp_path, slow) as (client, gateway, _):
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (32 * MEBIBYTE)
        )
        for _ in range(32):
            client.send(bytes(MEBIBYTE))
        connection = await connected(gateway)
        await until(lambda: connection.is_reading_paused)
        may_read.set()

        answer, _ = await client.read_to_end()

        assert answer.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("close_notify", [True, False])
async def test_half_closed_client_gets_its_answer(tmp_path: Path, close_notify: bool) -> None:
    """A client that said it sends no more still reads: by TLS's word, or by TCP's alone."""
    may_answer = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await may_answer.wait()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n", bytes(200_000))

    async with talking_tls(tmp_path, script) as (client, gateway, _):
        client.send(request("/"))
        client.end(close_notify=close_notify)
        await until(lambda: any(one.is_peer_gone for one in gateway.plane.connections))
        may_answer.set()

        answer, said_goodbye = await client.read_to_end()

        assert 200_000 == len(answer.partition(b"\r\n\r\n")[2])
        assert b"\r\nConnection: close\r\n" in answer
        assert said_goodbye


@pytest.mark.parametrize("close_notify", [True, False])
async def test_client_that_ends_with_its_body_gets_its_answer(tmp_path: Path, close_notify: bool) -> None:
    """The end comes in one read with more chunks than are decoded at once: it counts when they are."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with talking_tls(tmp_path, answering(OK)) as (client, _, backend):
        client.send(head + b"1\r\na\r\n" * 2000 + b"0\r\n\r\n" + request("/next"))
        client.end(close_notify=close_notify)

        answers, said_goodbye = await client.read_to_end()

        assert 2 == answers.count(b"HTTP/1.1 200 OK")
        assert [b"a" * 2000, b""] == [one.body for one in backend.requests]
        assert said_goodbye


async def test_client_that_leaves_is_noticed(tmp_path: Path) -> None:
    """Idle, with `close_notify` alone: its connection is closed, with a goodbye."""
    async with talking_tls(tmp_path, echoing) as (client, gateway, _):
        client.send(request("/"))
        await gateway.record()
        with pytest.raises(ssl.SSLError):
            client.tls.unwrap()
        client.flush()

        await until(lambda: not gateway.plane.connections)


async def test_reset_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    """A client that is gone before its answer: the exchange ends as it does without TLS."""
    async with talking_tls(tmp_path, hanging, pool={"on_abandon": "cancel"}) as (client, gateway, _):
        client.send(request("/"))
        await until(lambda: gateway.in_flight)
        client.client.reset()

        assert "client_left" == (await gateway.record()).reason


async def test_broken_record_ends_the_connection(tmp_path: Path) -> None:
    """It gets an alert; no other connection notices."""
    async with talking_tls(tmp_path, echoing) as (client, gateway, _):
        client.client.writer.write(b"\x17\x03\x03\x00\x20" + bytes(32))

        await client.client.reader.read()

        await until(lambda: not gateway.plane.connections)
        assert [] == gateway.errors


async def test_idle_connection_is_closed_with_goodbye(tmp_path: Path) -> None:
    """`timeouts.client_idle` holds over TLS."""
    async with talking_tls(tmp_path, echoing) as (client, gateway, _):
        client.send(request("/"))
        await gateway.record()
        gateway.jump(80.0)

        _, said_goodbye = await client.read_to_end()

        assert said_goodbye


async def test_response_that_breaks_off_ends_without_goodbye(tmp_path: Path) -> None:
    """A client can tell a body that is cut from one that is complete."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")

    async with talking_tls(tmp_path, script) as (client, _, _):
        client.send(request("/"))

        _, said_goodbye = await client.read_to_end()

        assert not said_goodbye


async def test_drain_completes_the_last_answer(tmp_path: Path) -> None:
    """Every answer is whole, says that it is the last, and ends with a goodbye, not with a reset."""
    may_answer = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await may_answer.wait()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000))

    async with talking_tls(tmp_path, script) as (client, gateway, _):
        client.send(request("/"))
        await until(lambda: gateway.in_flight)
        gateway.plane.begin_drain()
        gateway.acceptor.close()
        gateway.plane.close_idle()
        may_answer.set()
        await gateway.record()
        client.send(request("/late"))  # crosses our goodbye: must not turn into a reset

        answer, said_goodbye = await client.read_to_end()

        assert 300_000 == len(answer.partition(b"\r\n\r\n")[2])
        assert b"\r\nConnection: close\r\n" in answer
        assert said_goodbye


async def test_drain_waits_for_a_handshake(tmp_path: Path) -> None:
    """Who was accepted before the listeners closed is served, though it had not shaken hands yet."""
    authority = Authority(tmp_path)
    listen = [{"address": "127.0.0.1:8443", "tls": authority.pair()}]
    async with (
        ScriptedBackend(answering(OK)) as backend,
        Gateway(one_pool(backend.url, listen=listen)) as gateway,
        gateway.client() as client,
    ):
        await until(lambda: gateway.acceptor.under_way)
        gateway.plane.begin_drain()
        gateway.acceptor.close()
        gateway.plane.close_idle()
        slow = SlowTls(client, authority.client())
        await slow.shake_hands()
        slow.send(request("/"))

        answer, said_goodbye = await slow.read_to_end()

        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert said_goodbye


async def test_tunnel_over_tls_ends_each_way_on_its_own(tmp_path: Path) -> None:
    """After 101 bytes pass both ways, and a half that ends stays apart from the other."""

    async def script(peer: Peer) -> None:
        await peer.request_head()
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        while data := await peer.read():
            await peer.send(data)
        await peer.send(b"bye")

    routes = [{"pool": "pcs", "allow_upgrade": True}]
    async with talking_tls(tmp_path, script, routes=routes) as (client, gateway, _):
        client.send(request("/", more="Connection: upgrade\r\nUpgrade: echo\r\n"))
        await until(lambda: any(one.exchange and one.exchange.tunnel for one in gateway.plane.connections))
        client.send(b"hello ")
        client.end()

        said, said_goodbye = await client.read_to_end()

        assert b"hello bye" == said.partition(b"\r\n\r\n")[2]
        assert said_goodbye
