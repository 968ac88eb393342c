"""Balancing: which backend takes the next attempt. A strategy proposes, the balancer disposes."""

from pcs_gateway.balancing.balancer import LoadBalancer, Rules
from pcs_gateway.balancing.registry import STRATEGIES, choice, find_strategy, make_strategy
from pcs_gateway.balancing.strategy import LoadBalancingStrategy, StrategyContext

__all__ = [
    "STRATEGIES",
    "LoadBalancer",
    "LoadBalancingStrategy",
    "Rules",
    "StrategyContext",
    "choice",
    "find_strategy",
    "make_strategy",
]
