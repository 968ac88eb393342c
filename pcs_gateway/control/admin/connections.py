"""
The connections to the admin API: few, and none of them silent for long.

The law of this file: whoever says nothing takes no place from those who ask, and nobody takes the descriptors
that health checks, the state and the workers' channel need. There are so many connections at most; beyond it
the one that has been silent for longest gives way, and where none is silent the new one is closed at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

MOST_CONNECTIONS: Final = 64
"""At one time: a person, a load balancer and a few Prometheus servers need no more."""

SILENT_SECONDS: Final = 10.0
"""Until the head of a request is complete, the first one of a connection or the next; then it is closed."""

FAREWELL_SECONDS: Final = 1.0
"""What requests are given when this process is told to stop."""

BACKLOG: Final = 128


class AdminSite:
    """An application served on one listening socket."""

    def __init__(
        self, application: web.Application, most: int = MOST_CONNECTIONS, patience: float = SILENT_SECONDS
    ) -> None:
        """Serve it after `start`, on so many connections at most, which may be silent for so many seconds."""
        application.middlewares.insert(0, self._attend)
        self._most = most
        self._patience = patience
        self._runner = web.AppRunner(application, shutdown_timeout=FAREWELL_SECONDS)
        self._listening: asyncio.Server | None = None
        self._asking: set[_Connection] = set()
        self._silent: dict[_Connection, None] = {}

    def __repr__(self) -> str:
        return f"<AdminSite: {len(self._asking)} connections that ask, {len(self._silent)} silent ones>"

    async def start(self, listener: socket.socket | None) -> None:
        """Serve from now on; None: nobody can connect."""
        await self._runner.setup()
        if listener is not None:
            loop = asyncio.get_running_loop()
            self._listening = await loop.create_server(self._accept, sock=listener, backlog=BACKLOG)

    async def close(self) -> None:
        """Let requests that are being answered end, for a moment."""
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()

    def _accept(self) -> asyncio.Protocol:
        """Give the protocol of a new connection."""
        server = self._runner.server
        if server is None or not self._make_room():
            return _TurnedAway()
        connection = _Connection(server, self._patience, self._forget)
        self._silent[connection] = None
        return connection

    def _make_room(self) -> bool:
        """Let the one that has been silent for longest give way if need be; return whether there is room."""
        if len(self._asking) + len(self._silent) < self._most:
            return True
        silent = next(iter(self._silent), None)
        if silent is None:
            return False
        self._forget(silent)
        silent.give_way()
        return True

    def _forget(self, connection: _Connection) -> None:
        self._asking.discard(connection)
        self._silent.pop(connection, None)

    @web.middleware
    async def _attend(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Remember whose request is being answered."""
        connection = cast("_Connection", request.protocol)
        if connection not in self._silent:
            return await handler(request)  # it was lost, or gave way, with this request
        del self._silent[connection]
        self._asking.add(connection)
        try:
            return await handler(request)
        finally:
            if connection in self._asking:
                self._asking.discard(connection)
                self._silent[connection] = None


class _Connection(web.RequestHandler):
    """One connection; tells when it is lost, and can be ended from the moment of its accept on."""

    __slots__ = ("_gives_way", "_lost")

    def __init__(self, server: web.Server, patience: float, lost: Callable[[_Connection], None]) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=patience,
            access_log=None,  # type: ignore[arg-type]
        )
        self._lost = lost
        self._gives_way = False

    def give_way(self) -> None:
        """Close it, or see to it that it is closed as soon as it is made."""
        self._gives_way = True
        self.force_close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._gives_way:
            transport.close()
        else:
            super().connection_made(transport)

    def log_exception(self, *args: Any, **facts: Any) -> None:
        """Log what went wrong here; what a client sent that is no HTTP is its own affair."""
        if not isinstance(facts.get("exc_info"), HttpProcessingError):
            super().log_exception(*args, **facts)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._lost(self)
        super().connection_lost(exc)


class _TurnedAway(asyncio.Protocol):
    """Closes its connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
