"""
What is left of an attempt whose exchange goes on, or is over, without it.

The client has its 504, or another attempt's answer. With `on_abandon: finish` the attempt stays in flight
until the backend has answered, for at most `timeouts.stream_idle` more: the backend is busy with it, whoever
waits or not. What stands in for the exchange until then is made here:

    Leftover        an attempt that timed out: what there was to say was said
    LostAttempt     one that another overtook: how long it takes says something of its backend
    HeldRest        one that answered with what is tried again: the rest of its response is kept
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pcs_gateway.http.refusals import Refusal
from pcs_gateway.proxy.attempts import Failure
from pcs_gateway.proxy.evidence import answered, complete
from pcs_gateway.proxy.exchange import Exchange
from pcs_gateway.proxy.exchange_state import ExchangeState
from pcs_gateway.proxy.holding import HeldResponse
from pcs_gateway.proxy.phases import OVER, STREAMING, WAITING
from pcs_gateway.telemetry.record import ExchangeRecord

if TYPE_CHECKING:
    from pcs_gateway.http.messages import ResponseHead

COPIED: Final = (*ExchangeRecord.__slots__, *ExchangeState.__slots__)
"""What stands in for an exchange has all that it has."""


def copy(exchange: Exchange, stand_in: Exchange) -> None:
    """Make `stand_in` look like `exchange`, without its race and without what it holds back."""
    for name in COPIED:
        if hasattr(exchange, name):
            setattr(stand_in, name, getattr(exchange, name))
    stand_in.hedge = stand_in.delay = stand_in.held = None


class Leftover(Exchange):
    """
    Lease and connection of an attempt whose exchange does without it.

    It records nothing and is evidence of nothing: what there was to say was said when the time was over.
    """

    __slots__ = ()

    is_leftover = True
    is_watched = False

    def __init__(self, exchange: Exchange, now: float) -> None:
        """Take lease and connection from `exchange`, which has neither from then on."""
        copy(exchange, self)
        self.connection = None
        self.deadline = now + self.matched.timeouts.stream_idle
        exchange.lease = exchange.upstream = None
        if self.upstream is not None:
            self.upstream.exchange = self
        self.plane.abandoned.add(self)

    def takes_failure(self, failure: Failure, now: float) -> bool:
        self.finish(now)
        return True

    def respond_whole(self, head: ResponseHead, body: bytes) -> None:
        self.finish(self.plane.monotonic())

    def respond(
        self,
        head: ResponseHead,
        pieces: Sequence[bytes],
        *,
        is_framed: bool,
        is_complete: bool = False,
        trailers: Sequence[bytes] = (),
    ) -> None:
        self.phase = STREAMING
        if is_complete:
            self.finish(self.plane.monotonic())

    def respond_more(
        self, pieces: Sequence[bytes], *, is_complete: bool = False, trailers: Sequence[bytes] = ()
    ) -> None:
        self.is_active = True
        if is_complete:
            self.finish(self.plane.monotonic())

    def finish(self, now: float) -> None:
        """End the lease; once."""
        if self.phase == OVER:
            return
        self.phase = OVER
        self.plane.abandoned.discard(self)
        self.give_back()


class LostAttempt(Leftover):
    """
    The attempt that lost to the other one of its exchange.

    Without it a slow backend whose answers are all overtaken would never be seen to be slow, and one that
    hangs never to hang.
    """

    __slots__ = ("_is_late",)

    is_watched = True

    def __init__(self, exchange: Exchange, now: float) -> None:
        super().__init__(exchange, now)
        self._is_late = False
        self.deadline = max(self.sent + self.matched.response_head, now)

    def _note(self, status: int, *, is_whole: bool) -> None:
        self.status = status
        if self.lease is not None and self.lease.member is not None:
            now = self.plane.monotonic()
            answered(self, self.lease.member, status, now - self.sent, now, is_whole=is_whole)
            self.plane.evidence.settle(self, now)

    def respond_whole(self, head: ResponseHead, body: bytes) -> None:
        self._note(head.status, is_whole=True)
        super().respond_whole(head, body)

    def respond(
        self,
        head: ResponseHead,
        pieces: Sequence[bytes],
        *,
        is_framed: bool,
        is_complete: bool = False,
        trailers: Sequence[bytes] = (),
    ) -> None:
        self._note(head.status, is_whole=is_complete)
        super().respond(head, pieces, is_framed=is_framed, is_complete=is_complete, trailers=trailers)

    def respond_more(
        self, pieces: Sequence[bytes], *, is_complete: bool = False, trailers: Sequence[bytes] = ()
    ) -> None:
        self.is_active = True
        if is_complete:
            complete(self)

    def refuse(
        self, refusal: Refusal, backends: Sequence[str] = (), allowed: bytes = b"", retry_after: int = 0
    ) -> None:
        """When its time is over the backend failed, and may be at work for as long as a leftover's may."""
        pool = self.matched.upstream_pool
        is_timeout = refusal is Refusal.RESPONSE_TIMEOUT and not self._is_late
        if not is_timeout or self.phase != WAITING or self.lease is None or pool is None:
            super().refuse(refusal, backends, allowed, retry_after)
            return
        self._is_late = True
        now = self.plane.monotonic()
        self.deadline = now + self.matched.timeouts.stream_idle
        assert self.lease.member is not None
        evidence = self.plane.evidence
        evidence.failed(self, pool, self.lease.member, Failure.RESPONSE_TIMEOUT.outcome, now)
        evidence.settle(self, now)


class HeldRest(Leftover):
    """The rest of a response that is held back while its request is tried again."""

    __slots__ = ("_response",)

    def __init__(self, exchange: Exchange, response: HeldResponse, now: float) -> None:
        super().__init__(exchange, now)
        self.phase = STREAMING
        self._response = response

    def respond_more(
        self, pieces: Sequence[bytes], *, is_complete: bool = False, trailers: Sequence[bytes] = ()
    ) -> None:
        self.is_active = True
        response = self._response
        response.pieces += pieces
        response.trailers = trailers
        if response.size > self.matched.limits.response_buffer:
            self.finish(self.plane.monotonic())
        elif is_complete:
            self._end(is_complete=True)

    def finish(self, now: float) -> None:
        """End the lease, and the response where it is; once."""
        if self.phase != OVER:
            self._end(is_complete=False)

    def _end(self, *, is_complete: bool) -> None:
        super().finish(self.plane.monotonic())
        self._response.end(is_complete=is_complete)


def observe_loser(exchange: Exchange, now: float) -> None:
    """Tell a strategy that weighs by latency that an attempt takes longer than its backend's average."""
    pool = exchange.matched.upstream_pool
    member = exchange.lease.member if exchange.lease is not None else None
    if pool is None or member is None or not pool.uses_latency:
        return
    taken = now - exchange.sent
    if taken > member.latency:
        pool.balancer.observe(member, taken, now)


def leave_attempt(exchange: Exchange, now: float) -> None:
    """
    Leave the current attempt of an exchange to itself: it is not wanted any more.

    With `on_abandon: finish` it stays counted until the backend has answered, else its connection is closed.
    """
    pool = exchange.matched.upstream_pool
    if exchange.phase == WAITING:
        if pool is not None and pool.config.on_abandon == "finish":
            LostAttempt(exchange, now)
            return
        observe_loser(exchange, now)
    exchange.give_back()
