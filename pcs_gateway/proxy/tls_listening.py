"""
Listeners that speak TLS: the handshake of an accepted connection, and what comes of it.

A handshake that fails is counted with its reason and not logged: whoever wants to fill a disk would only
have to connect.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pcs_gateway.http.refusals import Refusal
from pcs_gateway.proxy.answers import problem
from pcs_gateway.proxy.downstream import LINGER_SECONDS, DownstreamConnection
from pcs_gateway.proxy.response_writer import refused_head
from pcs_gateway.proxy.tls_transport import TlsTransport
from pcs_gateway.tls.contexts import Files, listener_context
from pcs_gateway.tls.handshakes import HandshakeFailure
from pcs_gateway.tls.names import written_subject

if TYPE_CHECKING:
    from pcs_gateway.processes.plan import Listener
    from pcs_gateway.proxy.client_connections import ShakingHands
    from pcs_gateway.proxy.config import ListenConfig
    from pcs_gateway.proxy.data_plane import DataPlane
    from pcs_gateway.tls.config import TlsConfig

REFUSALS: Mapping[HandshakeFailure, Refusal] = {
    HandshakeFailure.PLAIN_HTTP: Refusal.PLAIN_HTTP_ON_TLS,
    HandshakeFailure.VERSION: Refusal.TLS_VERSION_REFUSED,
    HandshakeFailure.NO_SHARED_CIPHER: Refusal.TLS_NO_SHARED_CIPHER,
    HandshakeFailure.CERTIFICATE_MISSING: Refusal.TLS_CLIENT_CERTIFICATE_MISSING,
    HandshakeFailure.CERTIFICATE: Refusal.TLS_CLIENT_CERTIFICATE_REFUSED,
    HandshakeFailure.ALERT: Refusal.TLS_ALERT_BY_CLIENT,
    HandshakeFailure.ENDED: Refusal.TLS_HANDSHAKE_ABANDONED,
    HandshakeFailure.MALFORMED: Refusal.TLS_HANDSHAKE_MALFORMED,
}


class ListenerTls:
    """
    What a worker needs to speak TLS on one listener.

    Attributes:
        config: Its section.
        context: For new connections.
    """

    __slots__ = ("_content", "config", "context")

    def __init__(self, config: TlsConfig, files: Files) -> None:
        """Make it. Raises UnusableError."""
        self.config = config
        self._content = _content(config, files)
        self.context: ssl.SSLContext = listener_context(config, files)

    def is_made_from(self, config: TlsConfig, files: Files) -> bool:
        """Tell whether nothing has changed."""
        return config == self.config and _content(config, files) == self._content

    def subject_line(self, transport: TlsTransport) -> bytes:
        """Give the field that tells backends who showed a certificate; empty where none is to be told."""
        clients = self.config.client_certificates
        if clients is None or clients.subject_header is None:
            return b""
        certificate = transport.ssl_object.getpeercert() or {}
        subject = written_subject(certificate.get("subject", ()))  # type: ignore[arg-type]
        return f"{clients.subject_header}: {subject}\r\n".encode("ascii") if subject else b""


def _content(config: TlsConfig, files: Files) -> tuple[bytes, ...]:
    return tuple(files.get(path, b"") for path in config.files())


class TlsListeners:
    """
    Which of a worker's listeners speak TLS, and how.

    Args:
        listeners: All of the worker's; whether one speaks TLS is settled for its life.
    """

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._addresses = {listener.fd: listener.address for listener in listeners if listener.tls}
        self._known: dict[str, ListenerTls] = {}

    def configure(self, listen: Iterable[ListenConfig], files: Files) -> None:
        """
        Take over changes for new connections; a listener that the snapshot no longer has keeps what it had.

        Raises:
            UnusableError: A file's content cannot be used.
        """
        known = dict(self._known)
        for one in listen:
            if one.tls is None or one.address not in self._addresses.values():
                continue
            before = known.get(one.address)
            if before is None or not before.is_made_from(one.tls, files):
                known[one.address] = ListenerTls(one.tls, files)
        self._known = known

    def speaks_tls(self, fd: int) -> bool:
        """Tell whether connections of this listening socket begin with a handshake."""
        return fd in self._addresses

    async def serve(self, plane: DataPlane, fd: int, accepted: socket.socket, client: str) -> bool:
        """
        Shake hands on a connection accepted from a listening socket; True when it is served from then on.

        Args:
            client: Its address.

        Raises:
            OSError: The connection is gone already.
        """
        tls = self._known.get(self._addresses[fd])
        if tls is None:
            plane.recorder.refuse(Refusal.TLS_NO_CERTIFICATE.reason)
            accepted.close()
            return False
        counted = plane.connections.shaking_hands(client)
        try:
            return await serve_tls(plane, tls, accepted, counted)
        finally:
            if counted is not None:
                counted.over()


async def serve_tls(
    plane: DataPlane, tls: ListenerTls, accepted: socket.socket, counted: ShakingHands | None = None
) -> bool:
    """
    Shake hands on an accepted connection; True when it is served from then on.

    Raises:
        OSError: The socket is gone already.
    """
    loop = plane.loop
    handshake: asyncio.Future[HandshakeFailure | None] = loop.create_future()

    def serve(opened: TlsTransport) -> DownstreamConnection:
        if counted is not None:
            counted.over()
        return DownstreamConnection(plane, b"https", tls.subject_line(opened))

    transport = TlsTransport(
        tls.context,
        handshake,
        serve,
        server_side=True,
    )
    await loop.connect_accepted_socket(lambda: transport, accepted)
    try:
        return await _end_of_handshake(plane, tls, transport, handshake)
    except BaseException:
        transport.abort()
        raise


async def _end_of_handshake(
    plane: DataPlane,
    tls: ListenerTls,
    transport: TlsTransport,
    handshake: asyncio.Future[HandshakeFailure | None],
) -> bool:
    """Wait for it; a client whose handshake fails is told so and sent away, and False returned."""
    try:
        async with asyncio.timeout(tls.config.handshake_timeout):
            failure = await handshake
    except TimeoutError:
        if handshake.cancelled():
            plane.recorder.refuse(Refusal.TLS_HANDSHAKE_TIMEOUT.reason)
            transport.abort()
            return False
        failure = handshake.result()  # complete in the very moment in which its time was over
    if failure is not None:
        refusal = REFUSALS[failure]
        plane.recorder.refuse(refusal.reason)
        await _part(plane, transport, refusal)
    return failure is None


async def _part(plane: DataPlane, transport: TlsTransport, refusal: Refusal) -> None:
    """
    Close by halves after a failed handshake, so that a reset does not destroy what the client is told.

    That is an alert, or for a client that spoke HTTP an answer in its own language.
    """
    ended: asyncio.Future[None] = plane.loop.create_future()
    raw = transport.raw
    if raw.is_closing():
        return
    raw.set_protocol(_Farewell(ended))
    if refusal.status:
        request_id = plane.identities.draw()[:32]
        raw.write(refused_head(plane, problem(refusal, request_id), request_id, is_head=False))
    raw.write_eof()
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            await ended
    except TimeoutError:
        raw.abort()


class _Farewell(asyncio.Protocol):
    """Reads on until the client closes, and drops it all."""

    __slots__ = ("_ended",)

    def __init__(self, ended: asyncio.Future[None]) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
