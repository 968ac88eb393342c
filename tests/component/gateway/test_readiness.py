"""Who gets traffic: ejections, first checks, nobody at all, and backends with names."""

import json
import os
import signal
import time

from tests.component.gateway.conftest import Start, configuration
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance, WholeGateway, get

HTTP_CHECK = {"path": "/health", "interval": "300ms", "fast_interval": "200ms", "timeout": "300ms"}


def ejected(gateway: WholeGateway) -> set[str]:
    """The names of the ejected backends."""
    members = gateway.status()["pools"]["pcs"]["backends"]
    return {one["name"] for one in members if one["ejected_for"] > 0}


class TestEjection:
    def test_five_failures_in_a_row_eject_for_a_while(self, three: list[Instance], start: Start) -> None:
        """After the fifth 503 it gets no attempts for `base_ejection`, and then again."""
        outlier_detection = {"consecutive_failures": 5, "base_ejection": "2s"}
        gateway = start(three, pool={"strategy": "round_robin", "outlier_detection": outlier_detection})
        three[0].order("status", 503)

        statuses = [get(gateway.address).status for _ in range(15)]
        ended = time.monotonic()
        eventually(lambda: ejected(gateway) == {"i0"}, "i0 is ejected", within=1.0)
        others = {get(gateway.address).instance for _ in range(30)}
        three[0].order("status", 200)
        eventually(lambda: get(gateway.address).instance == "i0", "i0 gets attempts again")
        lasted = time.monotonic() - ended

        assert 5 == statuses.count(503)
        assert {"i1", "i2"} == others
        assert 1.9 < lasted < 4.0


class TestFirstChecks:
    def test_no_traffic_before_the_first_passed_check(self, three: list[Instance], start: Start) -> None:
        """A backend that was added, but is not ready yet, is asked for nothing but its readiness."""
        gateway = start(three[:2], pool={"strategy": "round_robin", "health_check": HTTP_CHECK})
        three[2].order("health", 503)

        gateway.write(configuration(three, pool={"strategy": "round_robin", "health_check": HTTP_CHECK}))
        eventually(lambda: three[2].counts().get("/health", 0) >= 3, "i2 was checked three times")
        before = {get(gateway.address).instance for _ in range(30)}
        counts = three[2].counts()
        three[2].order("health", 200)
        eventually(lambda: get(gateway.address).instance == "i2", "i2 gets attempts")

        assert {"i0", "i1"} == before
        assert "/" not in counts

    def test_nobody_is_ready(self, three: list[Instance], start: Start) -> None:
        """503 with Retry-After tells what is wrong with each backend, and is over when they are back."""
        gateway = start(three, pool={"health_check": HTTP_CHECK})
        for instance in three[:2]:
            instance.kill()
        three[2].order("health", 500)
        eventually(
            lambda: not any(one["ready"] for one in gateway.status()["pools"]["pcs"]["backends"]),
            "nobody is ready",
        )

        answer = get(gateway.address)
        problem = json.loads(answer.body)
        readiness = gateway.ask("/readyz")[0]
        three[2].order("health", 200)
        eventually(lambda: get(gateway.address).status == 200, "somebody is ready again")

        assert 503 == answer.status
        assert int(answer.fields["retry-after"]) >= 1
        assert "No healthy instances available" == problem["message"]
        told = problem["backends"]
        assert ["i0", "i1", "i2"] == [line.partition(":")[0] for line in told]
        assert all("connection refused" in line for line in told[:2])
        assert "500" in told[2]
        assert 200 == readiness


class TestNames:
    def test_workers_need_no_resolver(self, three: list[Instance], start: Start) -> None:
        """Addresses come from the control process; without it workers still connect, also anew."""
        named = [{"url": f"http://localhost:{one.port}", "name": one.name} for one in three]
        unknown = {"url": "http://nowhere.invalid:80", "name": "nowhere"}
        gateway = start(three, pool={"strategy": "round_robin", "backends": [*named, unknown]})
        addresses = gateway.backend("i0")["addresses"]
        nowhere = gateway.backend("nowhere")

        os.kill(gateway.control, signal.SIGSTOP)
        statuses = {get(gateway.address).status for _ in range(30)}

        assert "127.0.0.1" in addresses
        assert {200} == statuses
        assert [] == nowhere["addresses"]
        assert "nowhere.invalid" in nowhere["reason"]
