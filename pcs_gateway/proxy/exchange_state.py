"""The state of one exchange, and what follows from it alone; its story is told by `exchange`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcs_gateway.http.request_fields import RequestFields
from pcs_gateway.proxy.phases import CONNECTING, NEVER, PAUSED, RECEIVING, WAITING
from pcs_gateway.proxy.routing import Match, Route
from pcs_gateway.telemetry.record import ExchangeRecord

if TYPE_CHECKING:
    from pcs_gateway.backends.member import Lease, Member
    from pcs_gateway.proxy.attempts import Failure
    from pcs_gateway.proxy.data_plane import DataPlane
    from pcs_gateway.proxy.delays import Delay
    from pcs_gateway.proxy.downstream import DownstreamConnection
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.proxy.hedge import Hedge
    from pcs_gateway.proxy.holding import HeldResponse
    from pcs_gateway.proxy.request_body import RequestBody
    from pcs_gateway.proxy.tunnel import Tunnel
    from pcs_gateway.proxy.upstream import UpstreamConnection
    from pcs_gateway.proxy.upstream_pool import UpstreamPool


class ExchangeState(ExchangeRecord):
    """
    What is known of one exchange while it lasts; it is itself the record that telemetry reads.

    Attributes:
        connection: The client's; None once the client has left or the exchange is over.
        matched: The route that takes it.
        upstream: The connection that carries the current attempt.
        phase: What it is waiting for.
        deadline: Monotonic seconds at which the sweep ends the phase.
        hedge: The second attempt, while it is under way beside the first.
        delay: Runs until that may begin, or a retry.
        held: A response that the client gets if retries bring nothing better.
        keep_alive: The connection may carry another request.
        tried: Members that failed it.
        wants_fresh: It must not be sent on a pooled connection again.
        is_active: Bytes flowed since the last sweep.
        is_watched: That it waits says something of its backend.
        is_leftover: It is over, but for its attempt.
        is_paused: The backend is not read because the client is slow.
        rechunks: The response body goes to the client in chunks.
        retries: How many there were, waiting ones included.
        sent: When the request was sent to the backend that answers.
        waited: Seconds spent waiting for the client's body, a lease, connects, pauses and failed attempts.
        ended: When it finished.
        total_from: When `timeouts.request_total` began: with the request complete.
    """

    __slots__ = (
        "attempted",
        "body",
        "connection",
        "deadline",
        "delay",
        "ended",
        "fields",
        "hedge",
        "held",
        "is_1_1",
        "is_active",
        "is_paused",
        "is_queued",
        "keep_alive",
        "lease",
        "match",
        "matched",
        "phase",
        "plane",
        "received",
        "rechunks",
        "retries",
        "sent",
        "total_from",
        "tried",
        "tunnel",
        "upstream",
        "waited",
        "wants_fresh",
    )
    match: Match
    matched: Route
    ended: float
    is_leftover = False
    is_watched = True

    def __init__(
        self,
        connection: DownstreamConnection,
        plane: DataPlane,
        method: bytes,
        target: bytes,
        fields: RequestFields,
        received: float,
        is_1_1: bool,  # noqa: FBT001 - positional for speed
    ) -> None:
        self.connection: DownstreamConnection | None = connection
        self.plane = plane
        self.method = method
        self.target = target
        self.fields = fields
        self.received = self.total_from = received
        self.is_1_1 = is_1_1
        self.keep_alive = not fields.has_close if is_1_1 else fields.has_keep_alive
        client = connection.client
        self.client = client.address
        if fields.has_forwarding and client.is_trusted:
            self.client = plane.forwarding.client_address(client, fields)
        self.body: RequestBody | None = None
        self.upstream: UpstreamConnection | None = None
        self.lease: Lease | None = None
        self.tunnel: Tunnel | None = None
        self.tried: tuple[Member, ...] = ()
        self.outcomes = ()
        self.phase = RECEIVING
        self.deadline = NEVER
        self.sent = self.waited = self.attempted = 0.0
        self.wants_fresh = self.is_queued = self.is_active = self.is_paused = self.rechunks = False
        self.route = self.pool = self.backend = self.reason = ""
        self.request_id = b""
        self.hedge: Hedge | None = None
        self.delay: Delay | None = None
        self.held: HeldResponse | None = None
        self.retries = self.status = self.attempts = self.request_bytes = self.response_bytes = 0
        self.time_to_first_byte = self.upstream_time = 0.0

    def forgive(self, pool: UpstreamPool) -> None:
        """Forget who failed it when no other takes part: better the same again, after a pause, than none."""
        if all(member in self.tried for member in pool.balancer.taking_part()):
            self.tried = ()

    def takes_failure(self, failure: Failure, now: float) -> bool:
        """Tell whether a failed attempt needs nothing more; an exchange itself must go on without it."""
        return False

    @property
    def successor(self) -> Exchange:
        """Who goes on with its attempt: itself, but for a hedge that won or was taken over."""
        return self  # type: ignore[return-value]

    @property
    def is_request_sent(self) -> bool:
        """The whole request has been sent, so its connection can carry another."""
        body = self.body
        return body is None or body.is_complete

    def wants_connection(self, lease: Lease) -> bool:
        """Tell whether the attempt of this lease still waits for its connection."""
        return self.phase == CONNECTING and self.lease is lease

    def ensure_request_id(self) -> None:
        """Keep the client's request id, or make one."""
        if not self.request_id:
            self.request_id = self.fields.request_id or self.plane.identities.draw()[:32]

    def judge_keep_alive(self) -> None:
        """Close after this answer when its request is unread, or the worker drains and nothing waits."""
        is_last = self.plane.is_draining and self.connection is not None and not self.connection.has_more()
        if is_last or not self.is_request_sent:
            self.keep_alive = False

    def drop_upstream(self) -> None:
        """Close the connection to the backend, if there is one: its response is not wanted."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.exchange = None
            upstream.close()

    def stop_waiting(self, now: float) -> None:
        """Count the time since the phase began as waiting, not as the gateway's own."""
        phase = self.phase
        if phase == RECEIVING:
            self.waited += now - self.received
        elif phase == WAITING:
            self.waited += now - self.sent
        elif phase in (PAUSED, CONNECTING):
            self.waited += now - self.attempted

    def give_back(self) -> None:
        """Close the attempt's connection, if it has one, and end its lease, which goes to who waits."""
        self.drop_upstream()
        lease, self.lease = self.lease, None
        if lease is not None:
            lease.end()
            if self.matched.upstream_pool is not None:
                self.matched.upstream_pool.serve_waiters()

    def settle(self, wall_offset: float) -> None:
        """Fill in what the record says of the whole exchange; done for many at a time."""
        duration = self.duration = self.ended - self.received
        self.gateway_time = duration - self.upstream_time - self.waited
        self.started = wall_offset + self.received
        if self.body is not None:
            self.request_bytes = self.body.received
            self.body = None
