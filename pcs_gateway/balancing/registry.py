"""The table of strategies, and those that other packages bring as entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from random import Random
from typing import TYPE_CHECKING

from pcs_gateway.balancing.consistent_hash import ConsistentHashStrategy
from pcs_gateway.balancing.least_connections import LeastConnectionsStrategy
from pcs_gateway.balancing.least_time import LeastTimeStrategy
from pcs_gateway.balancing.round_robin import RoundRobinStrategy
from pcs_gateway.balancing.strategy import LoadBalancingStrategy, StrategyContext
from pcs_gateway.balancing.two_choices import TwoChoicesStrategy

if TYPE_CHECKING:
    from pcs_gateway.backends.config import PoolConfig

ENTRY_POINT_GROUP = "pcs_gateway.strategies"

STRATEGIES: dict[str, type[LoadBalancingStrategy]] = {
    "round_robin": RoundRobinStrategy,
    "least_connections": LeastConnectionsStrategy,
    "two_choices": TwoChoicesStrategy,
    "least_time": LeastTimeStrategy,
    "consistent_hash": ConsistentHashStrategy,
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


def choice(config: PoolConfig) -> tuple[str, str | None, float]:
    """Give what of a pool's section makes its strategy: where this changes, the strategy is made anew."""
    return config.strategy, config.hash_on, config.hash_balance_factor


def make_strategy(
    config: PoolConfig, take_ticket: Callable[[], int], random: Random
) -> LoadBalancingStrategy:
    """Make the strategy of a pool."""
    try:
        strategy = find_strategy(config.strategy)
    except LookupError:
        # the package that brought it was removed since the configuration was checked: traffic goes on
        strategy = LeastConnectionsStrategy
    return strategy(StrategyContext(take_ticket, random, config.hash_on, config.hash_balance_factor))
