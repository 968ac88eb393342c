"""
The hedge of an exchange: its second attempt, with a lease and a connection of its own.

The first good response head wins. A hedge that wins hands its lease and connection to the exchange, whose own
attempt is left to itself (`leftover`); from then on the exchange goes on as if it had never had another. The
same happens when the first attempt fails while the hedge is out. A hedge that fails, or answers with what a
client should not get while there is hope, leaves the first attempt alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pcs_gateway.balancing.budget import Spending
from pcs_gateway.errors import NoHealthyInstances
from pcs_gateway.http.refusals import Refusal
from pcs_gateway.proxy.attempts import Failure
from pcs_gateway.proxy.evidence import answered, outcome_of
from pcs_gateway.proxy.exchange import Exchange
from pcs_gateway.proxy.failing import attempt_failed
from pcs_gateway.proxy.hedging import HedgeDenial, is_good, judge_hedge
from pcs_gateway.proxy.holding import HeldResponse
from pcs_gateway.proxy.leftover import copy, leave_attempt
from pcs_gateway.proxy.phases import CONNECTING, OVER, WAITING
from pcs_gateway.telemetry.delta import Decision

if TYPE_CHECKING:
    from pcs_gateway.backends.member import Lease
    from pcs_gateway.http.messages import ResponseHead
    from pcs_gateway.proxy.upstream import UpstreamConnection
    from pcs_gateway.proxy.upstream_pool import UpstreamMember

OVERTAKEN = "overtaken"
"""Outcome of an attempt that was not waited for, because its hedge was faster."""

LOST = "hedge_lost"
"""Outcome of a hedge that was not waited for."""


def hedge_is_due(exchange: Exchange) -> None:
    """The first attempt has lasted for the delay: begin a second one beside it, if that is of use."""
    lease, pool, hedge = exchange.lease, exchange.matched.upstream_pool, exchange.matched.hedge
    is_under_way = exchange.phase in (CONNECTING, WAITING) and exchange.attempts == 1
    if pool is None or hedge is None or lease is None or lease.member is None or not is_under_way:
        return
    if exchange.connection is None or exchange.connection.transport.is_closing():
        return
    hedge.share.late += 1.0
    plane = exchange.plane
    now = plane.monotonic()
    denial = judge_hedge(
        hedge.share,
        is_queueing=pool.queue.is_busy(now),
        is_within_budget=pool.budget.allows_hedge(hedge.ratio, now),
    )
    second: Lease | None = None
    if denial is None:
        try:
            second = pool.balancer.route_request(exchange, now, (*exchange.tried, lease.member))
        except NoHealthyInstances:
            second = None
        if second is None:
            denial = HedgeDenial.NO_BACKEND
    if denial is not None or second is None:
        plane.recorder.decide(pool.name, Decision.HEDGE_DENIED, str(denial))
        return
    pool.budget.spend(Spending.HEDGES, now)
    plane.recorder.decide(pool.name, Decision.HEDGE, "started")
    exchange.ensure_request_id()
    Hedge(exchange, second, now)


class Hedge(Exchange):
    """
    What stands in for an exchange at its second backend.

    Attributes:
        owner: The exchange; None once the race is over.
        heir: The exchange, once it goes on with this attempt; if that is still connecting it goes on for it.
    """

    __slots__ = ("heir", "owner")

    def __init__(self, owner: Exchange, lease: Lease, now: float) -> None:
        """Begin a second attempt of `owner` with this lease."""
        copy(owner, self)
        self.owner: Exchange | None = owner
        self.heir: Exchange | None = None
        self.lease = self.upstream = None
        owner.hedge = self
        self.leased(lease, now)
        owner.attempts = self.attempts

    # the race

    def respond_whole(self, head: ResponseHead, body: bytes) -> None:
        owner = self.owner
        if owner is None:
            self.give_back()
        elif is_good(head.status):
            self._win(owner)
            owner.respond_whole(head, body)
        else:
            self._answer_badly(owner, head, [body] if body else [], is_framed=True, is_complete=True)

    def respond(
        self,
        head: ResponseHead,
        pieces: Sequence[bytes],
        *,
        is_framed: bool,
        is_complete: bool = False,
        trailers: Sequence[bytes] = (),
    ) -> None:
        owner = self.owner
        if owner is None:
            self.give_back()
        elif is_good(head.status):
            self._win(owner)
            owner.respond(head, pieces, is_framed=is_framed, is_complete=is_complete, trailers=trailers)
        else:
            self._answer_badly(
                owner, head, pieces, is_framed=is_framed, is_complete=is_complete, trailers=trailers
            )

    @property
    def successor(self) -> Exchange:
        return self.heir or self

    def pass_interim(self, head: ResponseHead) -> None:
        """Only the first attempt's interim responses are passed on: which one wins is not known yet."""

    def refuse(
        self, refusal: Refusal, backends: Sequence[str] = (), allowed: bytes = b"", retry_after: int = 0
    ) -> None:
        """A fault of ours ends the hedge alone."""
        if self.owner is not None:
            self._end(self.owner, "failed", refusal.reason)

    def takes_failure(self, failure: Failure, now: float) -> bool:
        """It brings nothing: the first attempt goes on alone; or its heir must go on without it."""
        if self.heir is not None:
            attempt_failed(self.heir, failure)
            return True
        owner, lease, pool = self.owner, self.lease, self.matched.upstream_pool
        if owner is None or lease is None or lease.member is None or pool is None:
            self.give_back()
            return True
        if failure.blames_backend:
            owner.tried = (*owner.tried, lease.member)
            self.plane.evidence.failed(owner, pool, lease.member, failure.outcome, now)
        elif failure is Failure.STALE_CONNECTION:
            member: UpstreamMember = lease.member  # type: ignore[assignment]
            pool.drop_idle(member)
        self._end(owner, "failed", failure.outcome)
        return True

    def lose(self) -> None:
        """The exchange goes on without it."""
        owner = self.owner
        if owner is not None:
            now = self.plane.monotonic()
            owner.outcomes = (*owner.outcomes, (self.backend, LOST))
            self._count("lost")
            leave_attempt(self, now)
            self._part(owner)

    def _win(self, owner: Exchange) -> None:
        """The first attempt is left to itself, and the exchange goes on with this one."""
        now = self.plane.monotonic()
        owner.outcomes = (*owner.outcomes, (owner.backend, OVERTAKEN))
        owner.waited += self.sent - (owner.sent if owner.phase == WAITING else owner.attempted)
        leave_attempt(owner, now)
        pool = self.matched.upstream_pool
        if pool is not None:
            pool.budget.spend(Spending.HEDGE_WINS, now)
        self._count("won")
        self._hand_over(owner)

    def _answer_badly(
        self,
        owner: Exchange,
        head: ResponseHead,
        pieces: Sequence[bytes],
        *,
        is_framed: bool,
        is_complete: bool,
        trailers: Sequence[bytes] = (),
    ) -> None:
        """Leave the race to the first attempt; a complete answer is kept for when that brings none at all."""
        lease = self.lease
        if lease is not None and lease.member is not None:
            owner.tried = (*owner.tried, lease.member)
            now = self.plane.monotonic()
            answered(owner, lease.member, head.status, now - self.sent, now, is_whole=is_complete)
        if is_complete and owner.held is None:
            owner.held = HeldResponse(
                self.backend, head, pieces, is_framed=is_framed, is_complete=True, trailers=trailers
            )
        self._end(owner, "failed", outcome_of(head.status))

    # the end of the race

    def take_over(self, owner: Exchange, now: float) -> None:
        """The first attempt has failed: the exchange goes on with this one, be it still connecting."""
        self._count("taken_over")
        is_connecting = self.phase == CONNECTING
        # the first attempt's time counts as waited until now, this one's from its own beginning
        owner.waited -= now - (self.attempted if is_connecting else self.sent)
        self._hand_over(owner)

    def _hand_over(self, owner: Exchange) -> None:
        self.heir = owner
        owner.lease, self.lease = self.lease, None
        owner.upstream, self.upstream = self.upstream, None
        if owner.upstream is not None:
            owner.upstream.exchange = owner
        owner.backend = self.backend
        owner.phase = self.phase
        owner.deadline = self.deadline
        owner.sent = self.sent
        if self.phase == CONNECTING:
            owner.attempted = self.attempted
        self._part(owner)

    def _end(self, owner: Exchange, result: str, outcome: str) -> None:
        owner.outcomes = (*owner.outcomes, (self.backend, outcome))
        self._count(result)
        self.give_back()
        self._part(owner)

    def _part(self, owner: Exchange) -> None:
        owner.hedge = self.owner = self.connection = None
        self.phase = OVER

    def _count(self, result: str) -> None:
        self.plane.recorder.decide(self.pool, Decision.HEDGE, result)

    # a connection that comes when the race is over

    def wants_connection(self, lease: Lease) -> bool:
        """The connect goes on for the exchange when it has taken this attempt over."""
        return self.heir.wants_connection(lease) if self.heir is not None else super().wants_connection(lease)

    def send(self, connection: UpstreamConnection) -> None:
        if self.heir is not None:
            self.heir.send(connection)
        else:
            super().send(connection)
