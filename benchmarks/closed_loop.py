"""
Our own load generator in wrk's place, where wrk is not installed.

    python -m benchmarks.closed_loop SCENARIO URL SECONDS

It is slower than wrk and takes more of the machine, so requests per second say little; CPU per request does.
"""

import json
import random
import sys

import uvloop

from benchmarks.load import MARK
from benchmarks.scenarios import SCENARIOS, STEADY, Scenario
from pcs_gateway.loadtest.config import LoadTestConfig, TestScenario
from pcs_gateway.loadtest.report import LoadTestReport
from pcs_gateway.loadtest.tester import LoadTester

VARIANTS = 2048
HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Accept-Language": "en-GB,en;q=0.8",
    "Authorization": "Bearer 3f1c0b9e5d7a4c6f8e2b1a0d9c8b7a6f",
    "Cache-Control": "no-cache",
    "User-Agent": "benchmark/1.0",
    "X-Client-Version": "2.14.0",
    "X-Correlation": "orders-7",
    "X-Tenant": "acme",
}


def configure(scenario: Scenario, url: str, seconds: float) -> LoadTestConfig:
    """Return the load test that a scenario asks for."""
    return LoadTestConfig(
        base_url=url,
        duration=seconds,
        concurrent_users=scenario.connections,
        test_scenarios=_varied(scenario) if scenario.script == "varied.lua" else (_fixed(scenario),),
        headers=HEADERS if scenario.script != "varied.lua" else {},
        timeout=10.0,
        seed=7,
    )


def summarise(report: LoadTestReport) -> dict[str, float]:
    """Return the members that wrk's scripts print."""
    metrics = report.detailed_metrics
    statuses = sum(count for status, count in metrics.statuses.items() if status > 399)
    return {
        "requests": sum(metrics.statuses.values()),
        "duration": metrics.duration,
        "bytes": metrics.body_bytes,
        "p50": metrics.service_time.p50,
        "p99": metrics.service_time.p99,
        "connect": 0,
        "read": report.summary.failed_requests - statuses,
        "write": 0,
        "status": statuses,
        "timeout": 0,
    }


def main() -> int:
    """Make the load and print the report."""
    name, url, seconds = sys.argv[1:4]
    scenario = {**SCENARIOS, STEADY.name: STEADY}[name]
    report = uvloop.run(LoadTester().run_load_test(configure(scenario, url, float(seconds))))
    print(MARK + json.dumps(summarise(report)))
    return 0


def _fixed(scenario: Scenario) -> TestScenario:
    return TestScenario(method=scenario.method, path=scenario.path, body="x" * scenario.body_bytes)


def _varied(scenario: Scenario) -> tuple[TestScenario, ...]:
    chance = random.Random(7)
    return tuple(
        TestScenario(
            name=f"variant-{number}",
            method=scenario.method,
            path=f"/api/v1/prompts/{chance.getrandbits(32):08x}?page={number % 50}",
            headers={
                **HEADERS,
                "X-Request-ID": f"{chance.getrandbits(96):024x}",
                "X-Tenant": f"tenant-{chance.randrange(500)}",
                "X-Correlation": f"order-{number}",
            },
        )
        for number in range(VARIANTS)
    )


if __name__ == "__main__":
    sys.exit(main())
