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


def response_head(
    exchange: Exchange,
    head: ResponseHead,
    share: float,
    pieces: Sequence[bytes],
    trailers: Sequence[bytes],
    *,
    is_complete: bool,
) -> bytes:
    """
    Give a backend's response head for the client, with the first pieces of its body.

    Args:
        share: Seconds that the gateway itself took so far, for Server-Timing.
    """
    section = head.forwarded_section()
    if head.location or exchange.route_.response_edits:
        section = _edit(exchange, head, section)
    parts = [head.start, section, VIA]
    _add_own_fields(
        exchange, parts, share, has_date=head.has_date, has_request_id=_has_request_id(exchange, head)
    )
    if exchange.rechunks:
        parts += (CHUNKED, b"\r\n")
        _add_chunks(exchange, parts, pieces, trailers, is_complete=is_complete)
    else:
        parts.append(b"\r\n")
        for piece in pieces:
            exchange.response_bytes += len(piece)
            parts.append(piece)
    return b"".join(parts)


def response_more(
    exchange: Exchange, pieces: Sequence[bytes], trailers: Sequence[bytes], *, is_complete: bool
) -> bytes:
    """Give more of the body in the client's framing."""
    if not exchange.rechunks:
        if len(pieces) == 1:
            exchange.response_bytes += len(pieces[0])
            return pieces[0]
        exchange.response_bytes += sum(map(len, pieces))
        return b"".join(pieces)
    parts: list[bytes] = []
    _add_chunks(exchange, parts, pieces, trailers, is_complete=is_complete)
    return b"".join(parts)


def _add_chunks(
    exchange: Exchange,
    parts: list[bytes],
    pieces: Sequence[bytes],
    trailers: Sequence[bytes],
    *,
    is_complete: bool,
) -> None:
    for piece in pieces:
        exchange.response_bytes += len(piece)
        parts.append(encode_chunk(piece))
    if is_complete:
        parts.append(encode_last_chunk(trailers))


def _add_own_fields(
    exchange: Exchange, parts: list[bytes], share: float, *, has_date: bool, has_request_id: bool
) -> None:
    plane = exchange.plane
    if not has_date:
        parts.append(plane.date_line)
    if not has_request_id:
        parts += (plane.request_id_start, exchange.request_id, b"\r\n")
    if plane.writes_server_timing:
        parts.append(b"Server-Timing: gateway;dur=%.3f\r\n" % (share * 1000.0 if share > 0.0 else 0.0))
    if not exchange.keep_alive:
        parts.append(CLOSE)
    elif not exchange.is_1_1:
        parts.append(KEEP_ALIVE)


def _has_request_id(exchange: Exchange, head: ResponseHead) -> bool:
    name = exchange.plane.request_id_name
    if name == b"x-request-id":
        return head.has_request_id
    return b"\r\n" + name + b":" in b"\r\n" + head.section.lower()


def _edit(exchange: Exchange, head: ResponseHead, section: bytes) -> bytes:
    route = exchange.route_
    lease = exchange.lease
    if head.location and lease is not None and lease.member is not None:
        own = backend_host(lease.member)  # type: ignore[arg-type]
        asked = asked_host(exchange)
        sent = {"preserve": asked or own, "backend": own}.get(
            route.upstream_host, route.upstream_host.encode("latin-1")
        )
        connection = exchange.connection
        origin = b"%b://%b" % (connection.client.scheme if connection else b"http", asked or own)
        location = client_location(head.location, sent, own, origin, route.path_rewrite)
        if location != head.location:
            lines = section.split(b"\r\n")[:-1]
            kept = [line for line in lines if not line.lower().startswith(b"location:")]
            section = b"".join([line + b"\r\n" for line in kept]) + b"Location: %b\r\n" % location
    return route.response_edits.apply(section) if route.response_edits else section


def own_answer(exchange: Exchange, answer: Answer, share: float) -> bytes:
    """Give an answer of the gateway's own, complete; HEAD gets no body."""
    if not exchange.request_id:
        exchange.request_id = exchange.plane.identities.draw()[:32]
    parts = [status_line(answer.status), answer.section]
    _add_own_fields(exchange, parts, share, has_date=False, has_request_id=False)
    parts.append(b"\r\n")
    if exchange.method != b"HEAD":
        parts.append(answer.body)
    return b"".join(parts)


def upgrade_head(exchange: Exchange, head: ResponseHead) -> bytes:
    """Give the head of a 101 response; Connection and Upgrade belong to it."""
    upgrade = head.upgrade.strip() or exchange.fields.upgrade
    return b"".join(
        (head.start, head.forwarded_section(), VIA, b"Connection: upgrade\r\nUpgrade: %b\r\n\r\n" % upgrade)
    )


def refused_head(plane: DataPlane, answer: Answer, request_id: bytes) -> bytes:
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
            answer.body,
        )
    )
