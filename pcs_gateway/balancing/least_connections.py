"""The least in flight, over all workers, per weight."""

from __future__ import annotations

from pcs_gateway.backends.member import Instances, Member
from pcs_gateway.balancing.strategy import LoadBalancingStrategy, PCSRequest, StrategyContext


class LeastConnectionsStrategy(LoadBalancingStrategy):
    """
    The backend with the fewest in-flight attempts per weight; ties take turns.

    Despite its name (the specification's) it counts in-flight attempts, not connections: an idle kept-alive
    connection is no load.
    """

    compares_loads = True

    def __init__(self, context: StrategyContext) -> None:
        super().__init__(context)
        self._turn = context.random.randrange(1 << 16)

    def select_instance(self, instances: Instances, request: PCSRequest | None) -> Member:
        """Give the least loaded backend, searching from a place that moves on with each request."""
        loads = instances.loads
        self._turn = turn = self._turn + 1
        start = turn % len(loads)
        least = min(loads)
        if loads[start] == least:
            return instances.members[start]
        try:
            return instances.members[loads.index(least, start)]
        except ValueError:
            return instances.members[loads.index(least)]
