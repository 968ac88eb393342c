"""
Connections to `https://` backends: the handshake before the first request, and sessions that are resumed.

The connect timeout covers the handshake, and a handshake that fails has sent nothing of a request: what
follows is what follows a failed connect.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pcs_gateway.proxy.attempts import Failure
from pcs_gateway.proxy.tls_transport import TlsTransport
from pcs_gateway.proxy.upstream import UpstreamConnection
from pcs_gateway.tls.config import BackendTlsConfig
from pcs_gateway.tls.contexts import Files, backend_context
from pcs_gateway.tls.handshakes import HandshakeFailure

if TYPE_CHECKING:
    from pcs_gateway.backends.config import PoolConfig
    from pcs_gateway.proxy.upstream_pool import UpstreamMember, UpstreamPool

FAILURES: Mapping[HandshakeFailure, Failure] = {
    HandshakeFailure.PLAIN_HTTP: Failure.TLS_PROTOCOL,
    HandshakeFailure.VERSION: Failure.TLS_PROTOCOL,
    HandshakeFailure.NO_SHARED_CIPHER: Failure.TLS_PROTOCOL,
    HandshakeFailure.CERTIFICATE_MISSING: Failure.TLS_CERTIFICATE,
    HandshakeFailure.CERTIFICATE: Failure.TLS_CERTIFICATE,
    HandshakeFailure.ALERT: Failure.TLS_ALERT,
    HandshakeFailure.ENDED: Failure.TLS_PROTOCOL,
    HandshakeFailure.MALFORMED: Failure.TLS_PROTOCOL,
}


class TlsHandshakeFailed(Exception):  # noqa: N818 - an outcome, not a fault of ours
    """Raised when the handshake with a backend has failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.outcome)
        self.failure = failure


class BackendTls:
    """How the backends of one pool are spoken to."""

    __slots__ = ("_authorities", "_config", "context")

    def __init__(self, config: BackendTlsConfig, files: Files) -> None:
        """Make it. Raises UnusableError."""
        self._config = config
        self._authorities = _authorities(config, files)
        self.context: ssl.SSLContext = backend_context(config, files)

    def is_made_from(self, config: BackendTlsConfig, files: Files) -> bool:
        """Tell whether nothing has changed."""
        return config == self._config and _authorities(config, files) == self._authorities

    def server_name(self, host: str) -> str:
        """Give the name that a backend at `host` is asked for."""
        return self._config.server_name or host


def _authorities(config: BackendTlsConfig, files: Files) -> bytes | None:
    return files[config.ca] if config.ca is not None else None


def backend_tls(config: PoolConfig, files: Files, before: BackendTls | None) -> BackendTls | None:
    """
    Give what a pool needs for its `https://` backends: None without any, what it had when nothing changed.

    Raises:
        UnusableError: A file's content cannot be used.
    """
    if not config.speaks_tls:
        return None
    if before is not None and before.is_made_from(config.tls, files):
        return before
    return BackendTls(config.tls, files)


async def open_tls(
    pool: UpstreamPool, tls: BackendTls, member: UpstreamMember, address: str
) -> UpstreamConnection:
    """
    Connect and shake hands.

    Raises:
        OSError: No connection.
        TlsHandshakeFailed: A connection, but no handshake.
    """
    loop = asyncio.get_running_loop()
    handshake: asyncio.Future[HandshakeFailure | None] = loop.create_future()
    connections: list[UpstreamConnection] = []

    def opened(_: TlsTransport) -> UpstreamConnection:
        connection = UpstreamConnection(pool, member)
        connections.append(connection)
        return connection

    context, known = tls.context, member.tls_session
    transport = TlsTransport(
        context,
        handshake,
        opened,
        server_side=False,
        server_name=tls.server_name(member.backend.host),
        session=known[1] if known is not None and known[0] is context else None,
    )
    transport.first_data = lambda ssl_object: _keep_session(member, context, ssl_object)
    await loop.create_connection(lambda: transport, address, member.backend.port)
    failure: HandshakeFailure | None = HandshakeFailure.ENDED
    try:
        failure = await handshake
    finally:
        if failure is not None:
            transport.close_unopened()
    if failure is not None:
        raise TlsHandshakeFailed(FAILURES[failure])
    return connections[0]


def _keep_session(member: UpstreamMember, context: ssl.SSLContext, ssl_object: ssl.SSLObject) -> None:
    """Keep what spares the next connection most of its handshake; TLS 1.3 sends it after the first one."""
    session = ssl_object.session
    if session is not None and (session.has_ticket or session.id):
        member.tls_session = (context, session)
