"""
A connection to a backend: request bytes out, the response head in, the body streamed through.

The law of this file: one exchange at a time; bytes that come when no exchange waits close the connection
and are given to nobody; a body is complete by its length, its last chunk, or, with neither, by the close.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pcs_gateway.http.framing import ChunkedDecoder, FramingError
from pcs_gateway.http.messages import ResponseHead, read_response_head
from pcs_gateway.http.refusals import MalformedResponse
from pcs_gateway.proxy.attempts import Failure

if TYPE_CHECKING:
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.proxy.upstream_pool import UpstreamMember, UpstreamPool

IDLE, HEAD, BODY, TUNNEL, CLOSED = range(5)
UNTIL_CLOSE = -1
RESPONSE_HEAD_LIMIT = 64 * 1024
MOST_INTERIM_RESPONSES = 16


class UpstreamConnection(asyncio.Protocol):
    """
    One connection to one backend.

    Attributes:
        is_reused: It has carried an exchange before; the backend may have closed it meanwhile.
        idle_since: Monotonic seconds of its last release to the pool.
    """

    __slots__ = (
        "_decoder",
        "_interim",
        "_may_persist",
        "_pending",
        "_remaining",
        "exchange",
        "idle_since",
        "is_reused",
        "member",
        "pool",
        "state",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, pool: UpstreamPool, member: UpstreamMember) -> None:
        self.pool = pool
        self.member = member
        self.exchange: Exchange | None = None
        self.state = IDLE
        self.is_reused = False
        self.idle_since = 0.0
        self._pending = b""
        self._remaining = 0
        self._decoder: ChunkedDecoder | None = None
        self._may_persist = True
        self._interim = 0

    def __repr__(self) -> str:
        state = ("idle", "head", "body", "tunnel", "closed")[self.state]
        return f"<UpstreamConnection to {self.member.name}: {state}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.pool.opened(self.member)

    def start(self, exchange: Exchange, data: bytes) -> None:
        """Send a request, or its beginning."""
        self.exchange = exchange
        self.state = HEAD
        self._interim = 0
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state == HEAD:
            self._read_head(data)
        elif state == BODY:
            self._read_body(data)
        elif state == TUNNEL and self.exchange is not None:
            self.exchange.tunnel_to_client(data)
        else:
            self.close()

    def _read_head(self, data: bytes) -> None:
        if self._pending:
            data = self._pending + data
            self._pending = b""
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > RESPONSE_HEAD_LIMIT:
            if len(data) > RESPONSE_HEAD_LIMIT:
                self.fail(Failure.HEAD_TOO_LARGE)
            else:
                self._pending = data
            return
        line_end = data.find(b"\r\n")
        try:
            head = read_response_head(data[:line_end], data[line_end + 2 : end + 2])
        except MalformedResponse:
            self.fail(Failure.MALFORMED)
            return
        if head.status >= 200:
            self._begin_body(head, data[end + 4 :])
        else:
            self._pass_interim(head, data[end + 4 :])

    def _pass_interim(self, head: ResponseHead, rest: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self.close()
            return
        if head.status == 101:
            if exchange.wants_upgrade:
                self.state = TUNNEL
                exchange.begin_tunnel(head, rest)
            else:
                self.fail(Failure.UNASKED_UPGRADE)
            return
        self._interim += 1
        if self._interim > MOST_INTERIM_RESPONSES or head.status < 100:
            self.fail(Failure.MALFORMED)
            return
        exchange.pass_interim(head)
        if rest and self.state == HEAD:
            self._read_head(rest)

    def _begin_body(self, head: ResponseHead, body: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self.close()
            return
        self._may_persist = head.may_persist and head.status < 500
        if exchange.method == b"HEAD" or head.status in (204, 304):
            remaining = 0
        elif head.is_chunked:
            self._begin_chunked_body(exchange, head, body)
            return
        elif head.content_length is not None:
            remaining = head.content_length
        else:
            self._may_persist = False
            self._remaining = UNTIL_CLOSE
            self.state = BODY
            exchange.respond(head, [body] if body else [], is_complete=False, is_framed=False)
            return
        received = len(body)
        if received >= remaining:
            if received > remaining:
                # the backend sent more than it announced: nothing on this connection can be trusted
                self._may_persist = False
                body = body[:remaining]
            self._over(exchange)
            exchange.respond(head, [body] if body else [], is_complete=True, is_framed=True)
            return
        self._remaining = remaining - received
        self.state = BODY
        exchange.respond(head, [body] if body else [], is_complete=False, is_framed=True)

    def _begin_chunked_body(self, exchange: Exchange, head: ResponseHead, body: bytes) -> None:
        self._decoder = decoder = ChunkedDecoder()
        self.state = BODY
        pieces: list[bytes] = []
        if body:
            try:
                pieces, rest = decoder.feed(body)
            except FramingError:
                self.fail(Failure.MALFORMED)
                return
            if rest:
                self._may_persist = False
        if decoder.is_complete:
            self._over(exchange)
        exchange.respond(
            head, pieces, is_complete=decoder.is_complete, is_framed=False, trailers=decoder.trailers
        )

    def _read_body(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self.close()
        elif self._decoder is not None:
            self._read_chunks(exchange, self._decoder, data)
        elif self._remaining == UNTIL_CLOSE:
            exchange.respond_more([data])
        elif len(data) < self._remaining:
            self._remaining -= len(data)
            exchange.respond_more([data])
        else:
            if len(data) > self._remaining:
                self._may_persist = False
                data = data[: self._remaining]
            self._over(exchange)
            exchange.respond_more([data], is_complete=True)

    def _read_chunks(self, exchange: Exchange, decoder: ChunkedDecoder, data: bytes) -> None:
        try:
            pieces, rest = decoder.feed(data)
        except FramingError:
            self.fail(Failure.MALFORMED)
            return
        if decoder.is_complete:
            if rest:
                self._may_persist = False
            self._over(exchange)
        if pieces or decoder.is_complete:
            exchange.respond_more(pieces, is_complete=decoder.is_complete, trailers=decoder.trailers)

    def _over(self, exchange: Exchange) -> None:
        """The last byte has come: leave the exchange, and return to the pool or close."""
        self.exchange = None
        self._decoder = None
        exchange.upstream = None
        if self._may_persist and exchange.is_request_sent:
            self.state = IDLE
            self.is_reused = True
            if exchange.is_paused:
                self.transport.resume_reading()
            self.pool.release(self)
        else:
            self.close()

    def fail(self, failure: Failure) -> None:
        """Close, and tell the exchange how its attempt failed."""
        exchange = self.exchange
        was_reading_head = self.state == HEAD
        self.exchange = None
        self.close()
        if exchange is not None:
            exchange.upstream = None
            if was_reading_head or exchange.is_waiting_for_head:
                exchange.attempt_failed(failure)
            else:
                exchange.response_broke_off()

    def close(self) -> None:
        """Close at once; whatever still comes is dropped."""
        if self.state != CLOSED:
            self.state = CLOSED
            self.transport.abort()

    def is_usable(self) -> bool:
        """Tell whether another exchange may be sent on it."""
        return self.state == IDLE and not self.transport.is_closing()

    def remaining_body(self) -> int | None:
        """Bytes of the body still to come; None when that is not known."""
        if self.state != BODY or self._decoder is not None or self._remaining == UNTIL_CLOSE:
            return None
        return self._remaining

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.pause_client_reading()

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.resume_client_reading()

    def eof_received(self) -> bool:
        if self.state == TUNNEL and self.exchange is not None:
            self.exchange.end_tunnel_to_client()
            return True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, self.exchange = self.exchange, None
        state, self.state = self.state, CLOSED
        self.pool.closed(self)
        if exchange is None:
            return
        exchange.upstream = None
        if state == HEAD:
            is_stale = self.is_reused and not self._pending and not self._interim
            exchange.attempt_failed(Failure.STALE_CONNECTION if is_stale else Failure.RESET)
        elif state == TUNNEL:
            exchange.tunnel_lost()
        elif state == BODY and self._remaining == UNTIL_CLOSE and self._decoder is None and exc is None:
            exchange.respond_more([], is_complete=True)
        elif state == BODY:
            exchange.response_broke_off()
