"""Balancing: which backend takes the next attempt. A strategy proposes, the balancer disposes."""

from pcs_gateway.balancing.balancer import LoadBalancer
from pcs_gateway.balancing.registry import STRATEGIES, find_strategy
from pcs_gateway.balancing.strategy import LoadBalancingStrategy, StrategyContext

__all__ = ["STRATEGIES", "LoadBalancer", "LoadBalancingStrategy", "StrategyContext", "find_strategy"]
