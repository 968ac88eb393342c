"""Orders of an operator reach every worker; turns are exact over all workers."""

import threading
import time
from collections import Counter
from typing import Any

from tests.component.gateway.conftest import Start, configuration
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Answer, Instance, WholeGateway, get

ROUND_ROBIN = {"strategy": "round_robin"}


def nine(gateway: WholeGateway, count: int = 9) -> Counter[str]:
    """Who answers nine requests, one after another on as many connections."""
    return Counter(get(gateway.address).instance for _ in range(count))


def test_nine_requests_are_three_each_with_any_number_of_workers(three: list[Instance], start: Start) -> None:
    """With one worker, with two, with four, again and again."""
    gateway = start(three, workers=1, pool=ROUND_ROBIN)
    turns = [nine(gateway) for _ in range(3)]
    for workers in (2, 4):
        gateway.write(configuration(three, workers=workers, pool=ROUND_ROBIN))
        gateway.wait_until_ready(workers=workers, ready=3)
        turns += [nine(gateway) for _ in range(3)]

    assert [{"i0": 3, "i1": 3, "i2": 3}] * 9 == turns


def test_drain_answers_when_the_backend_is_empty(three: list[Instance], start: Start) -> None:
    """It waits for what is in flight, as long as it may; no new attempt begins; enabling ends it."""
    gateway = start(three, pool=ROUND_ROBIN)
    answers: list[Answer] = []
    clients = [
        threading.Thread(target=lambda: answers.append(get(gateway.address, "/sleep/1.5"))) for _ in range(3)
    ]
    for client in clients:
        client.start()
    eventually(lambda: gateway.backend("i0")["active_connections"] == 1, "one is in flight on i0")

    hasty = gateway.order("i0", "drain", timeout="50ms")
    ordered = time.monotonic()
    orders: list[tuple[int, Any]] = []
    order = threading.Thread(target=lambda: orders.append(gateway.order("i0", "drain")))
    order.start()
    while_draining = nine(gateway)
    is_waiting = order.is_alive()
    order.join()
    waited = time.monotonic() - ordered
    for client in clients:
        client.join()

    status, answer = hasty
    assert (202, False, 1) == (status, answer["drain"]["empty"], answer["drain"]["in_flight"])
    status, answer = orders[0]
    assert (200, True, 0) == (status, answer["drain"]["empty"], answer["drain"]["in_flight"])
    assert is_waiting
    assert 0.3 < waited < 10
    assert "i0" not in while_draining
    assert [200, 200, 200] == [one.status for one in answers]

    assert 200 == gateway.order("i0", "enable")[0]
    gateway.wait_until_ready(workers=2, ready=3)
    assert {"i0": 3, "i1": 3, "i2": 3} == nine(gateway)


def test_disabling_and_weights_hold_in_every_worker(three: list[Instance], start: Start) -> None:
    """The next requests obey, whichever worker they come to."""
    gateway = start(three, pool=ROUND_ROBIN)

    gateway.order("i2", "disable")
    gateway.wait_until_ready(workers=2, ready=2)
    disabled = nine(gateway, 10)
    gateway.order("i0", "weight", weight=4)
    gateway.wait_until_ready(workers=2, ready=2)
    weighted = nine(gateway, 10)
    gateway.order("i0", "weight", weight=None)
    gateway.order("i2", "enable")
    gateway.wait_until_ready(workers=2, ready=3)

    assert {"i0": 5, "i1": 5} == disabled
    assert {"i0": 8, "i1": 2} == weighted
    assert {"i0": 3, "i1": 3, "i2": 3} == nine(gateway)
