"""
The sections `limits` and `timeouts`, of the whole gateway and of one route.

A route may set each key again. The ones that apply before the route is known are accepted there and
noticed at start-up: they have no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field

from pcs_gateway.section import Integer, Section
from pcs_gateway.units import ByteRate, Duration, Size

PositiveDuration = Annotated[Duration, Field(gt=0)]
"""A duration that is not zero."""
PositiveSize = Annotated[Size, Field(gt=0)]
"""A size that is not zero."""


class LimitsConfig(Section):
    """What a client may cost."""

    header_bytes: Annotated[Size, Field(ge=256, le=2**20)] = 32 * 2**10
    """Request line and header fields; beyond it the answer is 431."""

    headers: Annotated[Integer, Field(ge=1, le=10_000)] = 100
    """Number of header fields; beyond it the answer is 431."""

    body_bytes: Size = 64 * 2**20
    """Request body; beyond it the answer is 413."""

    connections: Annotated[Integer, Field(ge=1, le=1_000_000)] = 20_000
    """Client connections of one worker; beyond it idle ones are closed, the longest idle first, and while
    there are none new ones wait in the kernel's queue. Lowered where the system's limit of open descriptors
    leaves less beside the connections to backends."""

    connections_per_client: Annotated[Integer, Field(ge=1, le=1_000_000)] | None = None
    """Connections that one client address (of IPv6 the first 64 bits) may hold, over all workers; beyond it
    the answer is 429, and twice as many are closed unanswered. Peers in forwarding.trusted_proxies are not
    counted. Absent: any number."""

    pipelined_requests: Annotated[Integer, Field(ge=1, le=1000)] = 16
    """Requests of one connection that wait for their turn; what comes beyond is discarded and the last
    answer says `Connection: close`."""

    response_buffer: PositiveSize = 256 * 2**10
    """What is read ahead of a slow client."""

    request_buffer: PositiveSize = 64 * 2**10
    """A request body up to this size is complete before a backend is engaged."""

    minimum_body_rate: ByteRate = 1024.0
    """Bodies slower than this are closed, either way; 0: any speed. Requests are judged over 10 s, responses
    over the time that 64 KiB take at this rate, at least 10 s."""

    def overridden_by(self, route: RouteLimitsConfig | None) -> Self:
        """Return these limits with the ones that a route sets itself."""
        return self if route is None else self.model_copy(update=_given(route))


class RouteLimitsConfig(Section):
    """The limits of one route; what is absent is as in `limits`."""

    header_bytes: Annotated[Size, Field(ge=256, le=2**20)] | None = None
    """Has no effect on a route: the head is read before the route is known."""

    headers: Annotated[Integer, Field(ge=1, le=10_000)] | None = None
    """Has no effect on a route: the head is read before the route is known."""

    body_bytes: Size | None = None
    """Request body; beyond it the answer is 413."""

    connections: Annotated[Integer, Field(ge=1, le=1_000_000)] | None = None
    """Has no effect on a route: connections are accepted before the route is known."""

    connections_per_client: Annotated[Integer, Field(ge=1, le=1_000_000)] | None = None
    """Has no effect on a route: connections are accepted before the route is known."""

    pipelined_requests: Annotated[Integer, Field(ge=1, le=1000)] | None = None
    """Has no effect on a route: a connection serves many routes."""

    response_buffer: PositiveSize | None = None
    """What is read ahead of a slow client."""

    request_buffer: PositiveSize | None = None
    """A request body up to this size is complete before a backend is engaged."""

    minimum_body_rate: ByteRate | None = None
    """Bodies slower than this are closed, either way; 0: any speed. Requests are judged over 10 s, responses
    over the time that 64 KiB take at this rate, at least 10 s."""


class TimeoutsConfig(Section):
    """How long the gateway waits, and for what."""

    request_head: PositiveDuration = 10.0
    """From the first byte of a request to the end of its head; then 408."""

    client_idle: PositiveDuration = 75.0
    """Between two requests of a kept-alive connection; then it is closed."""

    connect: PositiveDuration = 1.0
    """For a connection to a backend."""

    response_head: PositiveDuration = 15.0
    """From the request sent to the end of the response head; then 504."""

    stream_idle: PositiveDuration = 60.0
    """Without a byte either way while a body is flowing."""

    request_total: PositiveDuration = 30.0
    """From the request with its body, or as much of that as is kept, to the first byte of the final response
    head, queue and retries included; then 504."""

    tunnel_idle: PositiveDuration = 3600.0
    """Without a byte either way in a tunnel (WebSocket and other upgrades)."""

    def overridden_by(self, route: RouteTimeoutsConfig | None) -> Self:
        """Return these timeouts with the ones that a route sets itself."""
        return self if route is None else self.model_copy(update=_given(route))


class RouteTimeoutsConfig(Section):
    """The timeouts of one route; what is absent is as in `timeouts`."""

    request_head: PositiveDuration | None = None
    """Has no effect on a route: the head is read before the route is known."""

    client_idle: PositiveDuration | None = None
    """Has no effect on a route: a connection serves many routes."""

    connect: PositiveDuration | None = None
    """For a connection to a backend."""

    response_head: PositiveDuration | None = None
    """From the request sent to the end of the response head; then 504."""

    stream_idle: PositiveDuration | None = None
    """Without a byte either way while a body is flowing."""

    request_total: PositiveDuration | None = None
    """From the request with its body, or as much of that as is kept, to the first byte of the final response
    head, queue and retries included; then 504."""

    tunnel_idle: PositiveDuration | None = None
    """Without a byte either way in a tunnel (WebSocket and other upgrades)."""


def _given(section: Section) -> Mapping[str, Any]:
    return {name: value for name, value in section if value is not None}
