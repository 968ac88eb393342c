"""
Evidence for outlier detection, gathered by one worker.

Failures leave at once, successes with the next tick. A worker that saw enough
failures in a row avoids the backend by itself until the control process confirms or denies, so that detection
works while that process is down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pcs_gateway.backends.backend import AdministrativeState
from pcs_gateway.backends.outlier import PoolStanding, objection_to_ejecting
from pcs_gateway.processes.messages import EvidenceEntry
from pcs_gateway.proxy.attempts import GATEWAY_FAILURE_STATUSES

if TYPE_CHECKING:
    from pcs_gateway.backends.member import Member
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.proxy.upstream_pool import UpstreamPool


class Evidence:
    """
    Reports attempts' outcomes to the channel, which gathers what comes within 10 ms.

    Args:
        report: Takes each entry.
    """

    __slots__ = ("_report",)

    def __init__(self, report: Callable[[EvidenceEntry], None]) -> None:
        self._report = report

    def failed(self, pool: UpstreamPool, member: Member, kind: str, now: float) -> None:
        """Note a gateway failure; skip the backend when this worker has seen enough of them in a row."""
        if member.successes:
            self._note_success(pool, member)
        member.consecutive_failures += 1
        self._report(EvidenceEntry(pool.name, member.backend.name, 1, succeeded=False, kind=kind))
        if pool.balancer.strategy.uses_latency:
            pool.balancer.observe_failure(member, now)
        self._judge(pool, member, now)

    def _judge(self, pool: UpstreamPool, member: Member, now: float) -> None:
        detection = pool.config.outlier_detection
        threshold = detection.consecutive_failures
        if not threshold or member.consecutive_failures < threshold or member.skipped_until > now:
            return
        active = [
            m for m in pool.balancer.members if m.backend.administrative_state is AdministrativeState.ACTIVE
        ]
        others = [m for m in active if m is not member]
        standing = PoolStanding(
            active=len(active),
            ejected=sum(m.backend.ejected_until > now or m.skipped_until > now for m in others),
            ready_others=sum(m.backend.ready and m.skipped_until <= now for m in others),
        )
        if not objection_to_ejecting(standing, detection.max_ejected):
            pool.balancer.skip(member, now + detection.base_ejection, now)

    def _note_success(self, pool: UpstreamPool, member: Member) -> None:
        member.successes = 0
        self._report(EvidenceEntry(pool.name, member.backend.name, 0, succeeded=True))

    def tick(self, pool: UpstreamPool) -> None:
        """Note the successes since the last tick."""
        for member in pool.balancer.members:
            if member.successes:
                self._note_success(pool, member)


def judge(exchange: Exchange, status: int, now: float) -> None:
    """Note what the response says of its backend."""
    member: Member = exchange.lease.member  # type: ignore[union-attr, assignment]
    pool: UpstreamPool = exchange.matched.upstream_pool  # type: ignore[assignment]
    if status in GATEWAY_FAILURE_STATUSES:
        exchange.plane.evidence.failed(pool, member, f"http_{status}", now)
    else:
        member.successes += 1
        member.consecutive_failures = 0
        if pool.uses_latency:
            pool.balancer.observe(member, now - exchange.sent, now)
    if exchange.outcomes:
        exchange.outcomes = (
            *exchange.outcomes,
            (member.name, "server_error" if status >= 500 else "success"),
        )
