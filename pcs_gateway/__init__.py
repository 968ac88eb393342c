"""
An asynchronous reverse proxy and load balancer in front of PCS instances.

`PUBLIC` is the public surface: what the specification names and what a strategy of one's own needs. A name
is imported when it is used first, so that no process pays for what another needs; `__init__.pyi` tells the
same to type checkers. docs/specification.md says which names come with later parts.
"""

from importlib import import_module

__version__ = "0.1.0"

PUBLIC = {
    "AlertRule": "pcs_gateway.control.config",
    "GatewayError": "pcs_gateway.errors",
    "LeastConnectionsStrategy": "pcs_gateway.balancing.least_connections",
    "LeastTimeStrategy": "pcs_gateway.balancing.least_time",
    "LoadBalancer": "pcs_gateway.balancing.balancer",
    "LoadBalancingStrategy": "pcs_gateway.balancing.strategy",
    "LoadTestConfig": "pcs_gateway.loadtest.config",
    "LoadTestMetrics": "pcs_gateway.loadtest.report",
    "LoadTestReport": "pcs_gateway.loadtest.report",
    "LoadTestSummary": "pcs_gateway.loadtest.report",
    "LoadTester": "pcs_gateway.loadtest.tester",
    "NoHealthyInstances": "pcs_gateway.errors",
    "PCSInstance": "pcs_gateway.backends.member",
    "PCSRequest": "pcs_gateway.balancing.strategy",
    "PerformanceMetrics": "pcs_gateway.telemetry.metrics",
    "PerformanceMonitor": "pcs_gateway.telemetry.monitor",
    "ResponseTimeMetrics": "pcs_gateway.telemetry.metrics",
    "RoundRobinStrategy": "pcs_gateway.balancing.round_robin",
    "ScalingConfig": "pcs_gateway.control.config",
    "StrategyContext": "pcs_gateway.balancing.strategy",
    "TestScenario": "pcs_gateway.loadtest.config",
    "TwoChoicesStrategy": "pcs_gateway.balancing.two_choices",
}
"""Each public name and the module that defines it."""

__all__ = ["__version__", *PUBLIC]  # noqa: PLE0604 - all of them are strings


def __getattr__(name: str) -> object:
    module = PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value  # the next use finds it without asking here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
