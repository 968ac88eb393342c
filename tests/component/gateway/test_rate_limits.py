"""A rate limit over real workers: one truth, whoever takes the connections and whoever dies."""

import os
import signal
import urllib.request
from collections import Counter

from tests.component.gateway.conftest import Start
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance, WholeGateway, get

BURST = 20


def statuses(gateway: WholeGateway, count: int) -> Counter[int]:
    """Count the statuses of as many requests, each on a connection of its own."""
    return Counter(get(gateway.address).status for _ in range(count))


def test_workers_count_together_and_the_dead_are_not_forgotten(three: list[Instance], start: Start) -> None:
    """Two workers admit what one may; a worker that is replaced opens the limit for nobody."""
    gateway = start(three, rate_limits=[{"rate": "1/h", "burst": BURST}])

    first = statuses(gateway, 2 * BURST)
    for worker in gateway.workers:
        os.kill(worker, signal.SIGKILL)
    gateway.wait_until_ready(2, 3)
    second = statuses(gateway, BURST)

    assert (Counter({200: BURST, 429: BURST}), Counter({429: BURST})) == (first, second)


def test_refusals_and_fill_are_on_the_metrics_page(three: list[Instance], start: Start) -> None:
    """By reason and by limit."""
    gateway = start(three, rate_limits=[{"rate": "1/h", "burst": 1}])
    statuses(gateway, 3)
    page = f"http://{gateway.listeners()['admin']}/metrics"

    def metrics() -> str:
        with urllib.request.urlopen(page) as response:
            text: str = response.read().decode()
            return text

    eventually(lambda: 'pcs_gateway_refusals_total{reason="rate_limited"} 2.0' in metrics(), "counted")
    assert 'pcs_gateway_rate_limit_table_fill{limit="rate_limits[0]"} ' in metrics()
