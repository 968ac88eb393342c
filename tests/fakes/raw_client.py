"""A client that sends exactly the bytes a test wants and shows exactly the bytes that come back."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

DEADLINE = 5.0
"""Seconds after which a test that waits for bytes fails."""


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """
    One answer as it came.

    Attributes:
        status: Its status.
        lines: The header lines as they were spelled.
        fields: By lower-case name; a repeated one as its last value.
        body: The body, its chunks put together.
        trailers: The lines behind the last chunk.
    """

    status: int
    lines: tuple[str, ...]
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: tuple[str, ...] = ()


class RawClient:
    """
    One TCP connection, used as `async with RawClient(port) as client:`.

    Args:
        port: Of a server on 127.0.0.1.
        tls: To speak TLS; `server_name` is then asked for, and looked for in the certificate.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, server_name: str = "localhost") -> None:
        self._port = port
        self._tls = tls
        self._server_name = server_name

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1",
            self._port,
            ssl=self._tls,
            server_hostname=self._server_name if self._tls is not None else None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.transport.abort()

    async def ask(self, head: str, *fields: str, body: bytes = b"") -> RawAnswer:
        """Send one request and read its answer; Host and Content-Length are added where they are missing."""
        self.send(head, *fields, body=body)
        return await self.read_answer(head.partition(" ")[0])

    def send(self, head: str, *fields: str, body: bytes = b"") -> None:
        lines = list(fields)
        names = {line.partition(":")[0].lower() for line in lines}
        if "host" not in names:
            lines.append("Host: sample.test")
        if body and not names & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(body)}")
        version = "" if " HTTP/" in head else " HTTP/1.1"
        self.writer.write("\r\n".join([head + version, *lines, "", ""]).encode() + body)

    async def read_answer(self, method: str = "GET") -> RawAnswer:
        async with asyncio.timeout(DEADLINE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")[:-2]
            status = int(first.split()[1])
            fields = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            has_body = method != "HEAD" and status >= 200 and status not in {204, 304}
            body, trailers = await self._read_body(fields) if has_body else (b"", ())
        return RawAnswer(status, tuple(lines), fields, body, trailers)

    def reset(self) -> None:
        """Leave with a reset, which a server cannot take for a half-closed connection."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def read_end(self) -> bytes:
        """Return what is left until the server closes; a reset raises ConnectionResetError."""
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()

    async def _read_body(self, fields: dict[str, str]) -> tuple[bytes, tuple[str, ...]]:
        if fields.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(fields["content-length"])), ()
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        trailers = []
        while line := (await self.reader.readuntil(b"\r\n"))[:-2]:
            trailers.append(line.decode("latin-1"))
        return body, tuple(trailers)
