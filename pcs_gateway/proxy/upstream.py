"""
A connection to a backend: request bytes out, the response head in, the body streamed through.

The law of this file: one exchange at a time; bytes that come when no exchange waits close the connection
and are given to nobody; a body is complete by its length, its last chunk, or, with neither, by the close.

A backend that sends a body where there is none (after an answer to HEAD, a 204 or a 304) must not have it
taken for the answer to whoever is next. Where such a body was announced, or an answer to HEAD says nothing of
its length, the connection is closed; else it rests for a moment before it is used again, and what comes
meanwhile closes it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pcs_gateway.http.fields import list_tokens
from pcs_gateway.http.framing import ChunkedDecoder, FramingError
from pcs_gateway.http.messages import ResponseHead, may_become_response
from pcs_gateway.http.refusals import MalformedResponse
from pcs_gateway.proxy.attempts import Failure
from pcs_gateway.proxy.client_transport import has_unread
from pcs_gateway.proxy.endings import drain_or_cut, own_fault, response_broke_off
from pcs_gateway.proxy.failing import attempt_failed
from pcs_gateway.proxy.receiving import wants_upgrade
from pcs_gateway.proxy.tunnel import switch_protocols

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
        is_reused: It comes from the pool; the backend may have closed it meanwhile.
        is_writing_paused: The backend does not take what was sent.
        idle_since: Monotonic seconds of its last release to the pool.
    """

    __slots__ = (
        "_decoder",
        "_interim",
        "_may_persist",
        "_pending",
        "_remaining",
        "_rests",
        "exchange",
        "idle_since",
        "is_reused",
        "is_writing_paused",
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
        self.is_reused = self.is_writing_paused = False
        self.idle_since = 0.0
        self._pending = b""
        self._remaining = 0
        self._decoder: ChunkedDecoder | None = None
        self._may_persist = True
        self._rests = False
        self._interim = 0

    def __repr__(self) -> str:
        state = ("idle", "head", "body", "tunnel", "closed")[self.state]
        return f"<UpstreamConnection to {self.member.name}: {state}>"

    @property
    def is_open(self) -> bool:
        """A request can be sent on it."""
        return self.state != CLOSED

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
        exchange = self.exchange
        try:
            state = self.state
            if state == HEAD:
                self._read_head(data)
            elif state == BODY:
                self._read_body(data)
            elif state == TUNNEL and exchange is not None and exchange.tunnel is not None:
                exchange.tunnel.to_client(data)
            else:
                self.close()
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost one exchange, not its lease
            self._fault(exchange, error)

    def _fault(self, exchange: Exchange | None, error: Exception) -> None:
        """End the exchange in which a fault happened; this connection may be another's by now."""
        if self.exchange is None or self.exchange is exchange:
            self.exchange = None
            self.close()
        if exchange is None:
            raise error
        own_fault(exchange, error)

    def _read_head(self, data: bytes) -> None:
        if self._pending:
            data = self._pending + data
            self._pending = b""
        end = data.find(b"\r\n\r\n") + 2
        if end < 2 or end > RESPONSE_HEAD_LIMIT:
            if end >= 2 or len(data) > RESPONSE_HEAD_LIMIT + 1:  # a part of its last two octets may have come
                self.fail(Failure.HEAD_TOO_LARGE)
            elif not may_become_response(data):
                self.fail(Failure.MALFORMED)
            else:
                self._pending = data
            return
        try:
            head = self.member.read_response_head(data[:end])
        except MalformedResponse:
            self.fail(Failure.MALFORMED)
            return
        body = data[end + 2 :]
        exchange = self.exchange
        if len(body) == head.body_length and head.status >= 200 and exchange.method != b"HEAD":  # type: ignore[union-attr]
            # the plain case: the whole response came in one read
            self._may_persist = head.may_persist
            self._rests = head.rests
            self._over(exchange)  # type: ignore[arg-type]
            exchange.respond_whole(head, body)  # type: ignore[union-attr]
        elif head.status >= 200:
            self._begin_body(head, body)
        else:
            self._pass_interim(head, body)

    def _pass_interim(self, head: ResponseHead, rest: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self.close()
            return
        if head.status == 101:
            if wants_upgrade(exchange) and head.upgrade.strip().lower() in (b"", exchange.fields.upgrade):
                self.state = TUNNEL
                switch_protocols(exchange, head, rest)
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
        assert exchange is not None
        self._may_persist = head.may_persist
        self._rests = head.rests
        length = head.body_length
        if exchange.method == b"HEAD":
            if length != 0:
                # who sends a body all the same must not have it taken for the next response
                self._may_persist = False
            length = 0
        if length is None:
            self._begin_unknown_length(exchange, head, body)
        elif len(body) >= length:
            if len(body) > length:
                # the backend sent more than it announced: nothing on this connection can be trusted
                self._may_persist = False
            self._over(exchange)
            exchange.respond_whole(head, body[:length])
        else:
            self._remaining = length - len(body)
            self.state = BODY
            exchange.respond(head, [body] if body else [], is_framed=True)
            if exchange.connection is None:
                drain_or_cut(exchange)

    def _begin_unknown_length(self, exchange: Exchange, head: ResponseHead, body: bytes) -> None:
        if head.is_chunked:
            self._begin_chunks(exchange, head, body)
        else:
            self.state = BODY
            self._may_persist = False
            self._remaining = UNTIL_CLOSE
            exchange.respond(head, [body] if body else [], is_framed=False)
        if exchange.connection is None:
            drain_or_cut(exchange)

    def _begin_chunks(self, exchange: Exchange, head: ResponseHead, body: bytes) -> None:
        edits = exchange.matched.response_edits
        named = list_tokens(head.connection) if head.connection else []
        decoder = ChunkedDecoder({*named, *edits.names} if edits is not None else named)
        try:
            decoded, rest = decoder.feed(body)
        except FramingError:
            self.fail(Failure.MALFORMED)
            return
        if decoder.is_complete:
            if rest:
                self._may_persist = False
            self._over(exchange)
        else:
            self.state = BODY
            self._decoder = decoder
        exchange.respond(
            head,
            [decoded] if decoded else [],
            is_framed=False,
            is_complete=decoder.is_complete,
            trailers=decoder.trailers,
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
            decoded, rest = decoder.feed(data)
        except FramingError:
            self.fail(Failure.MALFORMED)
            return
        if decoder.is_complete:
            if rest:
                self._may_persist = False
            self._over(exchange)
        if decoded or decoder.is_complete:
            exchange.respond_more([decoded], is_complete=decoder.is_complete, trailers=decoder.trailers)

    def _over(self, exchange: Exchange) -> None:
        """The last byte has come: leave the exchange, and return to the pool or close."""
        self.exchange = None
        self._decoder = None
        exchange.upstream = None
        if self._may_persist and (exchange.body is None or exchange.body.is_complete):
            self.state = IDLE
            if exchange.is_paused:
                self.transport.resume_reading()
            if self._rests:
                self.pool.rest(self)
            else:
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
            if was_reading_head:
                attempt_failed(exchange, failure)
            else:
                response_broke_off(exchange)

    def close(self) -> None:
        """Close at once; whatever still comes is dropped."""
        if self.state != CLOSED:
            if self.state == IDLE:
                self.pool.forget(self)
            self.state = CLOSED
            self.transport.abort()

    def rested(self) -> None:
        """The rest is over: return to the pool, unless bytes came that the loop has not read yet."""
        if self.state == IDLE and not has_unread(self.transport):
            self.pool.release(self)
        else:
            self.close()

    def remaining_body(self) -> int | None:
        """Bytes of the body still to come; None when that is not known."""
        if self.state != BODY or self._decoder is not None or self._remaining == UNTIL_CLOSE:
            return None
        return self._remaining

    def pause_writing(self) -> None:
        self.is_writing_paused = True
        if self.exchange is not None and self.exchange.connection is not None:
            self.exchange.connection.pause_reading()

    def resume_writing(self) -> None:
        self.is_writing_paused = False
        if self.exchange is not None and self.exchange.connection is not None:
            self.exchange.connection.resume_reading()

    def eof_received(self) -> bool:
        if self.state == TUNNEL and self.exchange is not None and self.exchange.tunnel is not None:
            self.exchange.tunnel.backend_ended()
            return True
        if self.state == IDLE:
            # no longer to be leased, although the transport closes only later
            self.state = CLOSED
            self.pool.forget(self)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, self.exchange = self.exchange, None
        state, self.state = self.state, CLOSED
        self.pool.closed(self)
        if exchange is None:
            return
        exchange.upstream = None
        try:
            self._lost(exchange, state, exc)
        except Exception as error:  # noqa: BLE001 - as above
            self._fault(exchange, error)

    def _lost(self, exchange: Exchange, state: int, exc: Exception | None) -> None:
        if state == HEAD:
            is_stale = self.is_reused and not self._pending and not self._interim
            attempt_failed(exchange, Failure.STALE_CONNECTION if is_stale else Failure.RESET)
        elif state == TUNNEL and exchange.tunnel is not None:
            exchange.tunnel.close()
        elif state == BODY and self._remaining == UNTIL_CLOSE and self._decoder is None and exc is None:
            exchange.respond_more([], is_complete=True)
        elif state == BODY:
            response_broke_off(exchange)
