"""
The load tester: an open loop that does not hide what a slow service makes clients wait, or a closed loop.

    report = await LoadTester().run_load_test(
        LoadTestConfig(base_url="http://127.0.0.1:8080", target_rps=200, duration=10)
    )
"""

from pcs_gateway.loadtest.config import LoadTestConfig, TestScenario
from pcs_gateway.loadtest.outcomes import Failure
from pcs_gateway.loadtest.report import LoadTestMetrics, LoadTestReport, LoadTestSummary
from pcs_gateway.loadtest.tester import LoadTester, RunningLoadTest

__all__ = [
    "Failure",
    "LoadTestConfig",
    "LoadTestMetrics",
    "LoadTestReport",
    "LoadTestSummary",
    "LoadTester",
    "RunningLoadTest",
    "TestScenario",
]
