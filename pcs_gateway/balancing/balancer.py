"""
The load balancer of one pool in one worker: it applies to a strategy's proposal what the strategy must
not know: readiness, limits, what this worker has seen fail, and what was already tried.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from pcs_gateway.backends.backend import HealthStatus
from pcs_gateway.backends.member import FAILURE_SECONDS, Instances, Lease, Member
from pcs_gateway.balancing.strategy import LoadBalancingStrategy, PCSRequest
from pcs_gateway.errors import NoHealthyInstances

SECONDS_PER_CELL = 10e-6
"""
How long one cell of another worker's row is good for: reading it costs about 0.1 µs, so this bounds the cost
of reading at one per cent. A pool of three backends with two workers is nearly always exact, one of a hundred
is at most `OLDEST` behind.
"""


class LoadBalancer:
    """
    Distributes attempts over the backends of a pool.

    Attributes:
        instances: The ready members; replaced whole.
        members: All members of the pool, ready or not.
    """

    __slots__ = (
        "_is_skipping",
        "_maximum",
        "_reads_others",
        "_refresh_at",
        "instances",
        "members",
        "name",
        "strategy",
    )

    OLDEST = 0.001
    """How old the other workers' counts may be."""

    def __init__(
        self,
        name: str,
        strategy: LoadBalancingStrategy,
        max_per_backend: int,
        reads_others: Callable[[Sequence[Member]], int] | None = None,
    ) -> None:
        self.name = name
        self.strategy = strategy
        self.members: tuple[Member, ...] = ()
        self.instances = Instances(())
        self._maximum = max_per_backend
        self._reads_others = reads_others
        self._refresh_at = 0.0
        self._is_skipping = False

    def replace(self, members: Iterable[Member], max_per_backend: int) -> None:
        """Take over a new snapshot of the pool."""
        self.members = tuple(members)
        self._maximum = max_per_backend
        for member in self.members:
            self.weigh(member)
        self._publish(0.0)

    def weigh(self, member: Member) -> None:
        """Bring a member's load up to date with its weight and, where the strategy asks, its latency."""
        if self.strategy.uses_latency:
            member.weigh(member.latency / member.weight, 1.0)
        else:
            member.weigh(1.0 / member.weight, 0.0)

    def observe(self, member: Member, seconds: float, now: float) -> None:
        """Add a time to first byte to a member's latency average."""
        member.observe_latency(seconds, now)
        self.weigh(member)

    def observe_failure(self, member: Member, now: float) -> None:
        """Count a failed attempt as a slow one."""
        self.observe(member, FAILURE_SECONDS, now)

    def _publish(self, now: float) -> None:
        ready = [member for member in self.members if member.backend.ready]
        usable = [member for member in ready if member.skipped_until <= now]
        self._is_skipping = len(usable) < len(ready)
        self.instances = Instances(usable or ready)

    def skip(self, member: Member, until: float, now: float) -> None:
        """Avoid a backend on this worker's own evidence until the control process decides."""
        member.skipped_until = until
        self._publish(now)

    def tick(self, now: float) -> None:
        """Let go of what time has ended: skips, and latencies that nobody refreshes."""
        if self._is_skipping:
            self._publish(now)
        if self.strategy.uses_latency:
            for member in self.members:
                member.decay_latency(now)
                self.weigh(member)

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
        if self._reads_others is not None and now > self._refresh_at:
            cells = self._reads_others(self.members)
            self._refresh_at = now + min(self.OLDEST, cells * SECONDS_PER_CELL)
        first = self.strategy.select_instance(instances, request)
        if first.in_flight + first.others < self._maximum and not (tried and first in tried):
            return Lease(first)
        return self._lease_another(instances, request, first, tried)

    def _lease_another(
        self, instances: Instances, request: PCSRequest | None, first: Member, tried: Collection[Member]
    ) -> Lease | None:
        for member in self.strategy.order(instances, request, first):
            if member not in tried and member.active_connections < self._maximum:
                return Lease(member)
        if all(member in tried for member in instances.members):
            raise NoHealthyInstances(self.name, self.explain())
        return None

    def explain(self) -> list[str]:
        """Give one line per backend: whether it is ready, and what its last check found."""
        return [
            f"{m.name}: {m.backend.reason or 'ready'}; last check: {m.backend.health.detail}"
            for m in self.members
        ]
