"""SIGTERM under traffic: everything that was sent is answered, and the gateway ends with status 0."""

import http.client
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.component.gateway.conftest import Start
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Answer, Instance, WholeGateway, get
from tests.fakes.traffic import traffic


def readiness(gateway: WholeGateway) -> int:
    """The status of /readyz."""
    return gateway.ask("/readyz")[0]


@pytest.mark.parametrize("delay", ["0s", "700ms"])
def test_every_request_that_was_sent_is_answered(delay: str, three: list[Instance], start: Start) -> None:
    """Kept alive, one request per connection, pipelined, now and then: no reset, no end without an answer."""
    gateway = start(three, drain_delay=delay, drain_timeout="10s")

    with (
        traffic(gateway.address) as kept_alive,
        traffic(gateway.address, keep_alive=False) as new,
        traffic(gateway.address, pipelined_requests=8) as pipelining,
        traffic(gateway.address, "/sleep/0.05") as slow,
        traffic(gateway.address, target_rps=50, concurrent_users=100) as occasional,
    ):
        loads = [kept_alive, new, pipelining, slow, occasional]
        eventually(lambda: all(load.answered > 50 for load in loads), "traffic")
        gateway.signal(signal.SIGTERM)
        eventually(lambda: readiness(gateway) == 503, "/readyz says so", within=1.0)
        before = [load.answered for load in loads]
        time.sleep(0.3)
        meanwhile = [load.answered - answered for load, answered in zip(loads, before, strict=True)]
        status = gateway.process.wait(30)

    assert [{}] * 5 == [load.losses for load in loads]
    assert 0 == status
    if delay != "0s":
        assert all(meanwhile)
    assert [] == gateway.started()


def test_long_exchange_gets_the_drain_timeout(three: list[Instance], start: Start, tmp_path: Path) -> None:
    """What ends within it is answered; what does not gets 503 and is logged; the drain ends with status 0."""
    log = tmp_path / "access.log"
    gateway = start(three, drain_timeout="2s", logging={"access": {"file": str(log)}})
    answers: list[Answer] = []
    short = threading.Thread(target=lambda: answers.append(get(gateway.address, "/sleep/1")))
    short.start()
    long = http.client.HTTPConnection(gateway.address, timeout=20)
    long.request("GET", "/sleep/25")
    time.sleep(0.3)

    told = time.monotonic()
    gateway.signal(signal.SIGTERM)
    cut = long.getresponse()
    waited = time.monotonic() - told
    short.join()

    assert 0 == gateway.process.wait(10)
    assert [200] == [answer.status for answer in answers]
    assert 1.9 < waited < 6.0
    assert (503, "drain_timeout") == (cut.status, json.loads(cut.read())["reason"])
    long.close()
    logged = {line["target"]: line.get("reason") for line in map(json.loads, log.read_text().splitlines())}
    assert {"/sleep/1": None, "/sleep/25": "drain_timeout"} == logged
    assert gateway.events("drain_timeout_over")


def test_worker_that_starts_serves_who_is_queued(three: list[Instance], start: Start) -> None:
    """SIGTERM while the only worker is not up yet: it accepts, answers and then ends."""
    gateway = start(three, workers=1)
    worker = gateway.workers[0]
    os.kill(worker, signal.SIGKILL)
    answers: list[Answer] = []
    client = threading.Thread(target=lambda: answers.append(get(gateway.address)))
    client.start()
    eventually(lambda: set(gateway.workers) - {worker}, "its successor has started")
    gateway.signal(signal.SIGTERM)
    client.join()

    assert [200] == [answer.status for answer in answers]
    assert 0 == gateway.process.wait(10)
