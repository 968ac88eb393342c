"""Instances that die, hang and come back under traffic."""

import signal
import time

from tests.component.gateway.conftest import Start
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance, WholeGateway, get
from tests.fakes.traffic import traffic

OUT_WITHIN = 4.0
"""Seconds; the checks need about one, the rest is for a busy machine."""


def is_ready(gateway: WholeGateway, name: str) -> bool:
    """Whether a backend takes attempts."""
    ready: bool = gateway.backend(name)["ready"]
    return ready


def test_no_client_notices_that_an_instance_dies(three: list[Instance], start: Start) -> None:
    """200 GETs a second go on without an error; it is out by the checks, and back after `rise` of them."""
    gateway = start(three, pool={"strategy": "round_robin"})

    with traffic(gateway.address, target_rps=200) as load:
        time.sleep(1)
        three[0].kill()
        eventually(lambda: gateway.backend("i0")["health"]["status"] == "unhealthy", "i0 is out", OUT_WITHIN)
        answered_before = load.instances["i0"]
        three[0].start()
        eventually(lambda: is_ready(gateway, "i0"), "i0 is back", OUT_WITHIN)
        eventually(lambda: load.instances["i0"] > answered_before, "i0 answers again")

    assert {} == load.failures
    assert 2 == len([event for event in gateway.events("backend_ready") if event["backend"] == "i0"])


def test_instance_that_hangs_is_out_after_its_checks(three: list[Instance], start: Start) -> None:
    """Only what was sent to it before is answered with 504, and nothing once the checks have found it out."""
    check = {"path": "/health", "interval": "500ms", "fast_interval": "200ms", "timeout": "300ms"}
    gateway = start(three, pool={"health_check": check}, timeouts={"response_head": "1s"})

    with traffic(gateway.address, target_rps=100) as load:
        time.sleep(0.5)
        three[0].process.send_signal(signal.SIGSTOP)
        eventually(lambda: not is_ready(gateway, "i0"), "i0 is out", OUT_WITHIN)
        time.sleep(1.2)
        failures = load.failures
        time.sleep(0.5)
        three[0].process.send_signal(signal.SIGCONT)
        eventually(lambda: is_ready(gateway, "i0"), "i0 is back", OUT_WITHIN)

    assert {"504"} >= set(load.failures)
    assert failures == load.failures
    assert 200 == get(gateway.address).status
