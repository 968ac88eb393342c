"""
TLS between a connection and its socket: ciphertext in, plaintext out, one write for one answer.

To the loop this is a protocol, to a connection a transport. OpenSSL works on two buffers in memory, and
these are shared by all connections of the process, so that a connection costs no buffer of its own.

The law of this file: no shared buffer holds a byte when a call returns. Whatever was fed is read to its end
(OpenSSL keeps a part of a record inside the connection it belongs to) and whatever OpenSSL wrote is sent.
Were it broken, a peer would get records that its keys do not open: a broken connection, never another one's
plaintext.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from pcs_gateway.tls.handshakes import HandshakeFailure, handshake_failure

RECORD = 16 * 1024
"""The most plaintext that a record can hold (RFC 8446 section 5.1): each read takes one."""

FLUSH = 256 * 1024
"""Plaintext encrypted before the ciphertext is passed on: the shared buffer never shrinks."""

_incoming = ssl.MemoryBIO()
_outgoing = ssl.MemoryBIO()


class TruncatedError(ConnectionError):
    """The peer closed without `close_notify`: what it sent may not be all (RFC 9112 section 9.8)."""


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """
    One connection that speaks TLS.

    Args:
        handshake: Gets None when the handshake is complete, else why it failed.
        opened: Gives the connection above, when the handshake is complete.

    Attributes:
        raw: What moves the ciphertext.
        ssl_object: The state of TLS.
        first_data: Called once, when the first plaintext has come: tickets have come before it.
    """

    __slots__ = (
        "_has_peer_ended",
        "_has_said_goodbye",
        "_opened",
        "_protocol",
        "first_data",
        "handshake",
        "raw",
        "ssl_object",
    )

    raw: asyncio.Transport

    def __init__(
        self,
        context: ssl.SSLContext,
        handshake: asyncio.Future[HandshakeFailure | None],
        opened: Callable[[TlsTransport], asyncio.Protocol],
        *,
        server_side: bool,
        server_name: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.ssl_object = context.wrap_bio(
            _incoming, _outgoing, server_side=server_side, server_hostname=server_name, session=session
        )
        self.handshake: asyncio.Future[HandshakeFailure | None] | None = handshake
        self.first_data: Callable[[ssl.SSLObject], None] | None = None
        self._opened: Callable[[TlsTransport], asyncio.Protocol] | None = opened
        self._protocol: asyncio.Protocol | None = None
        self._has_peer_ended = self._has_said_goodbye = False

    def __repr__(self) -> str:
        return f"<TlsTransport under {self._protocol!r}>"

    # a protocol, to the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.raw = transport  # type: ignore[assignment]
        if not self.ssl_object.server_side:
            self._shake_hands()

    def data_received(self, data: bytes) -> None:
        if self.handshake is not None:
            _incoming.write(data)
            if not self._shake_hands():
                return
        elif self._protocol is None:
            return
        else:
            _incoming.write(data)
        had_ended = self._has_peer_ended
        plaintext = self._read()
        protocol = self._protocol
        if _outgoing.pending:
            self._flush()
        if plaintext and protocol is not None:
            if self.first_data is not None:
                first_data, self.first_data = self.first_data, None
                first_data(self.ssl_object)
            protocol.data_received(plaintext)
        if self._has_peer_ended and not had_ended and not self.raw.is_closing():
            self._end_of_peer()

    def eof_received(self) -> bool:
        if self.handshake is not None:
            self._fail(HandshakeFailure.ENDED)
            return False
        if self._has_peer_ended:
            return not self.raw.is_closing()
        self._has_peer_ended = True
        return self._end_of_peer(TruncatedError("closed without close_notify"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.handshake is not None:
            self._fail(HandshakeFailure.ENDED)
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    # TLS

    def _shake_hands(self) -> bool:
        """Go on with the handshake; True when it is complete."""
        try:
            self.ssl_object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            _incoming.read()
            self._flush()  # the alert that tells the peer
            self._fail(handshake_failure(error))
            return False
        self._flush()
        handshake, self.handshake = self.handshake, None
        opened, self._opened = self._opened, None
        if handshake is None or opened is None or handshake.done():
            _incoming.read()
            self.raw.abort()
            return False
        handshake.set_result(None)
        early = _incoming.read()
        self._protocol = protocol = opened(self)
        protocol.connection_made(self)
        _incoming.write(early)
        return True

    def _fail(self, failure: HandshakeFailure) -> None:
        handshake, self.handshake = self.handshake, None
        self._opened = None
        if handshake is not None and not handshake.done():
            handshake.set_result(failure)

    def _read(self) -> bytes:
        """Decrypt all that was fed."""
        read = self.ssl_object.read
        pieces = []
        try:
            while _incoming.pending:
                piece = read(RECORD)
                if not piece:
                    self._has_peer_ended = True  # close_notify
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._has_peer_ended = True  # close_notify, and ours was sent before
        except ssl.SSLError:
            # a broken record: OpenSSL has written an alert, and nothing more can be read
            self._has_said_goodbye = True
            self._flush()
            self.raw.abort()
        if _incoming.pending:
            _incoming.read()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _flush(self) -> None:
        if _outgoing.pending and not self.raw.is_closing():
            self.raw.write(_outgoing.read())
        elif _outgoing.pending:
            _outgoing.read()

    def _end_of_peer(self, error: TruncatedError | None = None) -> bool:
        """Tell the connection that its peer sends no more; True when the other direction stays open."""
        protocol = self._protocol
        if protocol is not None and protocol.eof_received():
            return True
        if error is not None and not self.ssl_object.server_side and protocol is not None:
            # a body that ends with the connection must not be taken for complete
            self._protocol = None
            self.raw.abort()
            protocol.connection_lost(error)
        else:
            self.close()
        return False

    def _say_goodbye(self) -> None:
        """Send `close_notify`; the peer's own is not awaited."""
        if not self._has_said_goodbye:
            self._has_said_goodbye = True
            try:
                self.ssl_object.unwrap()
            except ssl.SSLError:
                pass
            self._flush()

    # a transport, to the connection

    def write(self, data: Any) -> None:
        if self._has_said_goodbye:
            return
        if len(data) <= FLUSH:
            self.ssl_object.write(data)
        else:
            view = memoryview(data)
            while len(view) > FLUSH:
                self.ssl_object.write(view[:FLUSH])
                self.raw.write(_outgoing.read())
                view = view[FLUSH:]
            self.ssl_object.write(view)
        self.raw.write(_outgoing.read())

    def write_eof(self) -> None:
        self._say_goodbye()
        self.raw.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self.raw.is_closing():
            self._say_goodbye()
            self.raw.close()

    def abort(self) -> None:
        self.raw.abort()

    def close_unopened(self) -> None:
        """Give up: the handshake failed, or nobody waits for it any more."""
        self.handshake = self._opened = None
        self.raw.abort()

    def is_closing(self) -> bool:
        return self.raw.is_closing()

    def pause_reading(self) -> None:
        self.raw.pause_reading()

    def resume_reading(self) -> None:
        self.raw.resume_reading()

    def is_reading(self) -> bool:
        return self.raw.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self.raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self.raw.get_write_buffer_limits()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self.ssl_object
        return self.raw.get_extra_info(name, default)
