"""
The request head as the backend gets it.

What depends only on the client's fields and the route is written once and kept on the connection, because a
client repeats its fields; only the request line and the identity are new for each exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcs_gateway.http.hop_limit import read_hop_limit, with_hop_limit
from pcs_gateway.proxy.receiving import wants_upgrade

if TYPE_CHECKING:
    from pcs_gateway.proxy.downstream import DownstreamConnection
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.proxy.routing import Route
    from pcs_gateway.proxy.upstream_pool import UpstreamMember


def request_head(exchange: Exchange, member: UpstreamMember) -> bytes:
    """Give the head of an exchange's request for one backend, identity included."""
    connection = exchange.connection
    assert connection is not None
    fields = exchange.fields
    route = exchange.matched
    is_known = connection.written_for_fields is fields and connection.written_for_route is route
    if is_known and not exchange.match.authority:
        written = connection.written
    else:
        written = _write_fields(exchange, connection, member)
    if fields.upgrade or not route.is_plain:
        written = _write_unusual(exchange, member) + written
    if fields.has_identity or exchange.request_id:
        return _with_identity(exchange, written)
    drawn = exchange.plane.identities.draw()
    exchange.request_id = trace = drawn[:32]
    return b"%b%b%b%b\r\ntraceparent: 00-%b-%b-01\r\n\r\n" % (
        exchange.match.line,
        written,
        exchange.plane.request_id_start,
        trace,
        trace,
        drawn[32:],
    )


def _with_identity(exchange: Exchange, written: bytes) -> bytes:
    """The head of a request that has an identity already: the client's, or that of an attempt before."""
    fields = exchange.fields
    exchange.ensure_request_id()
    request_id = traceparent = b""
    is_ours = not fields.request_id
    if is_ours:
        request_id = b"%b%b\r\n" % (exchange.plane.request_id_start, exchange.request_id)
    if not fields.traceparent:
        drawn = exchange.plane.identities.draw()
        trace = exchange.request_id if is_ours else drawn[:32]
        traceparent = b"traceparent: 00-%b-%b-01\r\n" % (trace, drawn[32:])
    return b"%b%b%b%b\r\n" % (exchange.match.line, written, request_id, traceparent)


def _write_unusual(exchange: Exchange, member: UpstreamMember) -> bytes:
    """Give the lines that depend on the backend, or that ask for another protocol."""
    lines = b""
    if exchange.matched.upstream_host == "backend":
        lines = b"Host: %b\r\n" % backend_host(member)
    if wants_upgrade(exchange):
        lines += b"Connection: upgrade\r\nUpgrade: %b\r\n" % exchange.fields.upgrade
    return lines


def backend_host(member: UpstreamMember) -> bytes:
    """Give `host:port` of a backend as it was configured."""
    return member.backend.url.partition("://")[2].partition("/")[0].encode("latin-1")


def asked_host(exchange: Exchange) -> bytes:
    """Give the host that the client asked for; empty for an HTTP/1.0 request without Host."""
    return exchange.match.authority or exchange.fields.host


def _write_fields(exchange: Exchange, connection: DownstreamConnection, member: UpstreamMember) -> bytes:
    """Write what follows from the client's fields and the route, and keep it where it may be of use again."""
    fields = exchange.fields
    route = exchange.matched
    host = asked_host(exchange)
    section = fields.forwarded
    if route.upstream_host != "preserve" or host != fields.host or not host:
        section = _host_line(route, host, member) + fields.without_host()
    if fields.max_forwards is not None and exchange.method == b"OPTIONS":
        section = with_hop_limit(section, read_hop_limit(fields.max_forwards) - 1)
    if fields.expects_continue and (exchange.body is None or not exchange.body.awaits_continue):
        # RFC 9110 section 10.1.1: ignored from HTTP/1.0, idle where the body is here, and met by the gateway
        lines = section.split(b"\r\n")[:-1]
        section = b"".join([line + b"\r\n" for line in lines if not line.lower().startswith(b"expect:")])
    written = section + _forwarding(exchange, connection, host)
    if route.request_edits is not None:
        written = route.request_edits.apply(written)
    # an identity comes once; an authority in the target, a missing Host, a hop limit and an expectation
    # concern this one alone
    is_lasting = not (fields.has_identity or fields.expects_continue) and fields.max_forwards is None
    if is_lasting and fields.host and not exchange.match.authority:
        connection.written_for_fields = fields
        connection.written_for_route = route
        connection.written = written
    return written


def _host_line(route: Route, host: bytes, member: UpstreamMember) -> bytes:
    if route.upstream_host == "preserve":
        return b"Host: %b\r\n" % (host or backend_host(member))
    if route.upstream_host == "backend":
        # written for each attempt, since it names the attempt's backend
        return b""
    return b"Host: %b\r\n" % route.upstream_host.encode("latin-1")


def _forwarding(exchange: Exchange, connection: DownstreamConnection, host: bytes) -> bytes:
    fields = exchange.fields
    if fields.has_forwarding:
        return exchange.plane.forwarding.write(connection.client, fields, host)
    if connection.forwarding_host != host:
        connection.forwarding_host = host
        connection.forwarding = exchange.plane.forwarding.write(connection.client, fields, host)
    return connection.forwarding
