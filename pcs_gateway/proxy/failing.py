"""
What follows an attempt that brought nothing, or an answer that another backend may better.

The evidence against its backend; then the hedge, if one is under way; then a retry, after a pause, on a
backend that was not tried yet, or on one that was when no other is ready; else an answer. Every decision is
counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pcs_gateway.http.refusals import Refusal
from pcs_gateway.proxy.attempts import (
    STALE_CONNECTION,
    Circumstances,
    Denial,
    Failure,
    draw_pause,
    judge_retry,
    read_retry_after,
)
from pcs_gateway.proxy.evidence import answered, outcome_of
from pcs_gateway.proxy.hedging import end_race, is_good
from pcs_gateway.proxy.holding import HeldResponse
from pcs_gateway.proxy.leftover import HeldRest, Leftover
from pcs_gateway.proxy.phases import PAUSED
from pcs_gateway.telemetry.delta import Decision

if TYPE_CHECKING:
    from pcs_gateway.backends.member import Member
    from pcs_gateway.http.messages import ResponseHead
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.proxy.upstream_pool import UpstreamMember, UpstreamPool

FIRST_BAD_STATUS = 500


def attempt_failed(exchange: Exchange, failure: Failure) -> None:
    """Take up a failed attempt: go on with its hedge, try again where that does no harm, else answer."""
    now = exchange.plane.monotonic()
    if exchange.takes_failure(failure, now):
        return
    lease, pool = exchange.lease, exchange.matched.upstream_pool
    if lease is None or lease.member is None or pool is None:
        return
    member: UpstreamMember = lease.member  # type: ignore[assignment]
    exchange.stop_waiting(now)
    exchange.outcomes = (*exchange.outcomes, (member.name, failure.outcome))
    # one that waits is as good as any where a new one could not be had
    exchange.wants_fresh |= failure is not Failure.OUT_OF_RESOURCES
    if failure.blames_backend:
        exchange.tried = (*exchange.tried, member)
        exchange.plane.evidence.failed(exchange, pool, member, failure.outcome, now)
    elif failure is Failure.STALE_CONNECTION:
        pool.drop_idle(member)
    _leave(exchange, failure, pool, now)
    _go_on(exchange, failure, pool, now)


def _leave(exchange: Exchange, failure: Failure, pool: UpstreamPool, now: float) -> None:
    """Give back the lease, unless the backend still works for it."""
    is_working = failure is Failure.RESPONSE_TIMEOUT and exchange.connection is not None
    if is_working and pool.config.on_abandon == "finish":
        Leftover(exchange, now)
        return
    exchange.give_back()


def _go_on(exchange: Exchange, failure: Failure, pool: UpstreamPool, now: float) -> None:
    if exchange.connection is None:
        exchange.refuse(failure.answer)
    elif exchange.hedge is not None:
        exchange.hedge.take_over(exchange, now)
    elif now >= exchange.total_from + exchange.matched.request_total:
        exchange.refuse(Refusal.TOTAL_TIMEOUT)
    else:
        pause = _decide(exchange, failure.cause, 0.0, pool, now)
        if pause is None:
            exchange.refuse(failure.answer)
        elif failure is Failure.STALE_CONNECTION:
            exchange.attempt(pool, now)
        else:
            _pause(exchange, pause, now)


def _decide(
    exchange: Exchange, cause: str | int, retry_after: float, pool: UpstreamPool, now: float
) -> float | None:
    """Give the seconds until the retry, which is paid for from now on; None when there is none. Counted."""
    retry, route, body = pool.config.retry, exchange.matched, exchange.body
    pause = retry_after + draw_pause(
        retry.backoff.base, retry.backoff.maximum, exchange.retries, exchange.plane.random
    )
    denial = judge_retry(
        Circumstances(
            cause=cause,
            is_repeatable=route.may_repeat(exchange.method),
            is_replayable=body is None or body.is_replayable,
            retries=exchange.retries,
            maximum=retry.attempts,
            listed=retry.on,
            pause=pause,
            retry_after=retry_after,
            time_left=exchange.total_from + route.request_total - now,
        )
    )
    count = exchange.plane.recorder.decide
    if denial is None and cause != STALE_CONNECTION:
        if pool.budget.take_retry(retry.budget.ratio, retry.budget.minimum_per_second, now):
            exchange.retries += 1
        else:
            denial = Denial.BUDGET
    if denial is not None:
        count(pool.name, Decision.RETRY_DENIED, denial)
        return None
    count(pool.name, Decision.RETRY, f"http_{cause}" if isinstance(cause, int) else cause)
    return pause


def _pause(exchange: Exchange, seconds: float, now: float) -> None:
    """Wait for the retry; the client may leave and the time run out meanwhile."""
    exchange.phase = PAUSED
    exchange.attempted = now
    exchange.deadline = exchange.total_from + exchange.matched.request_total
    if exchange.delay is not None:
        exchange.delay.cancel()
    exchange.delay = exchange.plane.delays.start(seconds, lambda: _try_again(exchange))


def _try_again(exchange: Exchange) -> None:
    pool = exchange.matched.upstream_pool
    if exchange.phase != PAUSED or pool is None:
        return
    now = exchange.plane.monotonic()
    exchange.waited += now - exchange.attempted
    exchange.attempt(pool, now)


def holds_back(
    exchange: Exchange,
    head: ResponseHead,
    pieces: Sequence[bytes],
    *,
    is_framed: bool,
    is_complete: bool,
    trailers: Sequence[bytes] = (),
) -> bool:
    """
    Tell whether a response is kept from the client, because another attempt may bring a better one.

    Asked for every response that is a 5xx, and for every one of an exchange with more than one attempt.
    """
    status, pool, lease = head.status, exchange.matched.upstream_pool, exchange.lease
    if exchange.connection is None or pool is None or lease is None or lease.member is None:
        return False
    if is_good(status) or (status < FIRST_BAD_STATUS and exchange.hedge is None):
        end_race(exchange)
        return False
    now = exchange.plane.monotonic()
    pause = 0.0
    if exchange.hedge is None:
        is_listed = status in pool.config.retry.on
        asked = read_retry_after(head.section, exchange.plane.wall_offset + now) if is_listed else 0.0
        decided = _decide(exchange, status, asked, pool, now)
        if decided is None:
            return False
        pause = decided
    _note_answer(exchange, status, lease.member, now, is_complete=is_complete)
    response = exchange.held = HeldResponse(
        lease.member.name,
        head,
        pieces,
        is_framed=is_framed,
        is_complete=is_complete,
        trailers=trailers,
    )
    if is_complete:
        exchange.give_back()
    else:
        HeldRest(exchange, response, now)
    if exchange.hedge is not None:
        exchange.hedge.take_over(exchange, now)
    else:
        _pause(exchange, pause, now)
    return True


def _note_answer(exchange: Exchange, status: int, member: Member, now: float, *, is_complete: bool) -> None:
    """Take note of an answer that the client does not get at once."""
    answered(exchange, member, status, now - exchange.sent, now, is_whole=is_complete)
    exchange.outcomes = (*exchange.outcomes, (member.name, outcome_of(status)))
    exchange.tried = (*exchange.tried, member)
    exchange.waited += now - exchange.sent
