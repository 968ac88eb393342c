"""
The data plane on transports that go nowhere: what a client and a backend send is fed to it in any pieces.

Clock and chance stand still, so that whatever differs between two runs differs for the pieces' sake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

from pcs_gateway.backends.backend import Backend
from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.processes.messages import EvidenceEntry
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.processes.tickets import Tickets
from pcs_gateway.proxy.data_plane import DataPlane
from pcs_gateway.proxy.downstream import DownstreamConnection
from pcs_gateway.proxy.upstream import HEAD, UpstreamConnection
from pcs_gateway.proxy.upstream_pool import UpstreamMember
from pcs_gateway.telemetry.recorder import Recorder
from tests.fakes.backend import OK
from tests.fakes.clock import FakeClock

CONNECTIONS = 40
"""Connections to the backend at hand: more than one client can need, since an exchange may cost one."""


class NoSocket:
    """Nothing waits in it."""

    def fileno(self) -> int:
        return -1


class NoTransport(asyncio.Transport):
    """A transport that keeps what is written and remembers that it was closed."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "socket": NoSocket()})
        self.written = bytearray()
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def write_eof(self) -> None:
        self.is_closed = True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It never fills."""

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nobody reads."""

    def resume_reading(self) -> None:
        """Nobody reads."""


class IdleLoop:
    """A loop in which no time passes: delays begin and never end, and nothing is connected."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        return self

    def cancel(self) -> None:
        """What `call_later` gave is no more."""


class Conversation:
    """One worker's data plane before a backend; clients come one after another."""

    def __init__(self) -> None:
        self._scoreboard = Scoreboard.create()
        self._tickets = Tickets.create(1)
        config = GatewayConfig.model_validate(
            {
                "pools": {
                    "pcs": {
                        "backends": [{"url": "http://127.0.0.1:1"}],
                        "retry": {"attempts": 0},
                        "connections": {"max_per_backend": CONNECTIONS, "idle": CONNECTIONS},
                        "outlier_detection": {"consecutive_failures": 0},
                    }
                },
                "limits": {"pipelined_requests": 1000},
            }
        )
        backend = Backend(
            "pcs", "b0", "http://127.0.0.1:1", "http", "127.0.0.1", 1, ("127.0.0.1",), 1, 0, 1, ready=True
        )
        evidence: list[EvidenceEntry] = []
        self.plane = DataPlane(
            IdleLoop(),  # type: ignore[arg-type]
            FakeClock(),
            Random(1),
            bytes,
            self._scoreboard,
            self._scoreboard.occupy(1, Role.WORKER, 1, 1),
            self._tickets,
            Recorder(),
            evidence.append,
        )
        self.plane.replace_pools((PoolSnapshot("pcs", 0, (backend,)),), config.pools)
        self.plane.configure(config.routes, config.limits, config.timeouts, config.forwarding)
        self._pool = self.plane.pools["pcs"]
        (member,) = self._pool.balancer.members
        assert isinstance(member, UpstreamMember)
        self._member = member
        self._connections: list[tuple[UpstreamConnection, NoTransport]] = []

    def requests(self, pieces: Iterable[bytes]) -> tuple[list[bytes], bytes]:
        """Let a client send pieces and its end; give each whole request forwarded, and the answers."""
        forwarded: list[bytes] = []
        answers = b""
        for client in self._client(pieces):
            while (busy := self._busy()) is not None:
                connection, transport = busy
                forwarded.append(bytes(transport.written))
                transport.written.clear()
                connection.data_received(OK)
            answers = bytes(client.written)
        return forwarded, answers

    def response(self, method: bytes, pieces: Iterable[bytes]) -> tuple[bytes, bool]:
        """Let a backend send pieces and its end; give what the client got, and whether it was cut."""
        request = method + b" / HTTP/1.1\r\nHost: a\r\n\r\n"
        client = NoTransport()
        downstream = self._connect(client)
        downstream.data_received(request)
        busy = self._busy()
        assert busy is not None
        connection, transport = busy
        for piece in pieces:
            if transport.is_closed or connection.exchange is None:
                break
            connection.data_received(piece)
        if connection.exchange is not None:
            connection.connection_lost(None)
        elif connection.is_open:
            connection.close()
        is_cut = client.is_closed
        self._leave(downstream)
        return bytes(client.written), is_cut

    def _client(self, pieces: Iterable[bytes]) -> Iterator[NoTransport]:
        """Feed pieces; yields after each, for the backend to act, and once more at the end."""
        client = NoTransport()
        downstream = self._connect(client)
        for piece in pieces:
            if client.is_closed:
                break
            downstream.data_received(piece)
            yield client
        if not client.is_closed:
            downstream.eof_received()
            yield client
        self._leave(downstream)
        yield client

    def _connect(self, client: NoTransport) -> DownstreamConnection:
        while len(self._member.idle) < CONNECTIONS:
            connection, transport = UpstreamConnection(self._pool, self._member), NoTransport()
            connection.connection_made(transport)
            self._pool.release(connection)
            self._connections.append((connection, transport))
        downstream = DownstreamConnection(self.plane, b"http")
        downstream.connection_made(client)
        return downstream

    def _leave(self, downstream: DownstreamConnection) -> None:
        downstream.connection_lost(None)
        self.plane.settle()
        kept = []
        for connection, transport in self._connections:
            transport.written.clear()
            if transport.is_closed or connection.exchange is not None:
                connection.connection_lost(None)
            else:
                kept.append((connection, transport))
        self._connections = kept
        assert self._member.in_flight == 0, "a lease was lost"

    def _busy(self) -> tuple[UpstreamConnection, NoTransport] | None:
        """Give the connection on which a whole request waits for its answer."""
        for connection, transport in self._connections:
            exchange = connection.exchange
            if exchange is not None and connection.state == HEAD and exchange.is_request_sent:
                return connection, transport
        return None
