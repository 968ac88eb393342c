"""
Backends that do exactly what a test tells them, byte by byte.

A script is a coroutine that converses with one connection. When it returns, the connection is closed.

    async with ScriptedBackend(answering(OK)) as backend:
        ... backend.url, backend.requests ...
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
"""The shortest answer with a body."""

PATIENCE = 5.0
"""Seconds after which a backend no longer believes that bytes will come."""


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """
    One request as it reached a backend.

    Attributes:
        line: The request line.
        lines: The header lines as they were spelled.
        fields: By lower-case name; a repeated one as its last value.
        body: The body, its chunks put together.
        trailers: The trailer lines of a chunked body.
    """

    line: str
    lines: tuple[str, ...]
    fields: dict[str, str]
    body: bytes = b""
    trailers: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]


class Peer:
    """
    One connection that a backend accepted.

    Attributes:
        received: Every byte that came.
        has_ended: The gateway closed it, or its own half of it.
    """

    def __init__(
        self, backend: ScriptedBackend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.backend = backend
        self.received = bytearray()
        self.has_ended = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._unread = b""

    async def read(self, patience: float = PATIENCE) -> bytes:
        """Give the next bytes, b"" at the end of them."""
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        try:
            async with asyncio.timeout(patience):
                data = await self._reader.read(1 << 16)
        except ConnectionError:
            data = b""
        self.received += data
        if not data:
            self.has_ended.set()
        return data

    async def read_until(self, ending: bytes) -> bytes:
        """Give the bytes up to and with `ending`. Raises EOFError."""
        data = b""
        while ending not in data:
            more = await self.read()
            if not more:
                raise EOFError
            data += more
        head, _, self._unread = data.partition(ending)
        return head + ending

    async def read_exactly(self, count: int) -> bytes:
        """Give `count` bytes. Raises EOFError."""
        data = b""
        while len(data) < count:
            more = await self.read()
            if not more:
                raise EOFError
            data += more
        self._unread = data[count:]
        return data[:count]

    async def request(self) -> ReceivedRequest:
        """Read one request, note it, and give it. Raises EOFError."""
        request = await self.request_head()
        if request.fields.get("transfer-encoding") == "chunked":
            body, trailers = await self.read_chunks()
        else:
            body, trailers = await self.read_exactly(int(request.fields.get("content-length", "0"))), ()
        whole = ReceivedRequest(request.line, request.lines, request.fields, body, trailers)
        self.backend.requests.append(whole)
        return whole

    async def request_head(self) -> ReceivedRequest:
        """Read the head of a request only."""
        head = (await self.read_until(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.split("\r\n")[:-2]
        fields = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
        return ReceivedRequest(line, tuple(lines), fields)

    async def read_chunks(self) -> tuple[bytes, tuple[str, ...]]:
        """Read a chunked body and its trailer lines."""
        body = b""
        while size := int(await self.read_until(b"\r\n"), 16):
            body += (await self.read_exactly(size + 2))[:-2]
        trailers: list[str] = []
        while line := (await self.read_until(b"\r\n"))[:-2]:
            trailers.append(line.decode("latin-1"))
        return body, tuple(trailers)

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each in a segment of its own."""
        try:
            for piece in pieces:
                self._writer.write(piece)
                await self._writer.drain()
                if len(pieces) > 1:
                    await asyncio.sleep(0.002)
        except (ConnectionError, RuntimeError):  # the loop's word for a transport that is closed
            self.has_ended.set()

    async def end(self) -> None:
        """Wait until the gateway closes the connection."""
        while await self.read():
            pass

    def end_sending(self) -> None:
        """Close our half of the connection."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Close the connection with a reset."""
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]
"""What a backend does on one connection."""


class ScriptedBackend:
    """
    A server on loopback that follows a script on each connection.

    Attributes:
        peers: Every connection, in the order of their coming.
        requests: Every complete request, in the order of their coming.
        port: Where it listens.
    """

    def __init__(
        self, script: Script, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.script = script
        self.peers: list[Peer] = []
        self.requests: list[ReceivedRequest] = []
        self.port = 0
        self._receive_buffer = receive_buffer
        self._tls = tls
        self._conversations: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def received(self) -> bytes:
        """Every byte that came on any connection."""
        return b"".join(peer.received for peer in self.peers)

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", self.port))
        if self._receive_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._converse, sock=listener, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for conversation in list(self._conversations):
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        await self._server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)
        peer = Peer(self, reader, writer)
        self.peers.append(peer)
        try:
            await self.script(peer)
        except (EOFError, ConnectionError, asyncio.CancelledError):
            pass  # the end of the conversation, or of the test
        finally:
            writer.close()


# scripts


def answering(*pieces: bytes) -> Script:
    """Answer each request with these bytes, each piece in a segment of its own."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*pieces)

    return script


def answering_once(*pieces: bytes) -> Script:
    """Answer the first request with these bytes and close the connection."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)

    return script


async def hanging(peer: Peer) -> None:
    """Read everything and answer nothing."""
    await peer.end()


async def resetting(peer: Peer) -> None:
    """Reset the connection when a request has come."""
    await peer.request()
    peer.reset()


async def echoing(peer: Peer) -> None:
    """Answer each request with its own target and body, its request id beside."""
    while True:
        request = await peer.request()
        body = request.target.encode() + b" " + request.body
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Seen-Id: %b\r\n\r\n%b"
            % (len(body), request.fields.get("x-request-id", "").encode(), body)
        )


@asynccontextmanager
async def closed_port() -> AsyncIterator[int]:
    """A port at which every connect is refused, as long as the context lasts."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@asynccontextmanager
async def full_port() -> AsyncIterator[int]:
    """A port at which connects are neither accepted nor refused: its listener's queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for filler in fillers:
                filler.close()
