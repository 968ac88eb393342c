from pcs_gateway.backends.member import PCSInstance
from pcs_gateway.balancing.balancer import LoadBalancer
from pcs_gateway.balancing.least_connections import LeastConnectionsStrategy
from pcs_gateway.balancing.least_time import LeastTimeStrategy
from pcs_gateway.balancing.round_robin import RoundRobinStrategy
from pcs_gateway.balancing.strategy import LoadBalancingStrategy, PCSRequest, StrategyContext
from pcs_gateway.balancing.two_choices import TwoChoicesStrategy
from pcs_gateway.control.config import AlertRule, ScalingConfig
from pcs_gateway.errors import GatewayError, NoHealthyInstances
from pcs_gateway.loadtest.config import LoadTestConfig, TestScenario
from pcs_gateway.loadtest.report import LoadTestMetrics, LoadTestReport, LoadTestSummary
from pcs_gateway.loadtest.tester import LoadTester
from pcs_gateway.telemetry.metrics import PerformanceMetrics, ResponseTimeMetrics
from pcs_gateway.telemetry.monitor import PerformanceMonitor

__all__ = [
    "AlertRule",
    "GatewayError",
    "LeastConnectionsStrategy",
    "LeastTimeStrategy",
    "LoadBalancer",
    "LoadBalancingStrategy",
    "LoadTestConfig",
    "LoadTestMetrics",
    "LoadTestReport",
    "LoadTestSummary",
    "LoadTester",
    "NoHealthyInstances",
    "PCSInstance",
    "PCSRequest",
    "PerformanceMetrics",
    "PerformanceMonitor",
    "ResponseTimeMetrics",
    "RoundRobinStrategy",
    "ScalingConfig",
    "StrategyContext",
    "TestScenario",
    "TwoChoicesStrategy",
    "__version__",
]

__version__: str
PUBLIC: dict[str, str]
