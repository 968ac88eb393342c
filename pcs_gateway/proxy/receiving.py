"""What a request brings besides its head: the body, kept until complete or the buffer is full; an upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcs_gateway.http.hop_limit import read_hop_limit
from pcs_gateway.http.refusals import Refusal, RequestRefused
from pcs_gateway.http.targets import COMMON_METHODS
from pcs_gateway.proxy.answers import Answer
from pcs_gateway.proxy.phases import RECEIVING, WAITING
from pcs_gateway.proxy.request_body import RequestBody

if TYPE_CHECKING:
    from pcs_gateway.http.request_fields import RequestFields
    from pcs_gateway.proxy.downstream import DownstreamConnection
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.proxy.routing import Route


def require_fitness(fields: RequestFields, *, is_1_1: bool) -> None:
    """
    Judge fields by the version of their request.

    Raises:
        RequestRefused: A request of this version must not have them.
    """
    refusal = fields.refusal_1_1 if is_1_1 else fields.refusal_1_0
    if refusal is not None:
        raise RequestRefused(refusal)


def begin_with_care(exchange: Exchange, route: Route, rest: bytes) -> bytes:
    """
    Take up a request with a body, an upgrade or an expectation; give back what follows it.

    Raises:
        RequestRefused: The body is malformed or too large, or there must be none; the hop limit is malformed.
    """
    fields = exchange.fields
    hops = fields.max_forwards
    if hops is not None and exchange.method == b"OPTIONS" and not read_hop_limit(hops):
        _answer_as_last(exchange, route)
        return rest
    if fields.announces_body:
        if fields.upgrade and fields.upgrade != b"h2c" and fields.content_length != 0:
            raise RequestRefused(Refusal.UPGRADE_WITH_BODY)
        exchange.body = body = RequestBody(
            fields,
            route.limits.body_bytes,
            exchange.received,
            route.untrailed | {exchange.plane.request_id_name},
        )
        body.awaits_continue = fields.expects_continue and exchange.is_1_1 and not rest
        if rest and not body.is_complete:
            wire, rest = body.feed(rest)
            body.keep(wire)
            if body.is_behind:
                _catch_up_later(exchange)
        is_to_be_kept = not (body.is_complete or _is_buffer_full(exchange, body))
        if is_to_be_kept and (not body.awaits_continue or _is_asked_for(exchange, body, route)):
            exchange.deadline = exchange.received + route.timeouts.stream_idle
            return rest
    elif fields.upgrade == b"h2c" and rest.startswith(b"PRI "):
        # the upgrade is not taken up, and what a client sends in its hope is no request
        rest = b""
    exchange.engage(route)
    return rest


def _is_asked_for(exchange: Exchange, body: RequestBody, route: Route) -> bool:
    """
    Ask for a body that its client holds back, if it can be kept until it is complete; tell whether it can.

    To its clients a gateway is the origin server, so it may say 100 by itself (RFC 9110 section 10.1.1). Else
    a client that never sends its body would hold a backend. What does not fit is the backend's to ask for.
    """
    length = exchange.fields.content_length
    if route.upstream_pool is None or exchange.connection is None:
        return False
    if length is not None and length > route.limits.request_buffer:
        return False
    body.awaits_continue = False
    exchange.connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return True


def _answer_as_last(exchange: Exchange, route: Route) -> None:
    """Answer OPTIONS that may go no further: for the gateway, which is all it was asked about."""
    if exchange.fields.announces_body and exchange.fields.content_length != 0:
        # the body will come, and is not the next request
        exchange.keep_alive = False
    allowed = b", ".join(sorted(route.methods)) if route.methods is not None else COMMON_METHODS
    exchange.answer(Answer(200, b"Allow: %b\r\nContent-Length: 0\r\n" % allowed, b""))


def _is_buffer_full(exchange: Exchange, body: RequestBody) -> bool:
    return body.kept_bytes > exchange.matched.limits.request_buffer


def client_data(exchange: Exchange, data: bytes) -> bytes:
    """
    Take bytes that the client sent during the exchange; give back what does not belong to it.

    Raises:
        RequestRefused: The body is malformed or too large.
    """
    body = exchange.body
    if exchange.tunnel is not None:
        exchange.tunnel.to_backend(data)
        return b""
    if body is None or body.is_complete:
        return data
    exchange.is_active = True
    body.awaits_continue = False
    wire, rest = body.feed(data)
    if body.is_behind:
        _catch_up_later(exchange)
    if exchange.phase >= WAITING and exchange.upstream is not None:
        exchange.upstream.transport.write(wire)
    else:
        body.keep(wire)
    if exchange.is_request_sent:
        _body_complete(exchange)
    elif _is_buffer_full(exchange, body):
        if exchange.phase == RECEIVING:
            _engage_late(exchange, exchange.plane.monotonic())
        elif exchange.connection is not None and exchange.phase < WAITING:
            exchange.connection.pause_reading()
    return rest


def _catch_up_later(exchange: Exchange) -> None:
    """More has come than is worked on at once: let others have their turn of the loop first."""
    connection = exchange.connection
    if connection is not None and not connection.is_behind:
        connection.pause_reading()
        connection.is_behind = True
        exchange.plane.loop.call_soon(_catch_up, connection)


def _catch_up(connection: DownstreamConnection) -> None:
    connection.is_behind = False
    exchange = connection.exchange
    upstream = exchange.upstream if exchange is not None else None
    if upstream is None or not upstream.is_writing_paused:
        connection.resume_reading()
    if exchange is not None and exchange.body is not None and exchange.body.is_behind:
        connection.data_received(b"")
    if connection.is_peer_gone and not connection.is_behind and not connection.eof_received():
        connection.transport.close()


def _engage_late(exchange: Exchange, now: float) -> None:
    """Go on with an exchange that waited for its body, or for as much of it as is kept."""
    exchange.waited += now - exchange.received
    exchange.total_from = now
    exchange.engage(exchange.matched)


def _body_complete(exchange: Exchange) -> None:
    now = exchange.plane.monotonic()
    if exchange.phase == RECEIVING:
        _engage_late(exchange, now)
        return
    exchange.total_from = now
    if exchange.phase == WAITING:
        exchange.waited += now - exchange.sent
        exchange.sent = now
        exchange.deadline = now + min(exchange.matched.response_head, exchange.matched.request_total)


def wants_upgrade(exchange: Exchange) -> bool:
    """The client asked for a tunnel, the route allows it and the client is still there."""
    fields = exchange.fields
    return bool(
        fields.upgrade
        and exchange.matched.allow_upgrade
        and fields.upgrade not in (b"h2c", b"h2")
        and exchange.method == b"GET"
        and exchange.body is None
        and exchange.is_1_1
        and exchange.connection is not None
    )
