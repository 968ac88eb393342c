"""The control process dies or hangs under traffic; nobody notices, and its successor goes on where it was."""

import os
import signal
import time
from typing import Any

import pytest

from tests.component.gateway.conftest import Start
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import WholeGateway, get, instances
from tests.fakes.traffic import traffic

KNOWN = ("ready", "reason", "administrative_state", "weight", "addresses")


def standing(gateway: WholeGateway) -> dict[str, dict[str, Any]]:
    """What is known of each backend, but for numbers that change all the time."""
    members = gateway.status()["pools"]["pcs"]["backends"]
    return {one["name"]: {key: one[key] for key in KNOWN} for one in members}


def version(gateway: WholeGateway) -> int:
    """The version of what was published last."""
    found: int = gateway.status()["configuration"]["snapshot_version"]
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_successor_goes_on_where_it_was(number: signal.Signals, start: Start) -> None:
    """Ejection, orders, weights and version are as before; no readiness flips; no client sees anything."""
    with instances(4) as four:
        gateway = start(four, pool={"strategy": "round_robin"})
        for _ in range(20):
            four[3].order("status", 503)
            get(gateway.address)
        eventually(lambda: not gateway.backend("i3")["ready"], "i3 is ejected")
        four[3].order("status", 200)
        gateway.order("i2", "disable")
        gateway.order("i1", "weight", weight=7)
        before, version_before, control = standing(gateway), version(gateway), gateway.control

        with (
            traffic(gateway.address, target_rps=100) as kept_alive,
            traffic(gateway.address, target_rps=50, keep_alive=False, concurrent_users=100) as new,
        ):
            time.sleep(0.3)
            os.kill(control, number)
            eventually(lambda: gateway.events("first_round_of_checks_over"), "the successor has checked all")
            after, version_after = standing(gateway), version(gateway)
            time.sleep(0.5)

    assert ({}, {}) == (kept_alive.failures, new.failures)
    assert {"i0", "i1"} == set(kept_alive.instances) == set(new.instances)
    assert "ejected" in before["i3"]["reason"]
    assert before == after
    assert version_after >= version_before
    assert control != gateway.control
    assert 4 == len(gateway.events("backend_ready"))


def test_workers_judge_by_themselves_while_it_is_stopped(start: Start) -> None:
    """Five failures in a row and the worker skips the backend for a while, but never too many of them."""
    outlier_detection = {"consecutive_failures": 5, "base_ejection": "1s", "max_ejected": 0.5}
    with instances(4) as four:
        pool = {"strategy": "round_robin", "outlier_detection": outlier_detection}
        gateway = start(four, workers=1, pool=pool)
        gateway.order("i3", "disable")
        gateway.wait_until_ready(workers=1, ready=3)
        os.kill(gateway.control, signal.SIGSTOP)

        four[0].order("status", 502)
        one_fails = [get(gateway.address).status for _ in range(30)]
        four[1].order("status", 502)
        two_fail = [get(gateway.address).status for _ in range(30)]
        four[0].order("status", 200)
        four[1].order("status", 200)

        assert 5 == one_fails.count(502)
        assert 15 == two_fail.count(502)
        eventually(lambda: get(gateway.address).instance == "i0", "i0 gets attempts again")
