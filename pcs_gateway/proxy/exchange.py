"""
The life of one exchange: the front page of the data plane.

    begin        the head is read: route, and the body that must be waited for    routing, receiving
    attempt      a backend is leased, or the exchange queues, or is refused       balancing, upstream_pool
    leased       the request leaves in one write, on a pooled connection          request_writer, upstream
    respond      the response leaves in one write, as far as it came              response_writer
    finish       the lease ended with the backend's last byte; one record         telemetry

The plain path runs through these without a task, a future or a timer. What else may happen stands in
`failing` (a failed attempt), `endings` (a client that left, a deadline), `tunnel` (another protocol).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pcs_gateway.errors import NoHealthyInstances
from pcs_gateway.http.framing import encode_last_chunk
from pcs_gateway.http.refusals import Refusal, RequestRefused
from pcs_gateway.http.request_fields import RequestFields
from pcs_gateway.proxy.answers import Answer, fixed, problem
from pcs_gateway.proxy.evidence import complete, judge
from pcs_gateway.proxy.failing import no_backend
from pcs_gateway.proxy.phases import CONNECTING, NEVER, OVER, RECEIVING, STREAMING, WAITING
from pcs_gateway.proxy.receiving import begin_with_care, require_fitness
from pcs_gateway.proxy.request_writer import request_head
from pcs_gateway.proxy.response_writer import own_answer, response_head, response_more, whole_response
from pcs_gateway.proxy.routing import Match, Route
from pcs_gateway.telemetry.record import ExchangeRecord

if TYPE_CHECKING:
    from pcs_gateway.backends.member import Lease, Member
    from pcs_gateway.http.messages import ResponseHead
    from pcs_gateway.proxy.data_plane import DataPlane
    from pcs_gateway.proxy.downstream import DownstreamConnection
    from pcs_gateway.proxy.request_body import RequestBody
    from pcs_gateway.proxy.tunnel import Tunnel
    from pcs_gateway.proxy.upstream import UpstreamConnection
    from pcs_gateway.proxy.upstream_pool import UpstreamMember, UpstreamPool


class Exchange(ExchangeRecord):
    """
    One request of a client with our answer; it is itself the record that telemetry reads.

    Attributes:
        connection: The client's; None once the client has left or the exchange is over.
        matched: The route that takes it.
        upstream: The connection that carries the current attempt.
        phase: What it is waiting for.
        deadline: Monotonic seconds at which the sweep ends the phase.
        keep_alive: The connection may carry another request.
        tried: Members that failed it.
        wants_fresh: It must not be sent on a pooled connection again.
        is_active: Bytes flowed since the last sweep.
        is_leftover: It is over, but for its attempt.
        is_paused: The backend is not read because the client is slow.
        rechunks: The response body goes to the client in chunks.
        sent: When the request was sent to the backend that answers.
        waited: Seconds spent waiting for the client's body, connects and failed attempts.
        ended: When it finished.
        total_from: When `timeouts.request_total` began: with the request complete.
    """

    __slots__ = (
        "attempted",
        "body",
        "connection",
        "deadline",
        "ended",
        "fields",
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
    is_leftover = False

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
        self.phase, self.deadline = RECEIVING, NEVER
        self.sent = self.waited = 0.0
        self.wants_fresh = self.is_queued = self.is_active = self.is_paused = self.rechunks = False
        self.route = self.pool = self.backend = self.reason = ""
        self.request_id = b""
        self.status = self.attempts = self.request_bytes = self.response_bytes = 0
        self.time_to_first_byte = self.upstream_time = 0.0

    # begin: from the head to a route, a body and an attempt

    def begin(self, rest: bytes) -> bytes:
        """
        Take up a request whose head is read; give back what follows it, the next pipelined request.

        Raises:
            RequestRefused: It must not be forwarded.
        """
        fields = self.fields
        is_plain = fields.is_plain and self.is_1_1
        if not is_plain:
            require_fitness(fields, is_1_1=self.is_1_1)
        self.match = match = self.plane.router.match(self.method, fields.host, self.target)
        self.matched = route = match.route
        self.route = route.name
        if route.admission is not None:
            route.admission.admit(self)
        if not is_plain:
            return begin_with_care(self, route, rest)
        self.engage(route)
        return rest

    def engage(self, route: Route) -> None:
        """Go on to an answer: the route's own, or a backend's."""
        pool = route.upstream_pool
        if pool is None:
            assert route.respond is not None
            self.answer(fixed(route.respond.status, route.respond.headers, route.respond.body))
        else:
            self.pool = pool.name
            self.attempt(pool, self.total_from)

    # attempt: a lease, a connection, the request sent

    def attempt(self, pool: UpstreamPool, now: float) -> None:
        """Lease a backend and send the request; else queue, or answer that nobody can take it."""
        try:
            leases = pool.queue.lease if pool.is_gated else pool.balancer.route_request
            lease = leases(self, now, self.tried)
        except NoHealthyInstances:
            no_backend(self)
            return
        if lease is not None:
            self.leased(lease, now)
            return
        pool.queue.wait(self, now)

    def leased(self, lease: Lease, now: float) -> None:
        """Go on with a lease: on a pooled connection at once, else on a new one."""
        self.lease = lease
        member: UpstreamMember = lease.member  # type: ignore[assignment]
        self.backend = member.name
        self.attempts += 1
        idle = member.idle
        if idle and not self.wants_fresh:
            self._send(idle.pop(), member, now)
            return
        self.attempted = now
        self.phase = CONNECTING
        self.deadline = self.total_from + self.matched.request_total
        assert self.matched.upstream_pool is not None
        self.matched.upstream_pool.connect(member, self)

    def wants_connection(self, attempt: int) -> bool:
        """Tell whether the attempt with this number still waits for its connection."""
        return self.phase == CONNECTING and self.attempts == attempt

    def send(self, connection: UpstreamConnection) -> None:
        """Use a connection that was opened for this exchange."""
        now = self.plane.monotonic()
        self.waited += now - self.attempted
        self._send(connection, connection.member, now)

    def _send(self, upstream: UpstreamConnection, member: UpstreamMember, now: float) -> None:
        self.upstream = upstream
        self.phase = WAITING
        route = self.matched
        by_head = now + route.response_head
        by_total = self.total_from + route.request_total
        self.deadline = by_head if by_head < by_total else by_total  # noqa: FURB136 (no call)
        body = self.body
        if body is None:
            upstream.start(self, request_head(self, member))
            self.sent = self.plane.monotonic()
            return
        upstream.start(self, b"".join((request_head(self, member), *body.kept)))
        self.sent = self.plane.monotonic()
        if not body.is_complete:
            body.forget()
            self.deadline = now + route.timeouts.stream_idle
            if self.connection is not None and not upstream.is_writing_paused:
                self.connection.resume_reading()

    def leave_queue(self) -> None:
        """Wait for a lease no longer."""
        pool = self.matched.upstream_pool if self.is_queued else None
        if pool is not None:
            pool.queue.leave(self)

    # respond: the response, as it comes

    @property
    def is_request_sent(self) -> bool:
        """The whole request has been sent, so its connection can carry another."""
        body = self.body
        return body is None or body.is_complete

    def respond_whole(self, head: ResponseHead, body: bytes) -> None:
        """Pass on a response that came complete, framed by its length or without a body."""
        self.status = status = head.status
        plane = self.plane
        now = plane.monotonic()
        self.time_to_first_byte = now - self.received
        self.phase = STREAMING
        if status >= 500 or self.attempts > 1 or self.matched.uses_latency:
            judge(self, status, now, is_whole=True)
        else:
            member: Member = self.lease.member  # type: ignore[union-attr, assignment]
            member.successes += 1
            member.consecutive_failures = 0
        connection = self.connection
        if connection is not None:
            if plane.is_draining or self.body is not None:
                self._judge_keep_alive()
            self.response_bytes = len(body)
            connection.transport.write(whole_response(self, head, body))
        self.finish(now)

    def respond(
        self,
        head: ResponseHead,
        pieces: Sequence[bytes],
        *,
        is_framed: bool,
        is_complete: bool = False,
        trailers: Sequence[bytes] = (),
    ) -> None:
        """
        Pass on a response head with the first pieces of its body.

        Args:
            is_framed: Content-Length tells the client where the body ends.
            is_complete: There will be no more of it; only when it is not framed.
        """
        self.status = head.status
        now = self.plane.monotonic()
        self.time_to_first_byte = now - self.received
        self.phase = STREAMING
        judge(self, head.status, now, is_whole=is_complete)
        self.deadline = now + self.matched.timeouts.stream_idle
        self.rechunks = not is_framed and self.is_1_1
        self._judge_keep_alive()
        if not (is_framed or self.is_1_1):
            self.keep_alive = False
        if self.connection is not None:
            self.connection.read_ahead(self.matched.limits.response_buffer)
            ending = encode_last_chunk(trailers) if is_complete and self.rechunks else b""
            self.connection.transport.write(response_head(self, head, pieces, ending))
        if is_complete:
            self.finish(now)

    def respond_more(
        self, pieces: Sequence[bytes], *, is_complete: bool = False, trailers: Sequence[bytes] = ()
    ) -> None:
        """Pass on more of the body."""
        self.is_active = True
        if self.connection is not None:
            self.connection.transport.write(response_more(self, pieces, trailers, is_complete=is_complete))
        if is_complete:
            complete(self)

    def pass_interim(self, head: ResponseHead) -> None:
        """Pass on a 1xx response; a client of HTTP/1.0 must not see one (RFC 9110 section 15.2)."""
        if self.connection is not None and self.is_1_1:
            self.connection.transport.write(b"".join((head.start, head.forwarded, b"\r\n")))

    # answers of our own

    def refuse(
        self, refusal: Refusal, backends: Sequence[str] = (), allowed: bytes = b"", retry_after: int = 0
    ) -> None:
        """End the exchange with an answer of our own that says why."""
        self.leave_queue()
        if self.connection is None:
            # the client left before, which is what the record says
            self.drop_upstream()
            self.finish(self.plane.monotonic())
            return
        self.reason = refusal.reason
        if refusal.is_final:
            self.keep_alive = False
        self.ensure_request_id()
        self.answer(problem(refusal, self.request_id, backends, allowed, retry_after))

    def refused(self, error: RequestRefused) -> None:
        """Answer a request that must not be forwarded."""
        if self.body is None and self.fields.announces_body and self.fields.content_length != 0:
            # its body will come, and is not the next request
            self.keep_alive = False
        self.refuse(error.refusal, (), error.allowed, error.retry_after)

    def ensure_request_id(self) -> None:
        """Keep the client's request id, or make one."""
        if not self.request_id:
            self.request_id = self.fields.request_id or self.plane.identities.draw()[:32]

    def answer(self, answer: Answer) -> None:
        self.drop_upstream()
        self.status = answer.status
        self.sent = now = self.plane.monotonic()
        self.time_to_first_byte = now - self.received
        self._judge_keep_alive()
        if self.connection is not None:
            self.response_bytes = 0 if self.method == b"HEAD" else len(answer.body)
            self.connection.transport.write(own_answer(self, answer))
        self.finish(now)

    def _judge_keep_alive(self) -> None:
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

    # finish: one record, and on to the next request

    def finish(self, now: float) -> None:
        """End the exchange: its lease, its record, its hold on the connection; once."""
        phase = self.phase
        if phase == OVER:
            return
        self.phase = OVER
        self.ended = now
        lease = self.lease
        if lease is not None:
            self.lease = None
            lease.end()
            if phase >= STREAMING:
                self.upstream_time = now - self.sent
            if self.matched.upstream_pool.waiters:  # type: ignore[union-attr]
                self.matched.upstream_pool.serve_waiters()  # type: ignore[union-attr]
        plane = self.plane
        plane.over(self)
        connection = self.connection
        if connection is not None:
            self.connection = None
            connection.exchange_over(self, now)
        else:
            plane.abandoned.discard(self)

    def settle(self, wall_offset: float) -> None:
        """Fill in what the record says of the whole exchange; done for many at a time."""
        duration = self.duration = self.ended - self.received
        self.gateway_time = duration - self.upstream_time - self.waited
        self.started = wall_offset + self.received
        if self.body is not None:
            self.request_bytes = self.body.received
            self.body = None
