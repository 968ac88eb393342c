"""
The request head as the backend gets it.

What depends only on the client's fields and the route is written once and kept on the connection, because a
client repeats its fields; only the request line and the identity are new for each exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcs_gateway.proxy.downstream import DownstreamConnection
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.proxy.upstream_pool import UpstreamMember


def request_head(exchange: Exchange, member: UpstreamMember) -> bytes:
    """Give the head of an exchange's request for one backend, identity included."""
    connection = exchange.connection
    assert connection is not None
    fields = exchange.fields
    route = exchange.matched
    if connection.written_for_fields is not fields or connection.written_for_route is not route:
        _write_fields(exchange, connection, member)
    if fields.is_plain and route.is_plain and not fields.has_identity:
        drawn = exchange.plane.identities.draw()
        exchange.request_id = trace = drawn[:32]
        return b"%b%b%b\r\ntraceparent: 00-%b-%b-01\r\n\r\n" % (
            exchange.match.line,
            connection.written,
            trace,
            trace,
            drawn[32:],
        )
    return _with_care(exchange, connection, member)


def _with_care(exchange: Exchange, connection: DownstreamConnection, member: UpstreamMember) -> bytes:
    """The head of a request that upgrades, has an identity already, or whose Host depends on the backend."""
    fields = exchange.fields
    lines = [exchange.match.line]
    if exchange.matched.upstream_host == "backend":
        lines.append(b"Host: %b\r\n" % backend_host(member))
    written = connection.written
    if not fields.request_id:
        written = written.removesuffix(exchange.plane.request_id_start)
    lines.append(written)
    if exchange.wants_upgrade:
        lines.append(b"Connection: upgrade\r\nUpgrade: %b\r\n" % fields.upgrade)
    drawn = exchange.plane.identities.draw()
    if not exchange.request_id:
        exchange.request_id = fields.request_id or drawn[:32]
    lines.append(b"%b%b\r\n" % (exchange.plane.request_id_start, exchange.request_id))
    if fields.traceparent:
        lines.append(b"traceparent: %b\r\n\r\n" % fields.traceparent)
    else:
        lines.append(b"traceparent: 00-%b-%b-01\r\n\r\n" % (drawn[:32], drawn[32:]))
    return b"".join(lines)


def backend_host(member: UpstreamMember) -> bytes:
    """Give `host:port` of a backend as it was configured."""
    return member.backend.url.partition("://")[2].partition("/")[0].encode("latin-1")


def asked_host(exchange: Exchange) -> bytes:
    """Give the host that the client asked for; empty for an HTTP/1.0 request without Host."""
    return exchange.match.target.authority or exchange.fields.host


def _write_fields(exchange: Exchange, connection: DownstreamConnection, member: UpstreamMember) -> None:
    """
    Write what does not change from one request of this client to the next, and keep it on the connection.

    It ends with the beginning of the request id's line, unless the client brought an id.
    """
    fields = exchange.fields
    route = exchange.matched
    plane = exchange.plane
    host = asked_host(exchange)
    section = fields.end_to_end
    if not exchange.is_1_1 and fields.expects_continue:
        # RFC 9110 section 10.1.1: an HTTP/1.0 client's expectation is ignored, not passed on
        lines = section.split(b"\r\n")[:-1]
        section = b"".join([line + b"\r\n" for line in lines if not line.lower().startswith(b"expect:")])
    if route.request_edits:
        section = route.request_edits.apply(section)
    written = section + fields.framing + plane.forwarding.write(connection.client, fields, host)
    if route.upstream_host == "preserve":
        written = b"Host: %b\r\n" % (host or backend_host(member)) + written
    elif route.upstream_host != "backend":
        written = b"Host: %b\r\n" % route.upstream_host.encode("latin-1") + written
    connection.written = written if fields.request_id else written + plane.request_id_start
    # an authority in the target, or the backend's name for want of a Host, holds for this request alone
    is_reusable = bool(fields.host) and not exchange.match.target.authority
    connection.written_for_fields = fields if is_reusable else None
    connection.written_for_route = route
