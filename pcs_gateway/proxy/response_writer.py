"""Responses as the client gets them: head, gateway's own fields and first body bytes in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pcs_gateway.http.forwarding import VIA
from pcs_gateway.http.framing import encode_chunk, encode_last_chunk
from pcs_gateway.proxy.answers import Answer, status_line
from pcs_gateway.proxy.request_writer import asked_host, backend_host
from pcs_gateway.proxy.rewriting import client_location

if TYPE_CHECKING:
    from pcs_gateway.http.messages import ResponseHead
    from pcs_gateway.proxy.data_plane import DataPlane
    from pcs_gateway.proxy.exchange import Exchange

CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def whole_response(exchange: Exchange, head: ResponseHead, body: bytes) -> bytes:
    """Give a response that came complete, framed by its length or without a body."""
    return b"".join((head.start, _fields(exchange, head), body))


def response_head(exchange: Exchange, head: ResponseHead, pieces: Sequence[bytes], ending: bytes) -> bytes:
    """Give a response head with the first pieces of its body, and what ends it if they are all."""
    parts = (
        [head.start, CHUNKED, _fields(exchange, head)]
        if exchange.rechunks
        else [head.start, _fields(exchange, head)]
    )
    body = b"".join(pieces)
    exchange.response_bytes += len(body)
    parts.append(encode_chunk(body) if exchange.rechunks and body else body)
    parts.append(ending)
    return b"".join(parts)


def _fields(exchange: Exchange, head: ResponseHead) -> bytes:
    """Give all fields of a backend's response as the client gets them, and the empty line."""
    plane = exchange.plane
    section = head.forwarded
    if head.location or exchange.matched.response_edits is not None:
        section = _edit(exchange, head, section)
    if not head.has_date:
        section += plane.date_line
    if not exchange.keep_alive:
        section += CLOSE
    elif not exchange.is_1_1:
        section += KEEP_ALIVE
    if head.has_request_id or not plane.is_request_id_usual:
        return _fields_with_request_id(exchange, head, section)
    if not plane.writes_server_timing:
        return b"%b%bX-Request-ID: %b\r\n\r\n" % (section, VIA, exchange.request_id)
    share = exchange.sent - exchange.received - exchange.waited  # as in `_server_timing`, without its call
    return b"%bVia: 1.1 pcs-gateway\r\nX-Request-ID: %b\r\nServer-Timing: gateway;dur=%.3f\r\n\r\n" % (
        section,
        exchange.request_id,
        share * 1000.0 if share > 0.0 else 0.0,
    )


def _fields_with_request_id(exchange: Exchange, head: ResponseHead, section: bytes) -> bytes:
    """The same where the backend told the request id itself, or the field has another name."""
    plane = exchange.plane
    parts = [section, VIA]
    if b"\n" + plane.request_id_name + b":" not in b"\n" + head.section.lower():
        parts += (plane.request_id_start, exchange.request_id, b"\r\n")
    if plane.writes_server_timing:
        parts.append(_server_timing(exchange))
    parts.append(b"\r\n")
    return b"".join(parts)


def _server_timing(exchange: Exchange) -> bytes:
    """The gateway's own share until the request was sent, or until it answered by itself."""
    share = exchange.sent - exchange.received - exchange.waited
    return b"Server-Timing: gateway;dur=%.3f\r\n" % (max(share, 0.0) * 1000.0)


def response_more(
    exchange: Exchange, pieces: Sequence[bytes], trailers: Sequence[bytes], *, is_complete: bool
) -> bytes:
    """Give more of the body in the client's framing."""
    body = b"".join(pieces)
    exchange.response_bytes += len(body)
    if not exchange.rechunks:
        return body
    wire = encode_chunk(body) if body else b""
    return wire + encode_last_chunk(trailers) if is_complete else wire


def _edit(exchange: Exchange, head: ResponseHead, section: bytes) -> bytes:
    route = exchange.matched
    lease = exchange.lease
    if head.location and lease is not None and lease.member is not None:
        own = backend_host(lease.member)  # type: ignore[arg-type]
        asked = asked_host(exchange)
        sent = {"preserve": asked or own, "backend": own}.get(
            route.upstream_host, route.upstream_host.encode("latin-1")
        )
        origin = b"%b://%b" % (_asked_scheme(exchange), asked or own)
        location = client_location(head.location, sent, own, origin, route.path_rewrite)
        if location != head.location:
            lines = section.split(b"\r\n")[:-1]
            kept = [line for line in lines if not line.lower().startswith(b"location:")]
            section = b"".join([line + b"\r\n" for line in kept]) + b"Location: %b\r\n" % location
    return route.response_edits.apply(section) if route.response_edits is not None else section


def _asked_scheme(exchange: Exchange) -> bytes:
    """Give the scheme in which the client asked, be it of a proxy before this one that is believed."""
    connection, fields = exchange.connection, exchange.fields
    if connection is None:
        return b"http"
    if fields.has_forwarding and connection.client.is_trusted:
        said = fields.values.get(b"x-forwarded-proto", b"").lower()
        if said in (b"http", b"https"):
            return said
    return connection.client.scheme


def own_answer(exchange: Exchange, answer: Answer) -> bytes:
    """Give an answer of the gateway's own, complete; HEAD gets no body."""
    plane = exchange.plane
    exchange.ensure_request_id()
    parts = [status_line(answer.status), answer.section, plane.date_line]
    parts += (plane.request_id_start, exchange.request_id, b"\r\n")
    if plane.writes_server_timing:
        parts.append(_server_timing(exchange))
    if not exchange.keep_alive:
        parts.append(CLOSE)
    elif not exchange.is_1_1:
        parts.append(KEEP_ALIVE)
    parts.append(b"\r\n")
    if exchange.method != b"HEAD":
        parts.append(answer.body)
    return b"".join(parts)


def upgrade_head(exchange: Exchange, head: ResponseHead) -> bytes:
    """Give the head of a 101 response; Connection and Upgrade belong to it."""
    upgrade = head.upgrade.strip() or exchange.fields.upgrade
    return b"".join(
        (head.start, head.forwarded, VIA, b"Connection: upgrade\r\nUpgrade: %b\r\n\r\n" % upgrade)
    )


def refused_head(plane: DataPlane, answer: Answer, request_id: bytes, *, is_head: bool) -> bytes:
    """Give the whole answer to bytes that never became an exchange; the connection ends with it."""
    return b"".join(
        (
            status_line(answer.status),
            answer.section,
            plane.date_line,
            plane.request_id_start,
            request_id,
            b"\r\n",
            CLOSE,
            b"\r\n",
            b"" if is_head else answer.body,
        )
    )
