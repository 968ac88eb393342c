"""Queues and limits that hold over two worker processes, and while the control process is away."""

import os
import signal
import time
from typing import Any

from tests.component.gateway.conftest import Start
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance, WholeGateway
from tests.fakes.traffic import traffic

LONG: dict[str, Any] = {"timeout": "1m", "overload_timeout": "1m"}


def pool(gateway: WholeGateway) -> dict[str, Any]:
    """The pool as the admin API shows it."""
    found: dict[str, Any] = gateway.status()["pools"]["pcs"]
    return found


def in_flight(gateway: WholeGateway) -> int:
    """Attempts under way, over all backends."""
    return sum(backend["active_connections"] for backend in pool(gateway)["backends"])


def test_max_waiting_over_two_workers(three: list[Instance], start: Start) -> None:
    """Of thirty at once three are in flight and four wait, in whichever workers; others are shed."""
    queue = {**LONG, "max_waiting": 4}
    gateway = start(three, pool={"connections": {"max_per_backend": 1}, "queue": queue})
    with traffic(
        gateway.address, "/sleep/1", concurrent_users=30, think_time=60.0, keep_alive=False
    ) as clients:
        eventually(lambda: clients.failures.get("503", 0) >= 19, "most are shed")
        shown = pool(gateway)["waiting"]
        eventually(lambda: clients.answered + clients.failures["503"] == 30, "all are answered", 15.0)

    # two workers may each let one more wait in the milliseconds before they see each other's
    assert 4 <= shown <= 5
    assert 7 <= clients.answered <= 9
    assert {"503"} == set(clients.failures)
    assert 0 == pool(gateway)["waiting"]
    assert 0 == in_flight(gateway)


def test_limit_on_the_pool_over_two_workers(three: list[Instance], start: Start) -> None:
    """However many come to either worker, the pool has no more than its limit, and nobody is lost."""
    # one backend: of several one is read after the other, and their sum may count an attempt twice
    gateway = start(three[:1], pool={"concurrency": {"mode": "fixed", "maximum": 5}, "queue": LONG})
    most = 0
    with traffic(gateway.address, "/sleep/0.02", concurrent_users=24) as clients:
        eventually(lambda: pool(gateway)["waiting"], "some wait")
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            most = max(most, in_flight(gateway))
        limit = pool(gateway)["concurrency_limit"]

    assert {} == clients.failures
    assert 3 <= most <= 6
    assert 5 == limit


def test_adaptive_limit_grows_and_outlives_the_control_process(three: list[Instance], start: Start) -> None:
    """It is found from what workers measure; while nobody finds one the last holds, a successor goes on."""
    concurrency = {"initial": 8, "minimum": 4, "maximum": 64}
    gateway = start(three, pool={"concurrency": concurrency, "queue": LONG})
    with traffic(gateway.address, "/sleep/0.02", concurrent_users=48) as clients:
        eventually(lambda: (pool(gateway)["concurrency_limit"] or 0) > 16, "the limit grows", 15.0)
        control = gateway.control
        os.kill(control, signal.SIGKILL)
        eventually(lambda: gateway.control != control, "another control process")
        eventually(lambda: gateway.status()["status"] == "ready", "it answers", 15.0)
        after = pool(gateway)["concurrency_limit"]

    assert {} == clients.failures
    assert after > 16
