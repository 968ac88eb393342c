"""The connections of the sample service: aiohttp's, but for what uvicorn does otherwise."""

import asyncio
import socket
import struct

from aiohttp import web

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER switched on with no time at all: closing sends a reset."""

LONGEST_TARGET = 64 * 1024
"""Bytes of a request's target; a longer one is answered 400, by httptools in front of PCS as here."""
LONGEST_FIELD = 256 * 1024
MOST_FIELDS = 1000


class Connection(web.RequestHandler):
    """
    One client's connection.

    A connection that never sent anything is kept, however long: uvicorn's timer begins with the first answer.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.keep_alive(True)

    def reset(self) -> None:
        """Throw the connection away with a TCP reset."""
        transport = self.transport
        if transport is None:
            return
        plain: socket.socket = transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        transport.abort()


def connect(server: web.Server, loop: asyncio.AbstractEventLoop, keep_alive: float) -> Connection:
    """Make the protocol of a connection that was just accepted."""
    return Connection(
        server,
        loop=loop,
        keepalive_timeout=keep_alive,
        max_line_size=LONGEST_TARGET,
        max_field_size=LONGEST_FIELD,
        max_headers=MOST_FIELDS,
        auto_decompress=False,
        lingering_time=0,
        access_log=None,  # type: ignore[arg-type] # None is how aiohttp is told to write none
    )
