"""The demo's own traffic: a few clients who read, and now and then let a prompt be generated."""

from __future__ import annotations

from pcs_gateway.loadtest import LoadTestConfig, LoadTestReport, TestScenario
from pcs_gateway.sample.seed import context_id, conversation_id, prompt_id

HOST = "background.demo"
"""What Host says: the configuration's route by which this traffic has a pool of its own."""

PERIOD = 10.0
"""Seconds of which each line of figures is."""

BEARER = {"Authorization": "Bearer demo"}
API = "/api/v1"


def scenarios() -> tuple[TestScenario, ...]:
    """Return what is requested: mostly reads of a few popular rows, as from a real application."""
    popular = [
        TestScenario(name=f"prompt {number}", path=f"{API}/prompts/{prompt_id(number)}", weight=8 / number)
        for number in range(1, 9)
    ]
    return (
        *popular,
        TestScenario(name="prompt list", path=f"{API}/prompts/?size=20", weight=5),
        TestScenario(
            name="generate",
            method="POST",
            path=f"{API}/prompts/generate",
            headers={"Content-Type": "application/json"},
            body='{"template_name": "prompt-0001", "variables": {"name": "Ada"}}',
            weight=4,
        ),
        TestScenario(name="context", path=f"{API}/contexts/{context_id(3)}", headers=BEARER, weight=3),
        TestScenario(
            name="messages",
            path=f"{API}/conversations/{conversation_id(2)}/messages",
            headers=BEARER,
            weight=3,
        ),
    )


def config(url: str, rate: float) -> LoadTestConfig:
    """Return one period of traffic."""
    return LoadTestConfig(
        base_url=url,
        target_rps=rate,
        duration=PERIOD,
        timeout=10.0,
        headers={"Host": HOST},
        test_scenarios=scenarios(),
    )


def line(report: LoadTestReport) -> str:
    """Return a period's figures."""
    summary, metrics = report.summary, report.detailed_metrics
    times = metrics.response_time
    answered = ", ".join(f"{name} {count}" for name, count in metrics.instances.items())
    first = "".join(f" (the first: {one.scenario}, {one.detail})" for one in metrics.failed[:1])
    return (
        f"traffic: {summary.total_requests} requests, {summary.failed_requests} failed{first}, "
        f"p50 {times.p50 * 1000:.1f} ms, p95 {times.p95 * 1000:.1f} ms; {answered or 'no answers'}"
    )
