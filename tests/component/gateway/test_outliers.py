"""Outlier detection of the whole gateway: all workers agree, and know whose failure it is."""

import http.client
import os
import signal
import time
from typing import Any

import pytest

from tests.component.gateway.conftest import Start
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance, WholeGateway, get

POOL: dict[str, Any] = {
    "strategy": "round_robin",
    "retry": {"attempts": 0},
    "outlier_detection": {"consecutive_failures": 5, "base_ejection": "2s", "max_ejected": 0.5},
}


def metrics(gateway: WholeGateway) -> dict[str, float]:
    """The numbers of /metrics, by name with labels."""
    connection = http.client.HTTPConnection(eventually(gateway.listeners, "listeners.json")["admin"])
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    numbers = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name.removeprefix("pcs_gateway_"): float(number) for name, _, number in numbers}


def pool(gateway: WholeGateway) -> dict[str, Any]:
    """The pool as the admin API shows it."""
    found: dict[str, Any] = gateway.status()["pools"]["pcs"]
    return found


def test_all_workers_agree(three: list[Instance], start: Start) -> None:
    """A quarter of a second after the last failure neither worker asks who is ejected; it is seen why."""
    gateway = start(three, pool=POOL)
    three[0].order("status", 503)

    while not any(one["ejected_for"] for one in pool(gateway)["backends"]):
        get(gateway.address)
    time.sleep(0.25)
    before = three[0].counts()["/"]
    statuses = {get(gateway.address).status for _ in range(60)}
    bad = next(one for one in pool(gateway)["backends"] if one["name"] == "i0")
    numbers = metrics(gateway)

    assert {200} == statuses
    assert before == three[0].counts()["/"] <= 20
    assert bad["reason"].startswith("ejected: 5 gateway failures in a row, the last one: http_503")
    assert 1 == bad["ejections_in_a_row"]
    assert 1 == numbers['backend_ejected{backend="i0",pool="pcs"}']
    assert 1 == numbers['ejections_total{backend="i0",cause="consecutive_failures",pool="pcs"}']
    assert numbers['attributed_failures_total{against="backend",pool="pcs"}'] >= 5


@pytest.mark.parametrize(
    ("workers", "retry"),
    [(1, {"attempts": 0}), (2, {"attempts": 0}), (2, {"attempts": 1, "on": ["connect_failure", 503]})],
)
def test_shared_dependency(three: list[Instance], start: Start, workers: int, retry: dict[str, Any]) -> None:
    """All answer 503: nobody is ejected; one line when it begins, one when it is over; status tells it."""
    gateway = start(three, pool=POOL | {"retry": retry}, workers=workers)
    for instance in three:
        instance.order("status", 503)

    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        assert get(gateway.address).instance
    shared = pool(gateway)["shared_failure"]
    numbers = metrics(gateway)
    for instance in three:
        instance.order("status", 200)
    eventually(
        lambda: get(gateway.address).status == 200 and gateway.events("shared_failure_ended"),
        "the failure is over",
    )

    assert shared is not None
    assert "http_503" == shared["kind"]
    assert 1 == numbers['shared_failure{pool="pcs"}']
    assert numbers['attributed_failures_total{against="shared_dependency",pool="pcs"}'] > 0
    (began,) = gateway.events("shared_failure_began")
    assert [] == began["released"]
    assert [] == gateway.events("backend_ejected")
    assert 1 == len(gateway.events("shared_failure_ended"))
    assert [] == gateway.events("backend_not_ejected")
    assert 0 == metrics(gateway)['shared_failure{pool="pcs"}']
    assert pool(gateway)["shared_failure"] is None


def test_without_the_control_process(three: list[Instance], start: Start) -> None:
    """While it is stopped each worker skips by itself, after no more failures than it would need with it."""
    gateway = start(three, pool=POOL | {"outlier_detection": {"base_ejection": "30s"}})
    os.kill(gateway.control, signal.SIGSTOP)
    three[0].order("status", 503)

    statuses = [get(gateway.address).status for _ in range(300)]

    assert 5 <= statuses.count(503) <= 10
