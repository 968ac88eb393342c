"""Hedges and retries over real workers: the percentile reaches them, and what they decided is told."""

import urllib.request

from tests.component.gateway.conftest import Start
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance, WholeGateway, get


def metrics(gateway: WholeGateway) -> str:
    """Read the page that Prometheus scrapes."""
    with urllib.request.urlopen(f"http://{gateway.listeners()['admin']}/metrics") as response:
        text: str = response.read().decode()
        return text


def value(page: str, name: str) -> float:
    """Read one number of the page; 0 when it is not there."""
    lines = [line for line in page.splitlines() if line.startswith(f"pcs_gateway_{name} ")]
    return float(lines[0].split()[-1]) if lines else 0.0


def test_percentile_is_measured_published_and_used(three: list[Instance], start: Start) -> None:
    """After some traffic the control process knows it; then a request that is slow is hedged."""
    gateway = start(three, pool={"hedge": {"after": "p95", "budget": 1.0}})
    for _ in range(150):
        assert get(gateway.address).status == 200

    def hedges_started() -> bool:
        get(gateway.address, "/sleep/0.15")
        return value(metrics(gateway), 'hedges_total{pool="pcs",result="started"}') > 0

    eventually(hedges_started, "hedged")
    page = metrics(gateway)
    assert value(page, 'budget_remaining{kind="hedges",pool="pcs"}') > 0
    assert value(page, 'budget_remaining{kind="retries",pool="pcs"}') >= 100


def test_retries_are_counted_over_workers(three: list[Instance], start: Start) -> None:
    """An instance that says 503 to all: clients of either worker get 200, and the page says why."""
    pool = {
        "strategy": "round_robin",
        "retry": {"on": [503], "backoff": {"base": "1ms"}},
        "outlier_detection": {"consecutive_failures": 0, "failure_ratio": None},
    }
    gateway = start(three, pool=pool)
    three[0].order("status", 503)
    statuses = {get(gateway.address).status for _ in range(30)}

    assert statuses == {200}
    eventually(lambda: value(metrics(gateway), 'retries_total{cause="http_503",pool="pcs"}') >= 9, "counted")
