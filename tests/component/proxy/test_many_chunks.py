"""Bodies in very many small chunks: each costs time, which is not to be that of everybody else."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from pcs_gateway.proxy.downstream import DownstreamConnection
from pcs_gateway.proxy.request_body import CHUNKS_AT_ONCE, RequestBody
from tests.fakes.backend import OK, Peer, answering
from tests.fakes.gateway import Gateway, talking
from tests.fakes.waiting import until

COUNT = 24 * CHUNKS_AT_ONCE
SMALL = b"1\r\na\r\n" * COUNT
POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
LAST = b"0\r\n\r\n"


@asynccontextmanager
async def each_turn(
    gateway: Gateway, look: Callable[[DownstreamConnection, RequestBody], None]
) -> AsyncIterator[None]:
    """Look in each turn of the loop at the connections that a body comes on."""
    loop = asyncio.get_running_loop()
    turns: list[asyncio.Handle] = []

    def look_at_all() -> None:
        for connection in gateway.plane.connections:
            if connection.exchange is not None and connection.exchange.body is not None:
                look(connection, connection.exchange.body)
        turns[:] = [loop.call_soon(look_at_all)]

    look_at_all()
    try:
        yield
    finally:
        turns[0].cancel()


def chunks_of(wire: bytes) -> list[bytes]:
    """Take a chunked body apart, without its end."""
    chunks = []
    while not wire.startswith(b"0\r\n"):
        size, _, rest = wire.partition(b"\r\n")
        chunks.append(rest[: int(size, 16)])
        wire = rest[int(size, 16) + 2 :]
    return chunks


async def the_connection(gateway: Gateway) -> DownstreamConnection:
    """Wait for the only client's connection."""
    await until(lambda: gateway.plane.connections)
    [connection] = gateway.plane.connections
    return connection


class TestRequests:
    @pytest.mark.parametrize("size", [b"1", b"01", b"1;a"], ids=["plain", "padded", "extended"])
    async def test_are_decoded_in_many_turns(self, size: bytes) -> None:
        """However many have come in one read, the loop gets to others after a bounded number of them."""
        body = (size + b"\r\na\r\n") * COUNT
        async with talking(answering(OK)) as (client, gateway, backend):
            seen = [0]
            async with each_turn(gateway, lambda _, body: seen.append(body.received)):
                client.writer.write(POST + b"\r\n" + body + LAST)
                assert (await client.read_answer()).status == 200

            assert backend.requests[0].body == b"a" * COUNT
            steps = [after - before for before, after in itertools.pairwise(seen)]
            # the end of one read and the beginning of the next one may fall into one turn
            assert max(steps) <= 2 * CHUNKS_AT_ONCE

    async def test_become_few(self) -> None:
        """What was decoded together leaves together: a boundary carries no meaning (RFC 9112 section 7.1)."""
        async with talking(answering(OK)) as (client, _, backend):
            client.writer.write(POST + b"\r\n" + SMALL + LAST)
            await client.read_answer()
            chunks = chunks_of(backend.received.partition(b"\r\n\r\n")[2])

        assert b"".join(chunks) == b"a" * COUNT
        assert len(chunks) < COUNT / 100

    async def test_what_follows_them_is_the_next_request(self) -> None:
        """Pipelined in the same read."""
        async with talking(answering(OK)) as (client, _, backend):
            client.writer.write(
                (POST + b"\r\n" + SMALL + LAST) * 2 + b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            for _ in range(3):
                assert (await client.read_answer()).status == 200

        assert [len(request.body) for request in backend.requests] == [COUNT, COUNT, 0]
        assert backend.requests[2].target == "/last"

    async def test_malformed_one_among_them_is_refused(self) -> None:
        """In whichever turn it is found."""
        async with talking(answering(OK)) as (client, gateway, backend):
            client.writer.write(POST + b"\r\n" + SMALL + b"x\r\n" + SMALL)
            assert (await client.read_answer()).status == 400
            assert (await gateway.record()).reason == "malformed_chunk"
            await client.read_end()

        assert not backend.requests

    async def test_no_more_is_read_meanwhile(self) -> None:
        """Also when the body is sent on as soon as the buffer for it is full, which wants more of it."""
        read_meanwhile = []

        def look(connection: DownstreamConnection, _: RequestBody) -> None:
            if connection.is_behind:
                read_meanwhile.append(not connection.is_reading_paused)

        async with (
            talking(answering(OK), limits={"request_buffer": "1KiB"}) as (client, gateway, _),
            each_turn(gateway, look),
        ):
            client.writer.write(POST + b"\r\n" + SMALL + LAST)
            assert (await client.read_answer()).status == 200

        assert len(read_meanwhile) > 10
        assert not any(read_meanwhile)

    async def test_client_waits_for_the_backend(self) -> None:
        """A backend that stops to read stops a client that sends small chunks; later all of it arrives."""
        may_read = asyncio.Event()
        block = (b"40\r\n" + b"a" * 64 + b"\r\n") * 4096
        blocks = 64

        async def script(peer: Peer) -> None:
            await may_read.wait()
            await answering(OK)(peer)

        limits = {"body_bytes": "64MiB", "request_buffer": "64KiB"}
        async with talking(script, receive_buffer=4096, limits=limits) as (client, gateway, backend):
            client.writer.write(POST + b"\r\n" + block * blocks + LAST)
            connection = await the_connection(gateway)
            await until(lambda: connection.is_reading_paused and not connection.is_behind)
            assert connection.exchange is not None
            assert connection.exchange.body is not None
            assert connection.exchange.body.received < len(block) * blocks / 4

            may_read.set()
            assert (await client.read_answer()).status == 200
            assert backend.requests[0].body == b"a" * (64 * 4096 * blocks)

    async def test_answer_that_comes_first_is_not_lost(self) -> None:
        """A backend that answers in the midst of them: the rest of what the client sends causes no reset."""

        async def script(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            await peer.end()

        async with talking(script, limits={"request_buffer": "1B"}) as (client, _, _):
            client.writer.write(POST + b"\r\n" + SMALL * 4)
            answer = await client.read_answer()
            assert (answer.status, answer.body) == (403, b"no")
            assert await client.read_end() == b""

    async def test_client_that_leaves_in_the_midst_of_them(self) -> None:
        """Nothing is left behind."""
        async with talking(answering(OK)) as (client, gateway, _):
            client.writer.write(POST + b"\r\n" + SMALL)
            connection = await the_connection(gateway)
            await until(lambda: connection.is_behind)
            connection.transport.abort()
            assert (await gateway.record()).reason == "client_left"


class TestResponses:
    @pytest.mark.parametrize("at_once", [True, False])
    async def test_become_few(self, at_once: bool) -> None:
        """What came in one read leaves as one chunk, with the head or after it."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        may_send = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            if not at_once:
                await peer.send(head)
                await may_send.wait()
            await peer.send((head if at_once else b"") + b"4\r\nabcd\r\n" * 1000 + LAST)

        async with talking(script) as (client, _, _):
            client.send("GET /")
            received = await client.reader.readuntil(b"\r\n\r\n")
            may_send.set()
            chunks = chunks_of(await client.reader.readuntil(LAST))

        assert b"200 OK" in received
        assert b"".join(chunks) == b"abcd" * 1000
        assert len(chunks) < 10
