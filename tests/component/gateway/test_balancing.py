"""Who takes how much, with two workers: keys, priority levels, panic and slow start."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Any

from tests.component.gateway.conftest import Start
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance, WholeGateway, backends, get

CHECK = {
    "path": "/health",
    "interval": "300ms",
    "fast_interval": "100ms",
    "timeout": "300ms",
    "rise": 1,
    "fall": 1,
}


def shares(gateway: WholeGateway, number: int = 90) -> Counter[str]:
    """Who answers so many requests, each on a connection of its own."""
    answers = [get(gateway.address) for _ in range(number)]
    assert {200} == {answer.status for answer in answers}
    return Counter(answer.instance for answer in answers)


def levels(gateway: WholeGateway) -> list[dict[str, Any]]:
    """The priority levels as status shows them."""
    found: list[dict[str, Any]] = gateway.status()["pools"]["pcs"]["levels"]
    return found


def wait_for_readiness(gateway: WholeGateway, *expected: bool) -> None:
    """Return when the workers know that so many are ready."""
    gateway_workers = len(gateway.workers)

    def is_so() -> bool:
        status = gateway.status()
        version = status["configuration"]["snapshot_version"]
        known = [one["snapshot_version"] == version for one in status["workers"]]
        ready = [one["ready"] for one in status["pools"]["pcs"]["backends"]]
        return all(known) and len(known) == gateway_workers and ready == list(expected)

    eventually(is_so, f"readiness {expected}")


class TestConsistentHash:
    def test_keys_stay_at_their_backends(self, three: list[Instance], start: Start) -> None:
        """Over both workers, over a worker's death, and while others leave and come back."""
        # a generous bound: with the usual one the second of two requests at a time would go elsewhere
        own = {"strategy": "consistent_hash", "hash_on": "path", "hash_balance_factor": 10}
        gateway = start(three, pool={**own, "health_check": CHECK})
        paths = [f"/tenant/{number}" for number in range(24)]

        def homes(times: int = 3) -> dict[str, str]:
            found = {path: {get(gateway.address, path).instance for _ in range(times)} for path in paths}
            assert all(len(names) == 1 for names in found.values()), found
            return {path: names.pop() for path, names in found.items()}

        before = homes(6)
        assert {"i0", "i1", "i2"} == set(before.values())
        old = gateway.workers
        os.kill(old[0], signal.SIGKILL)
        eventually(lambda: len(gateway.workers) == 2 and gateway.workers != old, "a new worker")
        gateway.wait_until_ready(2, 3)
        assert before == homes()

        three[1].order("health", 503)
        wait_for_readiness(gateway, True, False, True)
        without = homes()
        three[1].order("health", 200)
        wait_for_readiness(gateway, True, True, True)

        assert {path for path in paths if before[path] == "i1"} == {
            path for path in paths if before[path] != without[path]
        }
        assert before == homes()


class TestPriorities:
    def test_traffic_spills_over_and_comes_back(self, three: list[Instance], start: Start) -> None:
        """Level 1 stands by, takes three tenths with half of level 0 gone, all without it, and none again."""
        own = [{**one, "priority": int(one["name"] == "i2")} for one in backends(three)]
        gateway = start(three, pool={"backends": own, "strategy": "round_robin", "health_check": CHECK})
        assert {"i0": 30, "i1": 30} == shares(gateway, 60)

        three[0].order("health", 503)
        wait_for_readiness(gateway, False, True, True)
        half = shares(gateway, 120)
        loads = [one["load"] for one in levels(gateway)]
        three[1].order("health", 503)
        wait_for_readiness(gateway, False, False, True)
        none = shares(gateway, 30)
        for instance in three[:2]:
            instance.order("health", 200)
        wait_for_readiness(gateway, True, True, True)

        assert [0.7, 0.3] == loads
        assert 15 <= half["i2"] <= 60
        assert 120 == half["i1"] + half["i2"]
        assert {"i2": 30} == none
        assert {"i0": 30, "i1": 30} == shares(gateway, 60)
        assert gateway.events("pool_levels_changed")


class TestPanic:
    def test_failed_checks_are_ignored_when_too_many_fail(self, three: list[Instance], start: Start) -> None:
        """All three answer, though the checks of two fail; who is drained gets nothing; and it ends."""
        pool = {"strategy": "round_robin", "health_check": CHECK, "panic_threshold": 0.5}
        gateway = start(three, pool=pool)
        three[0].order("health", 503)
        wait_for_readiness(gateway, False, True, True)
        calm = shares(gateway, 30)
        three[1].order("health", 503)
        wait_for_readiness(gateway, False, False, True)
        panicking = shares(gateway, 30)
        shown = levels(gateway)
        gateway.order("i1", "drain")
        eventually(lambda: gateway.backend("i1")["administrative_state"] == "draining", "i1 drains")
        wait_for_readiness(gateway, False, False, True)
        three[2].order("health", 503)
        wait_for_readiness(gateway, False, False, False)
        drained = shares(gateway, 30)
        for instance in three:
            instance.order("health", 200)
        wait_for_readiness(gateway, True, False, True)

        assert {"i1": 15, "i2": 15} == calm
        assert {"i0": 10, "i1": 10, "i2": 10} == panicking
        assert [{"priority": 0, "load": 1.0, "panic": True, "ready": 1, "counted": 3}] == shown
        assert {"i0", "i2"} == set(drained)
        assert {"i0": 15, "i2": 15} == shares(gateway, 30)
        assert not levels(gateway)[0]["panic"]
        assert gateway.events("pool_panics")
        assert gateway.events("pool_panic_over")

    def test_without_a_threshold_nothing_is_ignored(self, three: list[Instance], start: Start) -> None:
        """The default: one that is left takes it all."""
        gateway = start(three, pool={"strategy": "round_robin", "health_check": CHECK})
        for instance in three[:2]:
            instance.order("health", 503)
        wait_for_readiness(gateway, False, False, True)

        assert {"i2": 30} == shares(gateway, 30)


class TestSlowStart:
    def test_a_backend_grows_into_its_share(self, three: list[Instance], start: Start) -> None:
        """Not when all begin; after a failure it begins with little, and in the end it has its third."""
        pool = {"strategy": "least_connections", "health_check": CHECK, "slow_start": "3s"}
        gateway = start(three, pool=pool)
        beginning = shares(gateway)
        three[0].order("health", 503)
        wait_for_readiness(gateway, False, True, True)
        three[0].order("health", 200)
        wait_for_readiness(gateway, True, True, True)
        first = shares(gateway, 60)
        eventually(lambda: gateway.backend("i0")["slow_start"] == 1.0, "slow start is over")
        last = shares(gateway)

        assert beginning["i0"] > 15
        assert first["i0"] < 12
        assert last["i0"] > 15

    def test_goes_on_in_the_next_control_process(self, three: list[Instance], start: Start) -> None:
        """It began when the backend became ready, whoever tells of it."""
        gateway = start(three, pool={"health_check": CHECK, "slow_start": "60s"})
        three[0].order("health", 503)
        wait_for_readiness(gateway, False, True, True)
        three[0].order("health", 200)
        wait_for_readiness(gateway, True, True, True)
        before = gateway.backend("i0")["slow_start"]
        old = gateway.control
        os.kill(old, signal.SIGKILL)
        eventually(lambda: gateway.control != old and gateway.backend("i0"), "a new control process")
        gateway.wait_until_ready(2, 3)
        after = gateway.backend("i0")["slow_start"]

        assert 0.1 <= before < after < 0.6
        assert [1.0, 1.0] == [gateway.backend(name)["slow_start"] for name in ("i1", "i2")]
