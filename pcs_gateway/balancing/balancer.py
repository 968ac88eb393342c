"""
The load balancer of one pool in one worker: it applies to a strategy's proposal what the strategy must
not know: readiness, limits, what this worker has seen fail, and what was already tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from pcs_gateway.backends.backend import HealthStatus
from pcs_gateway.backends.member import FAILURE_SECONDS, Instances, Lease, Member
from pcs_gateway.balancing.levels import NEARLY_ONE, judge_levels
from pcs_gateway.balancing.slow_start import Pacing, set_ramps
from pcs_gateway.balancing.strategy import LoadBalancingStrategy, PCSRequest
from pcs_gateway.errors import NoHealthyInstances

EXACT_CELLS = 16
"""
Cells of other workers' rows that are read for each pick: about 1.5 µs. Two workers are handed requests in the
same instant more often than chance would have it, since one burst of answers wakes them both.
"""

SECONDS_PER_CELL = 10e-6
"""
How long a cell is good for where there are more: reading it costs about 0.1 µs, so this bounds the cost of
reading at one per cent. The counts of a hundred backends are at most `OLDEST` behind.
"""


OLDEST = 0.001
"""Seconds after which the other workers' counts are read again in any case."""


class OtherWorkers(Protocol):
    """What the other workers of the gateway have in flight."""

    def refresh(self, members: Sequence[Member], /) -> int:
        """Bring what members know of it up to date; give how many cells were read."""

    def has_more_than_known(self, member: Member, /) -> bool:
        """Do so for one member; tell whether the others have more in flight there than was known."""


class _NoOtherWorkers:
    """A worker that is alone."""

    def refresh(self, _: Sequence[Member]) -> int:
        return 0

    def has_more_than_known(self, _: Member) -> bool:
        return False


ALONE = _NoOtherWorkers()


class Rules(NamedTuple):
    """What the pool's section says of who takes part."""

    panic_threshold: float = 0.0
    slow_start: float = 0.0


NO_RULES = Rules()


class LevelInstances(NamedTuple):
    """
    The members of one level that take part.

    Attributes:
        until: The level takes requests whose draw is below this, and not below that of the level before.
        pacing: What its members in slow start may take; None when there are none.
    """

    until: float
    instances: Instances
    pacing: Pacing | None


class LoadBalancer:
    """
    Distributes attempts over the backends of a pool.

    Attributes:
        instances: The members that take part, of the first level that takes traffic; replaced whole.
        members: All members of the pool, ready or not.
        levels: Every level in which somebody takes part, in the order of priority.
    """

    __slots__ = (
        "_changes_with_time",
        "_is_exact",
        "_is_small",
        "_maximum",
        "_needs_care",
        "_others",
        "_refresh_at",
        "_rules",
        "instances",
        "levels",
        "members",
        "name",
        "strategy",
    )

    def __init__(
        self,
        name: str,
        strategy: LoadBalancingStrategy,
        max_per_backend: int,
        others: OtherWorkers = ALONE,
    ) -> None:
        self.name = name
        self.strategy = strategy
        self.members: tuple[Member, ...] = ()
        self.instances = Instances(())
        self._maximum = max_per_backend
        self._others = others
        self._is_exact = self._is_small = False
        self._refresh_at = 0.0
        self._rules = NO_RULES
        self.levels: tuple[LevelInstances, ...] = ()
        self._needs_care = False
        self._changes_with_time = False

    def replace(
        self, members: Iterable[Member], max_per_backend: int, rules: Rules = NO_RULES, now: float = 0.0
    ) -> None:
        """Take over a new snapshot of the pool."""
        self.members = tuple(members)
        self._maximum = max_per_backend
        self._rules = rules
        self._publish(now)
        self._weigh_all()

    def _weigh_all(self) -> None:
        self.strategy.observe(self.members)
        for member in self.members:
            self.strategy.weigh(member)

    def observe(self, member: Member, seconds: float, now: float) -> None:
        """Add a time to first byte to a member's latency average."""
        member.observe_latency(seconds, now)
        self.strategy.weigh(member)

    def observe_failure(self, member: Member, now: float) -> None:
        """Count a failed attempt as a slow one: one that timed out with the time that it waited."""
        self.observe(member, max(FAILURE_SECONDS, member.waiting, member.latency), now)

    def _publish(self, now: float) -> None:
        """Judge anew who takes part; a level that stays as it was keeps what the strategy derived from it."""
        members, rules = self.members, self._rules
        for member in members:
            if 0.0 < member.skipped_until <= now:
                member.returned, member.skipped_until = member.skipped_until, 0.0
        skipped = [position for position, member in enumerate(members) if member.skipped_until]
        before = {level.instances.members: level.instances for level in self.levels}
        levels = []
        until = 0.0
        for level in judge_levels([member.backend for member in members], rules.panic_threshold, skipped):
            until += level.load
            taking = tuple([members[position] for position in level.positions])
            instances = before.get(taking)
            if instances is None or instances.weights != tuple([member.weight for member in taking]):
                instances = Instances(taking)
            if taking:
                levels.append(LevelInstances(until, instances, set_ramps(instances, now, rules.slow_start)))
        self.levels = tuple(levels)
        first = next((level for level in levels if level.until), None)
        self.instances = first.instances if first else Instances(())
        is_warming = any(level.pacing for level in levels)
        self._needs_care = is_warming or (first is not None and first.until < NEARLY_ONE)
        self._changes_with_time = is_warming or bool(skipped)

    def skip(self, member: Member, until: float, now: float) -> None:
        """Avoid a backend on this worker's own evidence until the control process decides."""
        member.skipped_until = until
        self._publish(now)

    def tick(self, now: float) -> None:
        """Let time do what it does: end skips and slow starts, and latencies that nobody refreshes."""
        if self._changes_with_time:
            self._publish(now)
        if self.strategy.uses_latency:
            for member in self.members:
                member.decay_latency(now)
            self._weigh_all()

    def get_healthy_instances(self) -> list[Member]:
        """Give the members that are healthy by their checks, whatever an operator or traffic says of them."""
        return [member for member in self.members if member.backend.health.status is HealthStatus.HEALTHY]

    def route_request(
        self, request: PCSRequest | None, now: float, tried: Collection[Member] = ()
    ) -> Lease | None:
        """
        Lease a backend for one attempt; None when all that are ready are at their limit.

        Args:
            request: What hashing strategies look at.
            now: Monotonic seconds.
            tried: Members that must not be asked again.

        Raises:
            NoHealthyInstances: No backend is ready, or all that are were tried.
        """
        instances = self.instances
        if not instances.members:
            raise NoHealthyInstances(self.name, self.explain())
        if now >= self._refresh_at:
            self._read_others(now)
        if self._needs_care:
            return self._route_with_care(request, tried)
        first = self.strategy.select_instance(instances, request)
        if first.in_flight + first.others >= self._maximum or (tried and first in tried):
            return self._lease_any(self.levels[0], request, first, tried)
        lease = Lease(first)
        if self._is_exact and self._others.has_more_than_known(first):
            return self._make_way(lease, instances, request, tried)
        return lease

    def _read_others(self, now: float) -> None:
        cells = self._others.refresh(self.members)
        self._is_small = 0 < cells <= EXACT_CELLS
        self._is_exact = self._is_small and self.strategy.compares_loads
        if not self._is_exact:
            self._refresh_at = now + (min(OLDEST, cells * SECONDS_PER_CELL) if cells else OLDEST)

    def in_flight(self, now: float) -> int:
        """
        Give the attempts in flight on all members, over all workers.

        This worker's are exact; the others' too in a small pool, and elsewhere as old as for a pick.
        """
        if self._is_small or now >= self._refresh_at:
            self._read_others(now)
        return sum([member.in_flight + member.others for member in self.members])

    def _make_way(
        self, lease: Lease, instances: Instances, request: PCSRequest | None, tried: Collection[Member]
    ) -> Lease:
        """Choose again where another worker leased the same backend between our look and our lease."""
        another = self.strategy.select_instance(instances, request)
        if another.active_connections >= self._maximum or another in tried:
            return lease
        lease.end()
        return Lease(another)

    def _route_with_care(self, request: PCSRequest | None, tried: Collection[Member]) -> Lease | None:
        """Lease a backend while traffic spills over to other levels, or some are in slow start."""
        draw = self.strategy.draw(request)
        level = next((level for level in self.levels if draw < level.until), self.levels[0])
        if level.pacing is not None:
            level.pacing.turn()
        return self._lease_any(level, request, None, tried)

    def _lease_any(
        self,
        level: LevelInstances,
        request: PCSRequest | None,
        first: Member | None,
        tried: Collection[Member],
    ) -> Lease | None:
        """Lease somebody of this level, else of another: a full level spills over, too."""
        for one in (level, *[other for other in self.levels if other is not level]):
            for member in self._offer(one, request, first if one is level else None):
                limit = one.pacing.limit(member, self._maximum) if one.pacing else self._maximum
                if member not in tried and member.active_connections < limit:
                    if one.pacing is not None:
                        one.pacing.took(member)
                    return Lease(member)
        if all(member in tried for member in self.taking_part()):
            raise NoHealthyInstances(self.name, self.explain())
        return None

    def _offer(
        self, level: LevelInstances, request: PCSRequest | None, first: Member | None
    ) -> Iterator[Member]:
        """Give the members of a level in the order in which they are asked."""
        strategy, instances, pacing = self.strategy, level.instances, level.pacing
        first = first or strategy.select_instance(instances, request)
        if pacing is None or strategy.heeds_ramp(request):
            yield first
            yield from strategy.order(instances, request, first)
            return
        if not pacing.admits(first):
            # once more, so that who takes turns gives the turn to the next and not always to the neighbour
            first = strategy.select_instance(instances, request)
        late = []
        for member in (first, *strategy.order(instances, request, first)):
            if pacing.admits(member):
                yield member
            else:
                late.append(member)
        yield from late

    def taking_part(self) -> Iterator[Member]:
        """Give the members of all levels that may be asked."""
        return (member for level in self.levels for member in level.instances.members)

    def explain(self) -> list[str]:
        """Give one line per backend: whether it is ready, and what its last check found."""
        return [
            f"{m.name}: {m.backend.reason or 'ready'}; last check: {m.backend.health.detail}"
            for m in self.members
        ]
