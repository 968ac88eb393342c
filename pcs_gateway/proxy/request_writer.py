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
    route = exchange.route_
    match = exchange.match
    if (
        connection.written_for_fields is fields
        and connection.written_for_route is route
        and not match.target.authority
    ):
        written = connection.written
    else:
        written = _write_fields(exchange, connection, member)
    if route.upstream_host == "backend":
        written = b"Host: %b\r\n" % backend_host(member) + written
    if exchange.wants_upgrade:
        written += b"Connection: upgrade\r\nUpgrade: %b\r\n" % fields.upgrade
    if fields.request_id and fields.traceparent:
        return b"".join((exchange.method, b" ", match.forward_target, b" HTTP/1.1\r\n", written, b"\r\n"))
    drawn = exchange.plane.identities.draw()
    trace = drawn[:32]
    if not exchange.request_id:
        exchange.request_id = trace
        written += exchange.plane.request_id_start + trace + b"\r\n"
    if fields.traceparent:
        return b"".join((exchange.method, b" ", match.forward_target, b" HTTP/1.1\r\n", written, b"\r\n"))
    return b"".join(
        (
            exchange.method,
            b" ",
            match.forward_target,
            b" HTTP/1.1\r\n",
            written,
            b"traceparent: 00-",
            trace,
            b"-",
            drawn[32:],
            b"-01\r\n\r\n",
        )
    )


def backend_host(member: UpstreamMember) -> bytes:
    """Give `host:port` of a backend as it was configured."""
    return member.backend.url.partition("://")[2].partition("/")[0].encode("latin-1")


def asked_host(exchange: Exchange) -> bytes:
    """Give the host that the client asked for; empty for an HTTP/1.0 request without Host."""
    return exchange.match.target.authority or exchange.fields.host


def _write_fields(exchange: Exchange, connection: DownstreamConnection, member: UpstreamMember) -> bytes:
    fields = exchange.fields
    route = exchange.route_
    plane = exchange.plane
    host = asked_host(exchange)
    section = fields.end_to_end
    if not exchange.is_1_1 and fields.expects_continue:
        # RFC 9110 section 10.1.1: an HTTP/1.0 client's expectation is ignored, not passed on
        section = b"".join(
            line + b"\r\n" for line in section.split(b"\r\n")[:-1] if not line.lower().startswith(b"expect:")
        )
    if route.request_edits:
        section = route.request_edits.apply(section)
    lines = [section, fields.framing, plane.forwarding.write(connection.client, fields, host)]
    if fields.request_id:
        lines.append(plane.request_id_start + fields.request_id + b"\r\n")
    if fields.traceparent:
        lines.append(b"traceparent: %b\r\n" % fields.traceparent)
    if route.upstream_host != "backend":
        sent_host = host or backend_host(member)
        if route.upstream_host != "preserve":
            sent_host = route.upstream_host.encode("latin-1")
        lines.insert(0, b"Host: %b\r\n" % sent_host)
    written = b"".join(lines)
    if fields.host and not exchange.match.target.authority:
        connection.written_for_fields = fields
        connection.written_for_route = route
        connection.written = written
    return written
