"""
A client's connection: bytes in, request heads out, one exchange at a time, answers in order.

The law of this file: what cannot be read in exactly one way is refused and the connection closed; requests
that were pipelined wait in `_pending` as bytes; a connection is closed by halves first (RFC 9112 section
9.6), so that the last answer is not destroyed by a reset.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from pcs_gateway.http.forwarding import Client
from pcs_gateway.http.messages import judge_incomplete_head, read_request_line
from pcs_gateway.http.refusals import Refusal, RequestRefused
from pcs_gateway.proxy.answers import problem
from pcs_gateway.proxy.client_transport import ClientTransport
from pcs_gateway.proxy.endings import (
    client_caught_up,
    client_ended,
    client_is_slow,
    client_left,
    refuse_or_break_off,
)
from pcs_gateway.proxy.exchange import Exchange
from pcs_gateway.proxy.phases import NEVER
from pcs_gateway.proxy.receiving import client_data
from pcs_gateway.proxy.response_writer import refused_head

if TYPE_CHECKING:
    from pcs_gateway.http.request_fields import RequestFields
    from pcs_gateway.proxy.data_plane import DataPlane
    from pcs_gateway.proxy.routing import Route

LINGER_SECONDS = 1.0
"""How long a half-closed connection is read, so that a client's late bytes cause no reset."""

PENDING_LIMIT = 64 * 1024
"""Bytes of pipelined requests held before reading is paused."""

HEAD_END = b"\r\n\r\n"
_EMPTY_LINES = re.compile(rb"(?:\r\n)*+")


class DownstreamConnection(ClientTransport):
    """
    One connection of a client.

    Attributes:
        client: Who the peer is.
        exchange: What is being answered; None between requests.
        deadline: Monotonic seconds at which the sweep looks after the connection, when it has no exchange.
        idle_since: Monotonic seconds of the last answer or the accept; `NEVER` while part of a head is here.
        forwarding: What backends are told of this client, for requests to `forwarding_host`.
        written: The client's fields as last written, for `written_for_fields` and `written_for_route`.
        is_peer_gone: The client sends no more.
    """

    __slots__ = (
        "_following",
        "_head_judged",
        "_is_closing",
        "_is_ending",
        "_is_taking_up",
        "_is_writing_paused",
        "_pending",
        "_still_answered",
        "client",
        "deadline",
        "exchange",
        "forwarding",
        "forwarding_host",
        "idle_since",
        "is_peer_gone",
        "plane",
        "written",
        "written_for_fields",
        "written_for_route",
    )

    def __init__(self, plane: DataPlane, scheme: bytes, subject_line: bytes = b"") -> None:
        super().__init__()
        self.plane = plane
        self.client = Client("", scheme, subject_line, is_trusted=False)
        self.exchange: Exchange | None = None
        self.deadline = NEVER
        self.idle_since = 0.0
        self.forget_written()
        self._pending = self._following = b""
        self._head_judged = self._still_answered = 0
        self._is_closing = self._is_ending = self.is_peer_gone = False
        self._is_writing_paused = self._is_taking_up = False

    def __repr__(self) -> str:
        doing = self.exchange or ("closing" if self._is_closing else "idle")
        return f"<DownstreamConnection from {self.client.address}: {doing}>"

    # the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        plane = self.plane
        self.client = plane.forwarding.client(self.client, peer[0] if isinstance(peer, tuple) else "")
        self.read_ahead(plane.limits.response_buffer)
        self.idle_since = now = plane.monotonic()
        self.deadline = now + plane.timeouts.client_idle
        plane.connections.opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            exchange = self.exchange
            if exchange is not None:
                try:
                    rest = client_data(exchange, data)
                except RequestRefused as error:
                    refuse_or_break_off(exchange, error.refusal)
                    return
                if rest:
                    self._hold(rest)
            elif not self._is_closing:
                judged = 0
                if self._pending:
                    data = self._pending + data
                    judged, self._head_judged, self._pending = self._head_judged, 0, b""
                end = data.find(b"\r\n\r\n", judged - 3 if judged > 3 else 0)
                if end <= 0 or self._is_writing_paused:
                    self._take_up(data, judged)
                elif (rest := self._begin(data, end)) and not self._is_closing:
                    self._take_up(rest)
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost one exchange, not its lease
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        """Answer 500, or break off what has begun; what went wrong is told by the plane."""
        exchange = self.exchange
        if exchange is not None:
            refuse_or_break_off(exchange, Refusal.INTERNAL_ERROR)
        elif not self._is_closing:
            self.abort()
        self.plane.tell_fault(error)

    def eof_received(self) -> bool:
        exchange = self.exchange
        if exchange is None:
            return False
        self.is_peer_gone = self._is_ending = True
        if self.is_behind:
            return True  # judged again when all that came before is known
        stays_open = client_ended(exchange)
        if stays_open and not self._has_request():
            exchange.keep_alive = False
        return stays_open

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        self._pending = b""
        self.plane.connections.closed(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            client_left(exchange)

    def pause_writing(self) -> None:
        self._is_writing_paused = True
        if self.exchange is not None:
            client_is_slow(self.exchange)

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        if self.exchange is not None:
            client_caught_up(self.exchange)
        elif self._pending and not self._is_closing:
            self._take_up_pending()

    # requests

    def _take_up(self, data: bytes, judged: int = 0) -> None:
        """Read requests from `data`, of which `judged` octets are known, until one must be waited for."""
        if self._is_taking_up:
            self._hold(data)
            return
        self._is_taking_up = True
        while data and not self._is_closing:
            if self._must_wait():
                self._hold(data)
                break
            if data.startswith(b"\r\n"):
                # RFC 9112 section 2.2: an empty line before the request line is ignored
                data, judged = _EMPTY_LINES.sub(b"", data, count=1), 0
                continue
            end = data.find(HEAD_END, max(judged - 3, 0))
            if end < 0:
                self._wait_for_head(data, judged)
                break
            data, judged = self._begin(data, end), 0
        self._is_taking_up = False
        if self.is_peer_gone and not self._must_wait():
            # what is left of what the client sent before its end is no whole request
            self.close()

    def _must_wait(self) -> bool:
        """The next request's turn has not come, or the client does not take the answers it has."""
        return self.exchange is not None or self._is_writing_paused

    def _begin(self, data: bytes, end: int) -> bytes:
        """Begin the exchange of a complete head; give what follows its request."""
        plane = self.plane
        line_end = data.find(b"\r\n")
        now = plane.monotonic()
        try:
            if end > plane.header_bytes:
                raise RequestRefused(self._too_large(line_end))
            method, target, is_1_1 = read_request_line(data, line_end)
            fields = plane.known_sections[data[line_end + 2 : end + 2]]
        except RequestRefused as error:
            if not line_end:
                # one empty line before the request line; `_take_up` knows how to ignore it
                return data[2:]
            self.refuse(error.refusal, data[:line_end], now)
            return b""
        exchange = self.exchange = Exchange(self, plane, method, target, fields, now, is_1_1)
        self._following = rest = data[end + 4 :]
        if self._is_ending:
            self._judge_last(exchange)
        try:
            rest = exchange.begin(rest)
        except RequestRefused as error:
            exchange.refused(error)
            rest = b"" if self._is_closing else rest
        if rest:
            self._limit_pipelined(rest)
        self._following = rest
        return rest

    def _limit_pipelined(self, rest: bytes) -> None:
        """Of more requests than may wait, the first ones are answered and the rest is discarded."""
        limit = self.plane.limits.pipelined_requests
        if not self._is_ending and rest.count(HEAD_END) > limit:
            self._is_ending = True
            self._still_answered = limit

    def _judge_last(self, exchange: Exchange) -> None:
        """The last of the requests that are answered on this connection says so."""
        if self.is_peer_gone:
            is_last = not self._has_request()
        else:
            self._still_answered -= 1
            is_last = not self._still_answered
        if is_last:
            exchange.keep_alive = False

    def _has_request(self) -> bool:
        """The head of another request has come already."""
        return HEAD_END in self._following or HEAD_END in self._pending

    def _too_large(self, line_end: int) -> Refusal:
        long_line = line_end < 0 or line_end > self.plane.limits.header_bytes
        return Refusal.TARGET_TOO_LONG if long_line else Refusal.HEAD_TOO_LARGE

    def _wait_for_head(self, data: bytes, judged: int) -> None:
        plane = self.plane
        now = plane.monotonic()
        if len(data) > plane.limits.header_bytes + 3:  # all but one octet of its end may have come
            refusal: Refusal | None = self._too_large(data.find(b"\r\n"))
        else:
            refusal = judge_incomplete_head(data, judged)
        if refusal is not None:
            self.refuse(refusal, data[:64], now)
            return
        if self.idle_since != NEVER:
            self.deadline = now + plane.timeouts.request_head
        self._pending, self._head_judged = data, len(data)
        self.idle_since = NEVER

    def refuse(self, refusal: Refusal, line: bytes, now: float) -> None:
        """Answer a connection, or bytes that never became an exchange, and close."""
        plane = self.plane
        request_id = plane.identities.draw()[:32]
        answer = problem(refusal, request_id)
        self.transport.write(refused_head(plane, answer, request_id, is_head=line.startswith(b"HEAD ")))
        plane.record_refusal(self.client.address, refusal, refusal.status, line, request_id, now)
        self.close()

    def _hold(self, data: bytes) -> None:
        """Keep pipelined bytes until their turn comes."""
        self._pending += data
        if len(self._pending) > PENDING_LIMIT:
            self.pause_reading()

    def deliver_pending(self) -> None:
        """Give bytes that came before a tunnel was open to the tunnel."""
        data, self._pending = self._pending, b""
        exchange = self.exchange
        if data and exchange is not None and exchange.tunnel is not None:
            exchange.tunnel.to_backend(data)
            if exchange.upstream is not None and not exchange.upstream.is_writing_paused:
                self.resume_reading()

    # exchanges

    def exchange_over(self, exchange: Exchange, now: float) -> None:
        """Go on after an exchange: with the next request, to idleness, or to the end."""
        self.exchange = None
        if not exchange.keep_alive:
            self.close()
            return
        self.idle_since = now
        self.deadline = now + self.plane.client_idle
        if self.is_reading_paused:
            self.resume_reading()
        if self._pending:
            if not self._is_taking_up and not self._is_writing_paused:
                self._take_up_pending()
        elif self.is_peer_gone and not self._is_taking_up:
            self.close()

    def _take_up_pending(self) -> None:
        data, self._pending = self._pending, b""
        self._take_up(data)

    # reading, closing

    def close(self) -> None:
        """Half-close after what was written; the rest follows when the client closes, or in a second."""
        if self._is_closing:
            return
        self._is_closing = True
        self._pending = b""
        transport = self.transport
        if transport.is_closing():
            return
        if self.is_peer_gone:
            transport.close()
            return
        self.deadline = self.plane.monotonic() + LINGER_SECONDS
        self.resume_reading()
        transport.write_eof()

    def end(self) -> None:
        """Close after what was written; nothing more is read."""
        self.exchange = None
        self._is_closing = True
        self._pending = b""
        self.deadline = self.plane.monotonic() + LINGER_SECONDS
        self.transport.close()

    def abort(self, *, is_reset: bool = False) -> None:
        """
        Close at once.

        Args:
            is_reset: The client has part of a body that only the end of the connection delimits: it must not
                take the end for the body's.
        """
        self.exchange = None
        self._is_closing = True
        if is_reset:
            self.reset_at_close()
        self.transport.abort()

    def expired(self, now: float) -> None:
        """The deadline has passed without an exchange: a slow head, idleness, or the end of lingering."""
        takes = self.takes(now)
        if self._unsent and now - self._taken < self.plane.timeouts.stream_idle:
            if self.takes_too_slowly(now, self.plane.limits.minimum_body_rate):
                self.abort()
        elif self._is_closing:
            if takes:
                self.deadline = now + LINGER_SECONDS
            else:
                self.transport.abort()
        elif self.idle_since == NEVER:
            self.refuse(Refusal.REQUEST_TIMEOUT, self._pending[:64], now)
        else:
            self.close()

    @property
    def is_idle(self) -> bool:
        """No exchange, no part of a head: nobody would miss the connection."""
        return self.exchange is None and not self._pending and not self._is_closing

    def has_more(self) -> bool:
        """
        More than the request that is being answered has come: it waits here, or unread in the kernel.

        That takes a system call, so it is asked only while the worker drains.
        """
        if self._pending or self._following:
            return True
        return self.has_unread()

    def forget_written(self) -> None:
        """Let go of what is only kept for speed; an idle connection should cost little."""
        self.written = self.forwarding = b""
        self.forwarding_host: bytes | None = None
        self.written_for_fields: RequestFields | None = None
        self.written_for_route: Route | None = None
