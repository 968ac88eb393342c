"""The driver of TLS, without sockets: what comes in pieces goes out whole, and shared buffers stay empty."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pcs_gateway.proxy import tls_transport
from pcs_gateway.proxy.tls_transport import FLUSH, TlsTransport, TruncatedError
from pcs_gateway.tls.handshakes import HandshakeFailure
from tests.fakes.authority import Authority


class Wire(asyncio.Transport):
    """A socket that goes nowhere and keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_aborted = self.is_closed = self.has_ended = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def write_eof(self) -> None:
        self.has_ended = True

    def is_closing(self) -> bool:
        return self.is_aborted or self.is_closed

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_closed = True

    def take(self) -> bytes:
        """Give what was written since the last time."""
        data, self.written = b"".join(self.written), []
        return data


class Recorder(asyncio.Protocol):
    """A connection that notes what it is told."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ended = False
        self.lost: list[Exception | None] = []
        self.opens: Callable[[], object] = list

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.opens()

    def data_received(self, data: bytes) -> None:
        self.received.append(data)

    def eof_received(self) -> bool:
        self.ended = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Side:
    """One side of a connection that speaks TLS, on a wire of its own."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self.wire, self.above = Wire(), Recorder()
        self.handshake: asyncio.Future[HandshakeFailure | None] = asyncio.Future()
        self.transport = TlsTransport(
            context,
            self.handshake,
            lambda _: self.above,
            server_side=server_side,
            server_name=None if server_side else "localhost",
        )
        self.transport.connection_made(self.wire)

    def feed(self, data: bytes, size: int = 1 << 18) -> None:
        """Let bytes come in pieces of this size."""
        for at in range(0, len(data), size):
            self.transport.data_received(data[at : at + size])
            assert_buffers_are_empty()


def assert_buffers_are_empty() -> None:
    """The law of the module."""
    assert (0, 0) == (tls_transport._incoming.pending, tls_transport._outgoing.pending)


def meet(client: Side, server: Side, size: int = 1 << 18) -> None:
    """Pass on what both write until neither writes anything."""
    while (to_server := client.wire.take()) or server.wire.written:
        server.feed(to_server, size)
        client.feed(server.wire.take(), size)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a client and a server that trust each other."""
    authority = Authority(tmp_path_factory.mktemp("tls"))
    return authority.client(), authority.server(authority.pair())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    records=st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=6),
    size=st.integers(1, 70_000),
)
async def test_plaintext_is_the_same_however_the_ciphertext_is_cut(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], records: list[bytes], size: int
) -> None:
    """Nothing is lost, doubled or held back, and no byte stays in a shared buffer."""
    client, server = Side(contexts[0], server_side=False), Side(contexts[1], server_side=True)
    meet(client, server, max(size, 200))
    for record in records:
        client.transport.write(record)
    server.feed(client.wire.take(), max(size, sum(map(len, records)) // 500))

    assert b"".join(records) == b"".join(server.above.received)


async def test_handshakes_of_many_connections_may_interleave(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """Their bytes pass through the same buffers, a piece of each in turn, and some of them die midway."""
    pairs = [(Side(contexts[0], server_side=False), Side(contexts[1], server_side=True)) for _ in range(20)]
    for turn in range(6):
        for number, (client, server) in enumerate(pairs):
            if number % 5 == turn % 5 and number % 2:
                continue  # it is slow this time
            server.feed(client.wire.take(), 100)
            client.feed(server.wire.take(), 100)
        if turn == 0:
            for client, server in pairs[::7]:
                client.transport.connection_lost(None)
                server.transport.connection_lost(None)
            del pairs[::7]
    for number, (client, server) in enumerate(pairs):
        meet(client, server)
        client.transport.write(b"%d" % number)
        meet(client, server)

        assert [b"%d" % number] == server.above.received


async def test_one_answer_is_one_write(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Even of several records; what is very large goes in parts: the shared buffer stays small."""
    client, server = Side(contexts[0], server_side=False), Side(contexts[1], server_side=True)
    meet(client, server)

    server.transport.write(bytes(100_000))
    once = len(server.wire.written)
    client.feed(server.wire.take())
    server.transport.write(bytes(3 * FLUSH + 1))

    assert (1, 4) == (once, len(server.wire.written))
    client.feed(server.wire.take())
    assert 100_000 + 3 * FLUSH + 1 == sum(map(len, client.above.received))


async def test_request_in_the_last_flight_of_the_handshake_is_read(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """A client need not wait for an answer before it sends its request."""
    client, server = Side(contexts[0], server_side=False), Side(contexts[1], server_side=True)
    server.feed(client.wire.take())
    client.feed(server.wire.take())
    client.transport.write(b"request")

    server.feed(client.wire.take())

    assert [b"request"] == server.above.received
    assert server.handshake.result() is None


async def test_goodbye_is_the_end(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """The peer's `close_notify` is an end of file, said once, whatever follows it."""
    client, server = Side(contexts[0], server_side=False), Side(contexts[1], server_side=True)
    meet(client, server)
    client.transport.write(b"last")
    client.transport.write_eof()

    server.feed(client.wire.take())
    server.feed(b"\x17\x03\x03\x00\x20" + bytes(32))

    assert ([b"last"], True) == (server.above.received, server.above.ended)
    assert client.wire.has_ended


async def test_goodbye_from_both_sides_destroys_nothing(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """Who said it first may still have an answer on its way: the connection is closed, not aborted."""
    client, server = Side(contexts[0], server_side=False), Side(contexts[1], server_side=True)
    meet(client, server)
    server.transport.write(b"answer")
    server.transport.write_eof()
    client.transport.write_eof()

    server.feed(client.wire.take())

    assert (True, False) == (server.wire.is_closed, server.wire.is_aborted)
    assert server.above.ended


async def test_connection_that_opens_may_cause_others_to_read(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """What came behind the handshake waits meanwhile, outside of the shared buffer."""
    others = Side(contexts[0], server_side=False), Side(contexts[1], server_side=True)
    meet(*others)
    others[0].transport.write(b"other")
    client, server = Side(contexts[0], server_side=False), Side(contexts[1], server_side=True)
    server.above.opens = lambda: others[1].transport.data_received(others[0].wire.take())
    server.feed(client.wire.take())
    client.feed(server.wire.take())
    client.transport.write(b"request")

    server.feed(client.wire.take())

    assert ([b"request"], [b"other"]) == (server.above.received, others[1].above.received)


async def test_end_without_goodbye_is_told_to_a_client_only(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """A server's requests have a framing that does not depend on it."""
    client, server = Side(contexts[0], server_side=False), Side(contexts[1], server_side=True)
    meet(client, server)

    client.transport.eof_received()
    server.transport.eof_received()
    server.transport.connection_lost(None)

    assert [TruncatedError] == [type(error) for error in client.above.lost]
    assert [None] == server.above.lost


async def test_failed_handshake_leaves_nothing_in_the_buffers(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """Whatever followed the bytes that broke it."""
    server = Side(contexts[1], server_side=True)

    server.feed(b"GET / HTTP/1.1\r\n\r\n" * 1000)
    server.feed(b"more")

    assert HandshakeFailure.PLAIN_HTTP is server.handshake.result()


async def test_nobody_waits_for_the_handshake_any_more(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """Given up in the moment in which it completes: nothing is opened."""
    client, server = Side(contexts[0], server_side=False), Side(contexts[1], server_side=True)
    server.feed(client.wire.take())
    client.feed(server.wire.take())
    server.handshake.cancel()

    server.feed(client.wire.take() + b"rest")

    assert server.wire.is_aborted
    assert [] == server.above.received
