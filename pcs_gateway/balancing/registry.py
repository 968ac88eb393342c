"""The table of strategies, and those that other packages bring as entry points."""

from __future__ import annotations

from importlib.metadata import entry_points

from pcs_gateway.balancing.least_connections import LeastConnectionsStrategy
from pcs_gateway.balancing.least_time import LeastTimeStrategy
from pcs_gateway.balancing.round_robin import RoundRobinStrategy
from pcs_gateway.balancing.strategy import LoadBalancingStrategy
from pcs_gateway.balancing.two_choices import TwoChoicesStrategy

ENTRY_POINT_GROUP = "pcs_gateway.strategies"

STRATEGIES: dict[str, type[LoadBalancingStrategy]] = {
    "round_robin": RoundRobinStrategy,
    "least_connections": LeastConnectionsStrategy,
    "two_choices": TwoChoicesStrategy,
    "least_time": LeastTimeStrategy,
}


def find_strategy(name: str) -> type[LoadBalancingStrategy]:
    """
    Give the strategy called `name`.

    Raises:
        LookupError: There is none; the message lists the names known.
    """
    known = STRATEGIES.get(name)
    if known is not None:
        return known
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        loaded: type[LoadBalancingStrategy] = entry.load()
        return loaded
    raise LookupError(
        f"no strategy {name!r}; there are {', '.join(STRATEGIES)} and entry points of {ENTRY_POINT_GROUP}"
    )
