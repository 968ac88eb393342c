"""Workers and the supervisor die or hang under traffic."""

import os
import signal
import threading
import time

from tests.component.gateway.conftest import Start
from tests.fakes.processes.gateway import eventually, is_alive
from tests.fakes.processes.whole import Answer, Instance, WholeGateway, get
from tests.fakes.traffic import traffic

RESTART_SECONDS = 2.0
"""What a new connection waits at most; one second on a machine that has nothing else to do."""

LOST = {"connection_reset", "connection_closed"}
"""How clients see the end of a process that had read their request, or had not."""


def held(gateway: WholeGateway, pid: int) -> int:
    """How many connections of clients a worker holds."""
    workers: dict[int, int] = {one["pid"]: one["client_connections"] for one in gateway.status()["workers"]}
    return workers[pid]


def test_new_connections_wait_for_the_only_worker(three: list[Instance], start: Start) -> None:
    """With `workers: 1` whoever connects while there is none is served by the next one."""
    gateway = start(three, workers=1)

    os.kill(gateway.workers[0], signal.SIGKILL)
    answer = get(gateway.address)

    assert 200 == answer.status
    assert answer.duration < RESTART_SECONDS
    assert [0] == [event["restart_in"] for event in gateway.events("process_died")]


def test_only_exchanges_in_flight_are_lost_with_a_worker(three: list[Instance], start: Start) -> None:
    """Of users with one request each no more lose it than the worker had connections; the others go on."""
    gateway = start(three)

    with (
        traffic(gateway.address, "/sleep/0.05", concurrent_users=16) as kept_alive,
        traffic(gateway.address, target_rps=50, keep_alive=False, concurrent_users=200) as new,
    ):
        eventually(lambda: kept_alive.answered > 100, "traffic")
        worker = gateway.workers[0]
        connections = held(gateway, worker)
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: len(set(gateway.workers) - {worker}) == 2, "it is replaced")
        gateway.wait_until_ready(workers=2, ready=3)

    assert LOST >= set(kept_alive.failures)
    assert 0 < sum(kept_alive.failures.values()) <= connections
    assert LOST >= set(new.failures)
    assert sum(new.failures.values()) <= 2
    assert new.longest < RESTART_SECONDS


def test_worker_that_hangs_is_replaced_and_holds_nobody_up(three: list[Instance], start: Start) -> None:
    """While it is stopped the other one takes every new connection, however many it has already."""
    gateway = start(three)

    with traffic(gateway.address, "/sleep/0.05", concurrent_users=16) as kept_alive:
        eventually(lambda: kept_alive.answered > 100, "traffic")
        worker = gateway.workers[0]
        connections = held(gateway, worker)
        os.kill(worker, signal.SIGSTOP)
        stopped = time.monotonic()
        with traffic(gateway.address, concurrent_users=24, think_time=0.05) as new:
            eventually(lambda: not is_alive(worker), "it is killed")
            silent_for = time.monotonic() - stopped
            gateway.wait_until_ready(workers=2, ready=3)

    assert 4.5 < silent_for < 8.0
    assert LOST >= set(kept_alive.failures)
    assert 0 < sum(kept_alive.failures.values()) <= connections
    assert {} == new.failures
    assert new.longest < RESTART_SECONDS


def test_nobody_outlives_the_supervisor(three: list[Instance], start: Start) -> None:
    """When it is killed, workers answer what is in flight and exit, and so does the control process."""
    gateway = start(three)
    everybody = [gateway.control, *gateway.workers]
    answers: list[Answer] = []
    client = threading.Thread(target=lambda: answers.append(get(gateway.address, "/sleep/1")))
    client.start()
    eventually(lambda: gateway.status()["pools"]["pcs"]["backends"], "traffic")
    eventually(lambda: in_flight(gateway) == 1, "the request is in flight")

    gateway.signal(signal.SIGKILL)
    gateway.process.wait()
    client.join()

    assert [200] == [answer.status for answer in answers]
    eventually(lambda: not any(map(is_alive, everybody)), "everybody is gone")


def in_flight(gateway: WholeGateway) -> int:
    """Attempts in flight, on all backends."""
    members = gateway.status()["pools"]["pcs"]["backends"]
    return sum(one["active_connections"] for one in members)
