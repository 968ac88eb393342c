"""
The life of one exchange: the front page of the data plane.

    begin        the head is read: route, and the body that must be waited for    routing, receiving
    attempt      a backend is leased, or the exchange queues, or is refused       balancing, upstream_pool
    leased       the request leaves in one write, on a pooled connection          request_writer, upstream
    respond      the response leaves in one write, as far as it came              response_writer
    finish       the lease ended with the backend's last byte; one record         telemetry

The plain path runs through these without a task, a future or a timer. What else may happen stands in
`failing` (a failed attempt, a retry), `hedge` (a second attempt beside a slow one), `endings` (a client that
left, a deadline), `tunnel` (another protocol).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pcs_gateway.errors import NoHealthyInstances
from pcs_gateway.http.framing import encode_last_chunk
from pcs_gateway.http.refusals import Refusal, RequestRefused
from pcs_gateway.proxy.answers import Answer, fixed, problem
from pcs_gateway.proxy.evidence import complete, judge
from pcs_gateway.proxy.exchange_state import ExchangeState
from pcs_gateway.proxy.hedging import await_hedge, end_race
from pcs_gateway.proxy.holding import hand_over
from pcs_gateway.proxy.phases import CONNECTING, OVER, STREAMING, WAITING
from pcs_gateway.proxy.receiving import begin_with_care, require_fitness
from pcs_gateway.proxy.request_writer import request_head
from pcs_gateway.proxy.response_writer import own_answer, response_head, response_more, whole_response
from pcs_gateway.proxy.routing import Route

if TYPE_CHECKING:
    from pcs_gateway.backends.member import Lease, Member
    from pcs_gateway.http.messages import ResponseHead
    from pcs_gateway.proxy.upstream import UpstreamConnection
    from pcs_gateway.proxy.upstream_pool import UpstreamMember, UpstreamPool


class Exchange(ExchangeState):
    """One request of a client with our answer."""

    __slots__ = ()

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
            pool.budget.requests += 1
            self.attempt(pool, self.total_from)

    # attempt: a lease, a connection, the request sent

    def attempt(self, pool: UpstreamPool, now: float) -> None:
        """Lease a backend and send the request; else queue, or answer that nobody can take it."""
        if self.tried:
            self.forgive(pool)
        try:
            leases = pool.queue.lease if pool.is_gated else pool.balancer.route_request
            lease = leases(self, now, self.tried)
        except NoHealthyInstances:
            self.no_backend()
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
        if self.matched.hedge is not None:
            await_hedge(self)
        idle = member.idle
        if idle and not self.wants_fresh:
            self._send(idle.pop(), member, now)
            return
        self.attempted = now
        self.phase = CONNECTING
        self.deadline = self.total_from + self.matched.request_total
        assert self.matched.upstream_pool is not None
        self.matched.upstream_pool.connect(member, self, lease)

    def send(self, connection: UpstreamConnection) -> None:
        """Use a connection that was opened for this exchange."""
        now = self.plane.monotonic()
        self.waited += now - self.attempted
        self._send(connection, connection.member, now)

    def _send(self, upstream: UpstreamConnection, member: UpstreamMember, now: float) -> None:
        self.upstream = upstream
        head = request_head(self, member)
        self.phase = WAITING
        route = self.matched
        by_head = now + route.response_head
        by_total = self.total_from + route.request_total
        self.deadline = by_head if by_head < by_total else by_total  # noqa: FURB136 (no call)
        body = self.body
        if body is None:
            upstream.start(self, head)
            self.sent = self.plane.monotonic()
            return
        upstream.start(self, b"".join((head, *body.kept)))
        self.sent = self.plane.monotonic()
        if not body.is_complete:
            body.forget()
            if not body.awaits_continue:
                self.deadline = now + route.timeouts.stream_idle
            if self.connection is not None and not upstream.is_writing_paused:
                self.connection.resume_reading()

    def leave_queue(self) -> None:
        """Wait for a lease no longer."""
        pool = self.matched.upstream_pool if self.is_queued else None
        if pool is not None:
            pool.queue.leave(self)

    # respond: the response, as it comes

    def respond_whole(self, head: ResponseHead, body: bytes) -> None:
        """Pass on a response that came complete, framed by its length or without a body."""
        status = head.status
        if (status >= 500 or self.attempts > 1) and self.plane.holds_back(
            self, head, (body,) if body else (), is_framed=True, is_complete=True
        ):
            return
        self.status = status
        plane = self.plane
        now = plane.monotonic()
        self.time_to_first_byte = now - self.received
        if status >= 500 or self.attempts > 1 or self.matched.uses_latency:
            judge(self, status, now, is_whole=True)
        else:
            member: Member = self.lease.member  # type: ignore[union-attr, assignment]
            member.successes += 1
            member.consecutive_failures = 0
        connection = self.connection
        if connection is not None:
            if plane.is_draining or self.body is not None:
                self.judge_keep_alive()
            self.response_bytes = len(body)
            response = whole_response(self, head, body)
            # the backend's last byte has come: other workers see that before the answer leaves
            self.lease.end()  # type: ignore[union-attr]
            self.phase = STREAMING
            connection.transport.write(response)
        else:
            self.phase = STREAMING
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
        if (head.status >= 500 or self.attempts > 1) and self.plane.holds_back(
            self, head, pieces, is_framed=is_framed, is_complete=is_complete, trailers=trailers
        ):
            return
        self.status = head.status
        now = self.plane.monotonic()
        self.time_to_first_byte = now - self.received
        judge(self, head.status, now, is_whole=is_complete)
        self.deadline = now + self.matched.timeouts.stream_idle
        self.rechunks = not is_framed and self.is_1_1
        self.judge_keep_alive()
        if not (is_framed or self.is_1_1):
            self.keep_alive = False
        if self.connection is not None:
            self.connection.read_ahead(self.matched.limits.response_buffer)
            ending = encode_last_chunk(trailers) if is_complete and self.rechunks else b""
            response = response_head(self, head, pieces, ending)
            self.phase = STREAMING
            self.connection.transport.write(response)
        else:
            self.phase = STREAMING
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
        if self.body is not None and self.body.awaits_continue and head.status == 100:
            self.body.awaits_continue = False
            self.is_active = True

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
        if self.held is not None and hand_over(self, refusal):
            return
        self.reason = refusal.reason
        if refusal.is_final:
            self.keep_alive = False
        self.ensure_request_id()
        self.answer(problem(refusal, self.request_id, backends, allowed, retry_after))

    def no_backend(self) -> None:
        """Answer that no backend is ready, with what the checks found."""
        pool = self.matched.upstream_pool
        self.refuse(Refusal.NO_HEALTHY_BACKEND, backends=pool.balancer.explain() if pool else ())

    def refused(self, error: RequestRefused) -> None:
        """Answer a request that must not be forwarded."""
        if self.body is None and self.fields.announces_body and self.fields.content_length != 0:
            # its body will come, and is not the next request
            self.keep_alive = False
        self.refuse(error.refusal, (), error.allowed, error.retry_after)

    def answer(self, answer: Answer) -> None:
        self.drop_upstream()
        self.status = answer.status
        self.sent = now = self.plane.monotonic()
        self.time_to_first_byte = now - self.received
        self.judge_keep_alive()
        if self.connection is not None:
            self.response_bytes = 0 if self.method == b"HEAD" else len(answer.body)
            self.connection.transport.write(own_answer(self, answer))
        self.finish(now)

    # finish: one record, and on to the next request

    def finish(self, now: float) -> None:
        """End the exchange: its lease, its record, its hold on the connection; once."""
        phase = self.phase
        if phase == OVER:
            return
        self.phase = OVER
        self.ended = now
        if self.delay is not None:
            end_race(self)
        lease = self.lease
        if lease is not None:
            self.lease = None
            if lease.member is not None:
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
