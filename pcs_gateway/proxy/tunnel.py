"""
A byte tunnel after 101: what comes on one side goes out on the other; each direction ends on its own.

The exchange stays in flight until both directions have ended, one side is lost, or no byte flowed for
`timeouts.tunnel_idle`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcs_gateway.proxy.evidence import judge
from pcs_gateway.proxy.phases import TUNNELLING
from pcs_gateway.proxy.response_writer import upgrade_head

if TYPE_CHECKING:
    from pcs_gateway.http.messages import ResponseHead
    from pcs_gateway.proxy.downstream import DownstreamConnection
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.proxy.upstream import UpstreamConnection


class Tunnel:
    """The two connections of an upgraded exchange."""

    __slots__ = ("_backend", "_backend_is_over", "_client", "_client_is_over", "_exchange")

    def __init__(self, exchange: Exchange, client: DownstreamConnection, backend: UpstreamConnection) -> None:
        self._exchange = exchange
        self._client = client
        self._backend = backend
        self._client_is_over = False
        self._backend_is_over = False

    def open(self, head: ResponseHead, rest: bytes) -> None:
        """Answer 101, and pass on what has already come on either side."""
        self._client.transport.write(upgrade_head(self._exchange, head))
        if rest:
            self.to_client(rest)
        self._client.deliver_pending()
        if self._client.is_peer_gone:
            self.client_ended()

    def to_backend(self, data: bytes) -> None:
        """Pass on the client's bytes."""
        self._exchange.is_active = True
        self._exchange.request_bytes += len(data)
        self._backend.transport.write(data)

    def to_client(self, data: bytes) -> None:
        """Pass on the backend's bytes."""
        self._exchange.is_active = True
        self._exchange.response_bytes += len(data)
        self._client.transport.write(data)

    def client_ended(self) -> None:
        """The client sends no more."""
        self._client_is_over = True
        if self._backend_is_over:
            self.close()
        elif not self._backend.transport.is_closing():
            self._backend.transport.write_eof()

    def backend_ended(self) -> None:
        """The backend sends no more."""
        self._backend_is_over = True
        if self._client_is_over:
            self.close()
        elif not self._client.transport.is_closing():
            self._client.transport.write_eof()

    def close(self) -> None:
        """Close both sides, after what was written to the client."""
        exchange = self._exchange
        exchange.tunnel = None
        exchange.connection = None
        exchange.drop_upstream()
        exchange.finish(exchange.plane.monotonic())
        self._client.end()


def switch_protocols(exchange: Exchange, head: ResponseHead, rest: bytes) -> None:
    """Turn an exchange whose backend answered 101 into a tunnel; `rest` are the backend's first bytes."""
    connection, upstream = exchange.connection, exchange.upstream
    assert connection is not None
    assert upstream is not None
    now = exchange.plane.monotonic()
    exchange.phase = TUNNELLING
    exchange.status = 101
    exchange.time_to_first_byte = now - exchange.received
    exchange.keep_alive = False
    exchange.deadline = now + exchange.matched.timeouts.tunnel_idle
    judge(exchange, 101, now, is_whole=True)
    exchange.tunnel = tunnel = Tunnel(exchange, connection, upstream)
    tunnel.open(head, rest)
