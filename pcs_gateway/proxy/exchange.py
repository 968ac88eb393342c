"""
The life of one exchange: the front page of the data plane.

    begin        the head is read: route, admission, body                     routing, request_body
    attempt      a backend is leased, or the exchange queues, or is refused   balancing, upstream_pool
    send         the request leaves in one write                              upstream
    respond      the response head and what came with it leave in one write   response_writer
    finish       the lease ended with the backend's last byte; one record     telemetry

The plain path runs through these without a task, a future or a timer. What is not plain (a retry, a client
that left, a tunnel) stands in its own method or file. Every exchange ends once, in `_finish`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pcs_gateway.errors import NoHealthyInstances
from pcs_gateway.http.fields import RequestFields
from pcs_gateway.http.refusals import Refusal, RequestRefused
from pcs_gateway.proxy.answers import Answer, fixed, problem
from pcs_gateway.proxy.attempts import GATEWAY_FAILURE_STATUSES, Failure, may_try_again
from pcs_gateway.proxy.request_body import RequestBody
from pcs_gateway.proxy.request_writer import request_head
from pcs_gateway.proxy.response_writer import own_answer, response_head, response_more, upgrade_head
from pcs_gateway.proxy.routing import Match, MethodNotRouted, Route
from pcs_gateway.telemetry.record import ExchangeRecord

if TYPE_CHECKING:
    from pcs_gateway.backends.member import Lease, Member
    from pcs_gateway.http.messages import ResponseHead
    from pcs_gateway.proxy.data_plane import DataPlane
    from pcs_gateway.proxy.downstream import DownstreamConnection
    from pcs_gateway.proxy.tunnel import Tunnel
    from pcs_gateway.proxy.upstream import UpstreamConnection
    from pcs_gateway.proxy.upstream_pool import UpstreamMember, UpstreamPool

RECEIVING, QUEUED, CONNECTING, WAITING, STREAMING, TUNNELLING, OVER = range(7)
NEVER = float("inf")
NOT_TRIED: tuple[Member, ...] = ()


class Exchange(ExchangeRecord):
    """
    One request of a client with our answer; it is itself the record that telemetry reads.

    Attributes:
        connection: The client's; None once the client has left.
        upstream: The connection that carries the current attempt.
        phase: What the exchange is waiting for.
        deadline: Monotonic seconds at which the sweep ends the phase.
        keep_alive: The connection may carry another request.
        is_active: Bytes flowed since the last sweep.
    """

    __slots__ = (
        "_attempted",
        "_sent",
        "_total_from",
        "_waited",
        "body",
        "connection",
        "deadline",
        "fields",
        "is_1_1",
        "is_active",
        "is_paused",
        "is_queued",
        "keep_alive",
        "lease",
        "match",
        "phase",
        "plane",
        "rechunks",
        "received",
        "route_",
        "tried",
        "tunnel",
        "upstream",
        "wants_fresh",
    )

    def __init__(
        self,
        connection: DownstreamConnection,
        plane: DataPlane,
        method: bytes,
        target: bytes,
        fields: RequestFields,
        now: float,
        *,
        is_1_1: bool,
    ) -> None:
        self.connection: DownstreamConnection | None = connection
        self.plane = plane
        self.method = method
        self.target = target
        self.fields = fields
        self.is_1_1 = is_1_1
        self.received = now
        self.started = 0.0
        self.deadline = NEVER
        self.phase = RECEIVING
        self.keep_alive = not fields.has_close if is_1_1 else fields.has_keep_alive
        self.client = connection.client.address
        self.request_id = fields.request_id
        self.body: RequestBody | None = None
        self.upstream: UpstreamConnection | None = None
        self.lease: Lease | None = None
        self.rechunks = False
        self.tunnel: Tunnel | None = None
        self.tried: tuple[Member, ...] = NOT_TRIED
        self.wants_fresh = self.is_queued = self.is_active = self.is_paused = False
        self._sent = self._waited = 0.0
        self._total_from = now
        self.route = self.pool = self.backend = self.reason = ""
        self.outcomes = ()
        self.status = self.attempts = self.request_bytes = self.response_bytes = 0
        self.time_to_first_byte = self.upstream_time = 0.0

    # begin: from the head to a route and a body

    def begin(self, rest: bytes) -> bytes:
        """
        Take up a request whose head is read; give back what follows it, the next pipelined request.

        Raises:
            RequestRefused: It must not be forwarded.
        """
        fields = self.fields
        refusal = fields.refusal_1_1 if self.is_1_1 else fields.refusal_1_0
        if refusal is not None:
            raise RequestRefused(refusal)
        self.match = match = self.plane.router.match(self.method, fields.host, self.target)
        self.route_ = route = match.route
        self.route = route.name
        if fields.framing:
            rest = self._begin_body(route, rest)
        elif fields.upgrade and self._is_upgrade_of_http_2(rest):
            rest = b""
        body = self.body
        if (
            body is None
            or body.is_complete
            or body.kept_bytes > route.limits.request_buffer
            or self._expects_continue
        ):
            self._engage(route)
        else:
            self.deadline = self.received + route.timeouts.stream_idle
        return rest

    def _begin_body(self, route: Route, rest: bytes) -> bytes:
        fields = self.fields
        if fields.upgrade and fields.content_length != 0:
            raise RequestRefused(Refusal.UPGRADE_WITH_BODY)
        self.body = body = RequestBody(fields.content_length, route.limits.body_bytes, self.received)
        if rest and not body.is_complete:
            wire, rest = body.feed(rest)
            body.keep(wire)
        return rest

    def _is_upgrade_of_http_2(self, rest: bytes) -> bool:
        """An h2c upgrade is not taken up: what follows its head must not be taken for HTTP/2 or for a request."""
        return self.fields.upgrade == b"h2c" and rest.startswith(b"PRI ")

    @property
    def _expects_continue(self) -> bool:
        return self.fields.expects_continue and self.is_1_1

    def _engage(self, route: Route) -> None:
        pool = route.upstream_pool
        if pool is None:
            self._respond_fixed(route)
            return
        self.pool = pool.name
        self._attempt(pool, self.received)

    def client_data(self, data: bytes) -> bytes:
        """
        Take bytes that the client sent during the exchange; give back what does not belong to it.

        Raises:
            RequestRefused: The body is malformed or too large.
        """
        if self.tunnel is not None:
            self.is_active = True
            self.tunnel.to_backend(data)
            return b""
        body = self.body
        if body is None or body.is_complete:
            return data
        wire, rest = body.feed(data)
        self.is_active = True
        if self.upstream is not None and self.phase >= WAITING:
            if wire:
                self.upstream.transport.write(wire)
        elif wire:
            body.keep(wire)
        if body.is_complete:
            self._body_complete()
        elif self.phase == RECEIVING and body.kept_bytes > self.route_.limits.request_buffer:
            self._engage(self.route_)
        elif self.phase in (QUEUED, CONNECTING) and body.kept_bytes > self.route_.limits.request_buffer:
            self.pause_client_reading()
        return rest

    def _body_complete(self) -> None:
        now = self.plane.monotonic()
        self._total_from = now
        if self.phase == RECEIVING:
            self._waited += now - self.received
            self._engage(self.route_)
        elif self.phase == WAITING:
            self._sent = now
            self.deadline = self._head_deadline(now)

    # attempt: a lease, a connection, the request sent

    def _attempt(self, pool: UpstreamPool, now: float) -> None:
        try:
            lease = pool.lease(self, now)
        except NoHealthyInstances:
            self.no_backend()
            return
        if lease is None:
            self.phase = QUEUED
            self.deadline = self._total_from + self.route_.timeouts.request_total
            if not pool.wait(self):
                self.refuse(Refusal.QUEUE_FULL)
            return
        self.leased(lease, now)

    def leased(self, lease: Lease, now: float) -> None:
        """Go on with a lease: on a pooled connection at once, else on a new one."""
        self.lease = lease
        member: UpstreamMember = lease.member  # type: ignore[assignment]
        pool = self.route_.upstream_pool
        assert pool is not None
        self.backend = member.backend.name
        self.attempts += 1
        self._attempted = now
        connection = None if self.wants_fresh else pool.take(member)
        if connection is not None:
            self._send(connection, member, now)
        else:
            self.phase = CONNECTING
            self.deadline = self._total_from + self.route_.timeouts.request_total
            pool.connect(member, self)

    @property
    def connect_timeout(self) -> float:
        """Seconds that a connect may take on this exchange's route."""
        return self.route_.timeouts.connect

    def wants_connection(self, attempt: int) -> bool:
        """Tell whether the attempt with this number still waits for its connection."""
        return self.phase == CONNECTING and self.attempts == attempt

    def send(self, connection: UpstreamConnection) -> None:
        """Use a connection that was opened for this exchange."""
        now = self.plane.monotonic()
        self._waited += now - self._attempted
        self._send(connection, connection.member, now)

    def _send(self, connection: UpstreamConnection, member: UpstreamMember, now: float) -> None:
        self.upstream = connection
        self.phase = WAITING
        self._sent = now
        head = request_head(self, member)
        body = self.body
        if body is None:
            self.deadline = self._head_deadline(now)
            connection.start(self, head)
            return
        connection.start(self, b"".join((head, *body.kept)))
        self.deadline = self._head_deadline(now)
        if not body.is_complete:
            body.forget()
            self.deadline = now + self.route_.timeouts.stream_idle
            self.resume_client_reading()

    def _head_deadline(self, now: float) -> float:
        timeouts = self.route_.timeouts
        by_head = now + timeouts.response_head
        by_total = self._total_from + timeouts.request_total
        return by_head if by_head < by_total else by_total

    def attempt_failed(self, failure: Failure) -> None:
        """Take up a failed attempt: try again where that does no harm, else answer."""
        now = self.plane.monotonic()
        lease, self.lease = self.lease, None
        self.upstream = None
        if lease is None or lease.member is None:
            return
        member: UpstreamMember = lease.member  # type: ignore[assignment]
        lease.end()
        self._waited += now - (self._sent if self.phase == WAITING else self._attempted)
        self.outcomes = (*self.outcomes, (member.backend.name, failure.outcome))
        pool = self.route_.upstream_pool
        assert pool is not None
        if failure.blames_backend:
            self.tried = (*self.tried, member)
            self.plane.evidence.failed(pool, member, failure.outcome, now)
        else:
            pool.drop_idle(member)
        self.wants_fresh = True
        retry = pool.config.retry
        body = self.body
        if self.connection is not None and may_try_again(
            failure,
            self.method,
            self.route_.retry_methods,
            self.attempts,
            retry.attempts,
            is_replayable=body is None or body.is_replayable,
        ):
            self._try_again(pool, failure, now)
        else:
            self.refuse(failure.answer)
        pool.serve_waiters()

    def _try_again(self, pool: UpstreamPool, failure: Failure, now: float) -> None:
        if now >= self._total_from + self.route_.timeouts.request_total:
            self.refuse(Refusal.TOTAL_TIMEOUT)
        elif all(member in self.tried for member in pool.balancer.instances):
            self.refuse(failure.answer)
        else:
            self._attempt(pool, now)

    def no_backend(self) -> None:
        """Answer that no backend is ready, with what the checks found."""
        pool = self.route_.upstream_pool
        self.refuse(Refusal.NO_HEALTHY_BACKEND, backends=pool.balancer.explain() if pool else ())

    def queue_timed_out(self) -> None:
        """Answer that waiting for a lease took too long."""
        self._leave_queue()
        self.refuse(Refusal.QUEUE_TIMEOUT)

    def _leave_queue(self) -> None:
        pool = self.route_.upstream_pool
        if self.is_queued and pool is not None:
            pool.leave(self)

    # respond: the response, as it comes

    @property
    def is_waiting_for_head(self) -> bool:
        """No byte of a final response was passed on."""
        return self.phase <= WAITING

    @property
    def is_request_sent(self) -> bool:
        """The whole request has been sent, so the connection can carry another."""
        body = self.body
        return body is None or body.is_complete

    @property
    def wants_upgrade(self) -> bool:
        """The client asked for a tunnel, the route allows it and the client is still there."""
        fields = self.fields
        return bool(
            self.connection is not None
            and fields.upgrade
            and fields.upgrade not in (b"h2c", b"h2")
            and self.route_.allow_upgrade
            and self.method == b"GET"
            and self.is_1_1
        )

    def respond(
        self,
        head: ResponseHead,
        pieces: Sequence[bytes],
        *,
        is_complete: bool,
        is_framed: bool,
        trailers: Sequence[bytes] = (),
    ) -> None:
        """
        Pass on the final response head with the first pieces of its body.

        Args:
            is_framed: Content-Length, or having no body, tells the client where the body ends.
        """
        now = self.plane.monotonic()
        self.phase = STREAMING
        self.status = status = head.status
        self.time_to_first_byte = now - self.received
        self._judge(status, now)
        connection = self.connection
        if connection is None:
            if is_complete:
                self._finish(now)
            else:
                self._drain_or_cut()
            return
        if not self.is_request_sent or self.plane.is_draining:
            self.keep_alive = False
        self.rechunks = not is_framed and self.is_1_1
        if not is_framed and not self.is_1_1:
            self.keep_alive = False
        share = self._sent - self.received - self._waited
        connection.write(response_head(self, head, share, pieces, trailers, is_complete=is_complete))
        if is_complete:
            self._finish(now)
        else:
            self.deadline = now + self.route_.timeouts.stream_idle

    def _judge(self, status: int, now: float) -> None:
        """Note what the response says of its backend."""
        lease = self.lease
        assert lease is not None
        member = lease.member
        pool = self.route_.upstream_pool
        assert pool is not None
        assert member is not None
        if status in GATEWAY_FAILURE_STATUSES:
            self.plane.evidence.failed(pool, member, f"http_{status}", now)
        else:
            member.successes += 1
            member.consecutive_failures = 0
            if pool.balancer.strategy.uses_latency:
                pool.balancer.observe(member, now - self._sent, now)
        if self.outcomes:
            self.outcomes = (
                *self.outcomes,
                (member.backend.name, "server_error" if status >= 500 else "success"),
            )

    def respond_more(
        self, pieces: Sequence[bytes], *, is_complete: bool = False, trailers: Sequence[bytes] = ()
    ) -> None:
        """Pass on more of the body."""
        self.is_active = True
        connection = self.connection
        if connection is not None:
            connection.write(response_more(self, pieces, trailers, is_complete=is_complete))
        if is_complete:
            self._finish(self.plane.monotonic())

    def response_broke_off(self) -> None:
        """End an exchange whose response ended before its end; the client must notice."""
        lease = self.lease
        pool = self.route_.upstream_pool
        if lease is not None and lease.member is not None and pool is not None:
            self.plane.evidence.failed(
                pool, lease.member, Refusal.RESPONSE_INCOMPLETE.reason, self.plane.monotonic()
            )
        self._break_off(Refusal.RESPONSE_INCOMPLETE)

    def _break_off(self, refusal: Refusal) -> None:
        self.reason = self.reason or refusal.reason
        connection = self.connection
        self.keep_alive = False
        self._finish(self.plane.monotonic())
        if connection is not None:
            connection.abort()

    def pass_interim(self, head: ResponseHead) -> None:
        """Pass on a 1xx response; a client of HTTP/1.0 must not see one (RFC 9110 section 15.2)."""
        if self.connection is not None and self.is_1_1:
            self.connection.write(b"".join((head.start, head.forwarded_section(), b"\r\n")))

    # answers of our own

    def _respond_fixed(self, route: Route) -> None:
        respond = route.respond
        assert respond is not None
        self._answer(fixed(respond.status, respond.headers, respond.body))

    def refuse(self, refusal: Refusal, backends: Sequence[str] = (), allowed: bytes = b"") -> None:
        """End the exchange with an answer of our own that says why."""
        self.reason = refusal.reason
        if refusal.is_final:
            self.keep_alive = False
        if not self.request_id:
            self.request_id = self.plane.identities.draw()[:32]
        self._answer(problem(refusal, self.request_id, backends, allowed))

    def refused(self, error: RequestRefused) -> None:
        """Answer a request that must not be forwarded."""
        self.refuse(error.refusal, allowed=error.allowed if isinstance(error, MethodNotRouted) else b"")

    def _answer(self, answer: Answer) -> None:
        self.status = answer.status
        now = self.plane.monotonic()
        self.time_to_first_byte = now - self.received
        if not self.is_request_sent or self.plane.is_draining:
            self.keep_alive = False
        connection = self.connection
        if connection is not None:
            connection.write(own_answer(self, answer, now - self.received - self._waited))
            self.response_bytes = 0 if self.method == b"HEAD" else len(answer.body)
        self._drop_upstream()
        self._finish(now)

    # tunnel

    def begin_tunnel(self, head: ResponseHead, rest: bytes) -> None:
        """Become a byte tunnel after 101; it counts as in flight until it closes."""
        from pcs_gateway.proxy.tunnel import Tunnel

        now = self.plane.monotonic()
        connection, upstream = self.connection, self.upstream
        assert connection is not None
        assert upstream is not None
        self.phase = TUNNELLING
        self.status = 101
        self.time_to_first_byte = now - self.received
        self.keep_alive = False
        self.deadline = now + self.route_.timeouts.tunnel_idle
        self._judge(101, now)
        self.tunnel = Tunnel(connection.transport, upstream.transport)
        connection.write(upgrade_head(self, head))
        if rest:
            self.tunnel_to_client(rest)
        connection.deliver_pending()

    def tunnel_to_client(self, data: bytes) -> None:
        """Pass on bytes of a tunnel."""
        self.is_active = True
        self.response_bytes += len(data)
        if self.tunnel is not None:
            self.tunnel.to_client(data)

    def end_tunnel_to_client(self) -> None:
        """The backend will send no more through the tunnel."""
        if self.tunnel is not None and self.tunnel.backend_ended():
            self.tunnel_lost()

    def client_ended(self) -> bool:
        """Take the client's end of file; True when its other direction stays open."""
        if self.tunnel is not None:
            if self.tunnel.client_ended():
                self.tunnel_lost()
            return True
        pool = self.route_.upstream_pool if self.route else None
        if not self.is_request_sent or (pool is not None and pool.config.on_abandon == "cancel"):
            return False
        self.keep_alive = False
        return True

    def tunnel_lost(self) -> None:
        """End a tunnel."""
        connection = self.connection
        self._drop_upstream()
        self._finish(self.plane.monotonic())
        if connection is not None:
            connection.transport.close()

    # the ends that nobody wished for

    def client_left(self) -> None:
        """The client's connection is gone: finish or cancel what runs for it, as `on_abandon` says."""
        self.connection = None
        if self.tunnel is not None:
            self.tunnel_lost()
            return
        self.reason = self.reason or Refusal.CLIENT_LEFT.reason
        self.status = self.status or Refusal.CLIENT_LEFT.status
        self._leave_queue()
        if self.phase == STREAMING:
            self._drain_or_cut()
            return
        pool = self.route_.upstream_pool if self.route else None
        finishes = pool is not None and pool.config.on_abandon == "finish"
        if finishes and self.phase == WAITING and self.is_request_sent:
            self.plane.abandoned.add(self)
            return
        self._drop_upstream()
        self._finish(self.plane.monotonic())

    def _drain_or_cut(self) -> None:
        """Read the rest of a response that nobody wants when it is short; else close its connection."""
        upstream = self.upstream
        remaining = upstream.remaining_body() if upstream is not None else None
        if remaining is not None and remaining <= self.route_.limits.response_buffer:
            self.deadline = self.plane.monotonic() + self.route_.timeouts.response_head
            self.resume_backend_reading()
            self.plane.abandoned.add(self)
            return
        self._drop_upstream()
        self._finish(self.plane.monotonic())

    def expired(self, now: float) -> None:
        """The deadline of the current phase has passed."""
        phase = self.phase
        if phase == STREAMING:
            self._break_off(Refusal.STREAM_IDLE)
        elif phase == TUNNELLING:
            self.reason = Refusal.TUNNEL_IDLE.reason
            self.tunnel_lost()
        elif phase == RECEIVING or not self.is_request_sent:
            self.refuse(Refusal.REQUEST_TIMEOUT)
        elif phase == WAITING and now < self._total_from + self.route_.timeouts.request_total:
            self._drop_upstream()
            self.attempt_failed(Failure.RESPONSE_TIMEOUT)
        else:
            self._leave_queue()
            self.refuse(Refusal.TOTAL_TIMEOUT)

    def cut(self) -> None:
        """End the exchange because the worker's drain_timeout is over."""
        connection = self.connection
        self.reason = Refusal.DRAIN_TIMEOUT.reason
        self._leave_queue()
        self._drop_upstream()
        self._finish(self.plane.monotonic())
        if connection is not None:
            connection.abort()

    def keep_streaming(self, now: float) -> None:
        """Bytes flowed since the last sweep: move the deadline of a phase in which bytes flow."""
        self.is_active = False
        timeouts = self.route_.timeouts
        if self.phase == TUNNELLING:
            self.deadline = now + timeouts.tunnel_idle
        elif self.phase == STREAMING or not self.is_request_sent:
            self.deadline = now + timeouts.stream_idle

    def is_body_too_slow(self, now: float) -> bool:
        """Tell whether the client sends its body below limits.minimum_body_rate."""
        body = self.body
        if body is None or body.is_complete or self.is_paused:
            return False
        return body.is_too_slow(now, self.route_.limits.minimum_body_rate)

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.exchange = None
            upstream.close()

    # backpressure

    def pause_backend_reading(self) -> None:
        """The client is slow and the buffer for it is full."""
        if self.upstream is not None and not self.is_paused:
            self.is_paused = True
            self.upstream.transport.pause_reading()

    def resume_backend_reading(self) -> None:
        """The client has caught up."""
        if self.upstream is not None and self.is_paused:
            self.is_paused = False
            self.upstream.transport.resume_reading()

    def pause_client_reading(self) -> None:
        """The backend is slow and the buffer for it is full."""
        if self.connection is not None:
            self.connection.pause_reading()

    def resume_client_reading(self) -> None:
        """The backend has caught up."""
        if self.connection is not None:
            self.connection.resume_reading()

    # finish: one record, and on to the next request

    def _finish(self, now: float) -> None:
        phase, self.phase = self.phase, OVER
        if phase == OVER:
            return
        lease, self.lease = self.lease, None
        plane = self.plane
        self.duration = now - self.received
        if lease is not None:
            lease.end()
            if phase >= STREAMING or self.time_to_first_byte:
                self.upstream_time = now - self._sent
            pool = self.route_.upstream_pool
            if pool is not None and pool.waiters:
                pool.serve_waiters()
        self.gateway_time = max(self.duration - self.upstream_time - self._waited, 0.0)
        if self.body is not None:
            self.request_bytes = self.body.received
        self.started = plane.wall_offset + self.received
        plane.record(self)
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.exchange_over(self, now)
        else:
            plane.abandoned.discard(self)
