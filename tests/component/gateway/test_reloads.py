"""Reloads under traffic: the file, SIGHUP and the admin API; good files, bad ones, new generations."""

import signal
import time
from typing import Any

from tests.component.gateway.conftest import Start, configuration
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance, WholeGateway, get
from tests.fakes.traffic import traffic

USERS = 16


def version(gateway: WholeGateway) -> int:
    """The version of what was published last."""
    found: int = gateway.status()["configuration"]["snapshot_version"]
    return found


def wait_until_applied(gateway: WholeGateway, count: int) -> None:
    """Return when so many configurations came into force, the first included."""
    eventually(lambda: len(gateway.events("configuration_applied")) == count, f"{count} configurations")


def test_ten_reloads_disturb_nobody(three: list[Instance], start: Start) -> None:
    """Whoever asks for it: every request is answered, and every user stays on his first connection."""
    gateway = start(three, pool={"strategy": "round_robin"})

    with (
        traffic(gateway.address, concurrent_users=USERS, think_time=0.005) as kept_alive,
        traffic(gateway.address, target_rps=50, keep_alive=False, concurrent_users=100) as new,
    ):
        for number in range(10):
            these = three[: 2 + number % 2]
            limits = {"connections": 10_000 + number}
            gateway.write(configuration(these, pool={"strategy": "round_robin"}, limits=limits))
            if number % 3 == 0:
                gateway.signal(signal.SIGHUP)
            elif number % 3 == 1:
                assert gateway.ask("/api/v1/reload", {})[0] == 200
            wait_until_applied(gateway, number + 2)
        gateway.wait_until_ready(workers=2, ready=3)
        before = kept_alive.instances["i2"]
        eventually(lambda: kept_alive.instances["i2"] > before, "the last one added answers")

    assert ({}, {}) == (kept_alive.failures, new.failures)
    assert USERS == kept_alive.connections


def test_bad_file_changes_nothing_and_says_why(three: list[Instance], start: Start) -> None:
    """All problems are told, and what was in force stays."""
    gateway = start(three)
    before, config = version(gateway), gateway.ask("/api/v1/config")
    bad: dict[str, Any] = configuration(three, limits={"conections": 1}, drain_timeout="soon")

    with traffic(gateway.address, concurrent_users=USERS) as load:
        gateway.write(bad)
        eventually(lambda: gateway.events("configuration_rejected"), "it is rejected")
        status, answer = gateway.ask("/api/v1/reload", {})

    problems = " ".join(answer["problems"])
    assert (422, "rejected") == (status, answer["result"])
    assert "limits.conections" in problems
    assert "connections" in problems
    assert "drain_timeout" in problems
    assert (before, config) == (version(gateway), gateway.ask("/api/v1/config"))
    assert {} == load.failures
    assert USERS == load.connections


def test_new_generations_take_over_without_an_error(three: list[Instance], start: Start) -> None:
    """More workers, then another address beside the first: the old workers drain, nobody notices."""
    gateway = start(three, workers=1)
    first = gateway.address
    both = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.2:0"}]

    with (
        traffic(first, concurrent_users=USERS) as kept_alive,
        traffic(first, concurrent_users=USERS, pipelined_requests=8) as pipelining,
        traffic(first, concurrent_users=4, keep_alive=False) as new,
    ):
        time.sleep(0.3)
        gateway.write(configuration(three, workers=2))
        gateway.wait_until_ready(workers=2, ready=3)
        gateway.write(configuration(three, workers=2, listen=both))
        eventually(lambda: len(gateway.listeners()["listen"]) == 2, "it listens on both")
        gateway.wait_until_ready(workers=2, ready=3)
        second = gateway.listeners()["listen"][1]["bound"]

    assert ({}, {}, {}) == (kept_alive.failures, pipelining.failures, new.failures)
    assert 200 == get(second).status
