"""
Evidence for outlier detection, gathered by one worker.

The law of this file:

- a success is a response whose body is whole; a failure after the head is a failure;
- failures leave at once, successes with the next tick;
- a failure that could be the request's own is held until its exchange is over or has another outcome. If
  another backend fails in the same way, it speaks against the request, and else against the backend. A failed
  connect says nothing of the request and is not held;
- a reset while a body was under way that does not fit `request_buffer` is the request's;
- a worker that saw enough failures in a row avoids the backend by itself, until the control process confirms
  or denies; for longer each time, and not when all backends fail alike. So detection works while that process
  is down;
- while failures that are held would be enough, and while a backend is silent, it is suspended: avoided for a
  moment, which is no evidence. All workers together hold three times as many as are enough, or two each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pcs_gateway.backends.backend import AdministrativeState
from pcs_gateway.backends.outlier.attribution import LEAST_FAILURES, is_shared
from pcs_gateway.backends.outlier.hanging import SUSPENDED_SECONDS
from pcs_gateway.backends.outlier.ruling import PoolStanding, objection_to_ejecting
from pcs_gateway.backends.outlier.ways import NO_ANSWER, Bearing, Way, way_of
from pcs_gateway.processes.messages import EvidenceEntry
from pcs_gateway.proxy.attempts import GATEWAY_FAILURE_STATUSES
from pcs_gateway.proxy.hanging import HangWatch
from pcs_gateway.telemetry.delta import Event

if TYPE_CHECKING:
    from pcs_gateway.backends.member import Member
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.proxy.upstream_pool import UpstreamPool

_ANSWERED: Final = frozenset({Way.STATUS, Way.MALFORMED, Way.INCOMPLETE, Way.RESET})
"""Failures that are an answer of a kind: who fails so is not silent."""


HELD_FACTOR: Final = 3
"""How many times as many failures as are enough all workers may hold; each has its share, at least two."""


class _Failure:
    """
    A failed attempt.

    Attributes:
        successes: The member's, when it failed.
        is_held: Nothing was reported yet.
    """

    __slots__ = ("at", "is_held", "kind", "member", "pool", "successes", "way")

    def __init__(self, pool: UpstreamPool, member: Member, kind: str, at: float) -> None:
        self.pool = pool
        self.member = member
        self.kind = kind
        self.way = way_of(kind)
        self.at = at
        self.successes = member.successes
        self.is_held = False


class Evidence:
    """
    Reports attempts' outcomes to the channel, which gathers what comes within 10 ms.

    Args:
        report: Takes each entry.
        count: Counts skips and suspensions.
        workers: Tells how many workers there are: at least this one.

    Attributes:
        hangs: Watches attempts that wait.
    """

    __slots__ = ("_count", "_held", "_report", "_workers", "hangs")

    def __init__(
        self,
        report: Callable[[EvidenceEntry], None],
        count: Callable[[str], None],
        workers: Callable[[], int],
    ) -> None:
        self._report = report
        self._count = count
        self._workers = workers
        self._held: dict[Exchange, list[_Failure]] = {}
        self.hangs = HangWatch()

    def __repr__(self) -> str:
        return f"<Evidence, held for {len(self._held)} exchanges, {self.hangs!r}>"

    # outcomes

    def failed(self, exchange: Exchange, pool: UpstreamPool, member: Member, kind: str, now: float) -> None:
        """Note that an attempt failed; call `settle` when no other attempt follows, or one succeeded."""
        if self.hangs.is_counted(exchange, member):
            return
        failure = _Failure(pool, member, kind, now)
        if failure.way in _ANSWERED:
            member.own.answers += 1
        if failure.way is Way.RESET and _is_large_upload(exchange):
            # it may have answered early, or been tired of waiting for the rest: clients can bring that about
            self._tell(failure, Bearing.REQUEST)
            return
        if pool.balancer.strategy.uses_latency:
            pool.balancer.observe_failure(member, now)
        if failure.way is Way.CONNECT:
            self._blame(failure, now)
        else:
            self._hold(exchange, failure, now)

    def settle(self, exchange: Exchange, now: float) -> None:
        """What is held of this exchange speaks against the backends: it did not follow the request."""
        for failure in self._held.pop(exchange, ()):
            if failure.is_held:
                self._release(failure)
                self._blame(failure, now)

    def _hold(self, exchange: Exchange, failure: _Failure, now: float) -> None:
        held = self._held.setdefault(exchange, [])
        alike = [one for one in held if one.way is failure.way and one.member is not failure.member]
        held.append(failure)
        if not alike:
            failure.is_held = True
            failure.member.own.suspected += 1
            self._suspect(failure, now)
            return
        for one in (*alike, failure):
            if one.is_held:
                self._release(one)
                self._lift(one.pool, one.member, now)
                self._tell(one, Bearing.REQUEST)
        if not failure.is_held:
            self._tell(failure, Bearing.REQUEST)

    def _release(self, failure: _Failure) -> None:
        failure.is_held = False
        failure.member.own.suspected -= 1

    def _blame(self, failure: _Failure, now: float) -> None:
        """A failure that speaks against its backend."""
        pool, member = failure.pool, failure.member
        if member.successes != failure.successes:
            self._tell(failure, Bearing.LATE)
            return
        if member.successes != member.own.reported:
            self._note_success(pool, member, now)
        member.consecutive_failures += 1
        member.own.way = failure.way
        self._tell(failure, Bearing.BACKEND, accuses=self._judge(pool, member, now))

    def _tell(self, failure: _Failure, bearing: Bearing, *, accuses: bool = False) -> None:
        pool, backend = failure.pool.name, failure.member.backend.name
        self._report(
            EvidenceEntry(
                pool, backend, 1, kind=failure.kind, at=failure.at, bearing=bearing, accuses=accuses
            )
        )

    def _note_success(self, pool: UpstreamPool, member: Member, now: float) -> None:
        successes = member.successes - member.own.reported
        member.own.reported = member.successes
        self._report(EvidenceEntry(pool.name, member.backend.name, 0, successes, at=now))

    # skips and suspensions

    def _judge(self, pool: UpstreamPool, member: Member, now: float) -> bool:
        """Skip a backend that failed often enough in a row; return whether it begins to."""
        detection, own = pool.config.outlier_detection, member.own
        threshold = detection.consecutive_failures
        if not threshold or member.consecutive_failures < threshold:
            return False
        if (member.skipped_until > now and not own.is_suspended) or _objects(pool, member, now):
            return False
        own.is_suspended = False
        own.earlier, own.repetition = own.repetition, own.repetition.again(now, detection)
        pool.balancer.skip(member, own.repetition.since, now)
        self._count(Event.BACKEND_SKIPS)
        return True

    def _suspect(self, failure: _Failure, now: float) -> None:
        member = failure.member
        threshold = failure.pool.config.outlier_detection.consecutive_failures
        enough = min(threshold, max(LEAST_FAILURES, HELD_FACTOR * threshold // self._workers()))
        if threshold and member.consecutive_failures + member.own.suspected >= enough:
            self._suspend(failure.pool, member, now)

    def _suspend(self, pool: UpstreamPool, member: Member, now: float) -> None:
        is_renewed = member.own.is_suspended and member.skipped_until > now
        if is_renewed or (member.skipped_until <= now and not _objects(pool, member, now)):
            member.own.is_suspended = True
            pool.balancer.skip(member, now + SUSPENDED_SECONDS, now)
            if not is_renewed:
                self._count(Event.BACKEND_SUSPENSIONS)

    def _lift(self, pool: UpstreamPool, member: Member, now: float) -> None:
        """End a suspension."""
        if member.own.is_suspended:
            member.own.is_suspended = False
            pool.balancer.skip(member, 0.0, now)

    def unskip(self, pool: UpstreamPool, member: Member, now: float) -> None:
        """The control process denied what this worker found: use the backend again."""
        own = member.own
        member.consecutive_failures = 0
        own.repetition, own.is_suspended = own.earlier, False
        pool.balancer.skip(member, 0.0, now)

    # time

    def tick(self, pool: UpstreamPool, now: float) -> None:
        """Note the successes since the last tick, and who is silent."""
        seconds = self.hangs.since_last_look(now)
        for member in pool.balancer.members:
            own = member.own
            answers = own.answers + member.successes - own.reported
            own.answers = 0
            own.pace.look(answers, self.hangs.count(member), seconds, now)
            if answers and own.is_suspended and not own.suspected:
                self._lift(pool, member, now)
            if member.successes != own.reported:
                self._note_success(pool, member, now)
        if pool.config.outlier_detection.consecutive_failures:
            self._look_for_silence(pool, now)

    def _look_for_silence(self, pool: UpstreamPool, now: float) -> None:
        members = pool.balancer.members
        ready = [member for member in members if member.backend.ready and member.skipped_until <= now]
        for member, failed in self.hangs.look(pool.name, ready, members, now):
            self._suspend(pool, member, now)
            for _ in failed:
                self._blame(_Failure(pool, member, NO_ANSWER, now), now)

    def end_tick(self, now: float) -> None:
        """All pools had their tick."""
        self.hangs.forget(now)


def _is_large_upload(exchange: Exchange) -> bool:
    body = exchange.body
    if body is None:
        return False
    return not body.is_replayable or body.received > exchange.matched.limits.request_buffer


def _objects(pool: UpstreamPool, accused: Member, now: float) -> bool:
    """Tell whether the backend must be used all the same: too few others are left, or all fail alike."""
    active = [
        one for one in pool.balancer.members if one.backend.administrative_state is AdministrativeState.ACTIVE
    ]
    others = [one for one in active if one is not accused]
    ready = [one for one in others if one.backend.ready and one.skipped_until <= now]
    way = accused.own.way
    alike = sum(one.consecutive_failures >= LEAST_FAILURES and one.own.way is way for one in ready)
    standing = PoolStanding(
        active=len(active),
        ejected=sum(one.backend.ejected_until > now or one.skipped_until > now for one in others),
        ready_others=len(ready),
        is_shared=is_shared(alike + 1, len(ready) + 1),
    )
    return objection_to_ejecting(standing, pool.config.outlier_detection.max_ejected) is not None


def judge(exchange: Exchange, status: int, now: float, *, is_whole: bool) -> None:
    """
    Note what a response says of its backend.

    Args:
        is_whole: There is no more of it; else `complete` follows when its body is whole.
    """
    member: Member = exchange.lease.member  # type: ignore[union-attr, assignment]
    answered(exchange, member, status, now - exchange.sent, now, is_whole=is_whole)
    exchange.plane.evidence.settle(exchange, now)
    if exchange.outcomes:
        exchange.outcomes = (*exchange.outcomes, (member.name, outcome_of(status)))


def answered(
    exchange: Exchange, member: Member, status: int, seconds: float, now: float, *, is_whole: bool
) -> None:
    """
    Note what a response says of its backend, when another attempt of the exchange may follow.

    Args:
        seconds: From the request sent to the response head.
        is_whole: As for `judge`.
    """
    pool: UpstreamPool = exchange.matched.upstream_pool  # type: ignore[assignment]
    if status in GATEWAY_FAILURE_STATUSES:
        exchange.plane.evidence.failed(exchange, pool, member, f"http_{status}", now)
        return
    if is_whole:
        member.successes += 1
        member.consecutive_failures = 0
    else:
        member.own.answers += 1
    if pool.uses_latency:
        pool.balancer.observe(member, seconds, now)


def outcome_of(status: int) -> str:
    """Name how an attempt ended that was answered."""
    return "server_error" if status >= 500 else "success"


def complete(exchange: Exchange) -> None:
    """End an exchange whose body, after its head, is whole: only now its attempt has succeeded."""
    lease = exchange.lease
    if lease is not None and lease.member is not None and exchange.status not in GATEWAY_FAILURE_STATUSES:
        lease.member.successes += 1
        lease.member.consecutive_failures = 0
    exchange.finish(exchange.plane.monotonic())


def broke_off(exchange: Exchange, kind: str) -> None:
    """Note that a response ended before its end; a failure that its head told of is not counted twice."""
    lease, pool = exchange.lease, exchange.matched.upstream_pool
    if lease is None or lease.member is None or pool is None or exchange.is_leftover:
        return
    if exchange.status in GATEWAY_FAILURE_STATUSES:
        return
    now = exchange.plane.monotonic()
    exchange.plane.evidence.failed(exchange, pool, lease.member, kind, now)
    exchange.plane.evidence.settle(exchange, now)
