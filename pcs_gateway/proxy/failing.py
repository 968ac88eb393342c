"""What follows a failed attempt: the evidence against its backend, and another attempt or an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcs_gateway.http.refusals import Refusal
from pcs_gateway.proxy.attempts import Failure, may_try_again
from pcs_gateway.proxy.phases import WAITING

if TYPE_CHECKING:
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.proxy.upstream_pool import UpstreamMember, UpstreamPool


def attempt_failed(exchange: Exchange, failure: Failure) -> None:
    """Take up a failed attempt: try again where that does no harm, else answer."""
    now = exchange.plane.monotonic()
    if exchange.is_leftover:
        exchange.finish(now)
        return
    lease, exchange.lease = exchange.lease, None
    exchange.upstream = None
    pool = exchange.matched.upstream_pool
    if lease is None or lease.member is None or pool is None:
        return
    member: UpstreamMember = lease.member  # type: ignore[assignment]
    lease.end()
    exchange.waited += now - (exchange.sent if exchange.phase == WAITING else exchange.attempted)
    exchange.outcomes = (*exchange.outcomes, (member.name, failure.outcome))
    exchange.wants_fresh = True
    if failure.blames_backend:
        exchange.tried = (*exchange.tried, member)
        exchange.plane.evidence.failed(exchange, pool, member, failure.outcome, now)
    else:
        pool.drop_idle(member)
    if exchange.connection is None or not _may_try_again(exchange, failure, pool):
        exchange.refuse(failure.answer)
    elif now >= exchange.total_from + exchange.matched.request_total:
        exchange.refuse(Refusal.TOTAL_TIMEOUT)
    else:
        exchange.attempt(pool, now)
    pool.serve_waiters()


def _may_try_again(exchange: Exchange, failure: Failure, pool: UpstreamPool) -> bool:
    body = exchange.body
    return may_try_again(
        failure,
        exchange.method,
        exchange.matched.retry_methods,
        len(exchange.tried),
        pool.config.retry.attempts,
        is_replayable=body is None or body.is_replayable,
    ) and any(member not in exchange.tried for member in pool.balancer.taking_part())


def no_backend(exchange: Exchange) -> None:
    """Answer that no backend is ready, with what the checks found."""
    pool = exchange.matched.upstream_pool
    exchange.refuse(Refusal.NO_HEALTHY_BACKEND, backends=pool.balancer.explain() if pool else ())
