"""The whole gateway with few descriptors, and connections that say nothing."""

from __future__ import annotations

import http.client
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pcs_gateway.processes.shortage import RESERVED
from tests.component.gateway.conftest import QUICK_CHECK, Start
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance, WholeGateway, get

DESCRIPTORS = 300
POOL: dict[str, Any] = {"connections": {"max_per_backend": 8, "idle_timeout": "200ms"}}
ROOM = DESCRIPTORS - RESERVED - 3 * 8
SILENT = 400
"""More than there are descriptors."""


@contextmanager
def silent(address: str) -> Iterator[None]:
    """So many connections that send nothing."""
    host, _, port = address.rpartition(":")
    with ExitStack() as stack:
        for _ in range(SILENT):
            stack.enter_context(socket.create_connection((host, int(port))))
        yield


def test_silent_clients_leave_backends_their_descriptors(three: list[Instance], start: Start) -> None:
    """Who asks is answered all the time, though each request needs a new connection; new clients are, too."""
    gateway = start(three, workers=1, pool=POOL, descriptors=DESCRIPTORS)
    client = http.client.HTTPConnection(gateway.address, timeout=10)
    statuses = []

    def ask() -> None:
        client.request("GET", "/")
        response = client.getresponse()
        response.read()
        statuses.append(response.status)

    ask()
    with silent(gateway.address):
        eventually(
            lambda: gateway.status()["workers"][0]["client_connections"] == ROOM, "all places are taken"
        )
        for _ in range(6):
            ask()
            time.sleep(0.3)  # until idle connections to backends are closed
        assert 200 == get(gateway.address).status
    client.close()

    assert {200} == set(statuses)
    assert ROOM == gateway.status()["workers"][0]["client_connections_limit"]
    [told] = gateway.events("connections_lowered")
    assert (20_000, ROOM, DESCRIPTORS) == (told["configured"], told["in_force"], told["nofile"])
    assert [] == gateway.events("cannot_accept")


def checked(gateway: WholeGateway) -> list[float]:
    """When each backend was checked last."""
    return [one["health"]["last_check"] for one in gateway.status()["pools"]["pcs"]["backends"]]


def checked_after(gateway: WholeGateway, moment: float) -> None:
    """Wait until each was checked again."""
    eventually(lambda: min(checked(gateway)) > moment, "another round of checks")


def test_silent_connections_to_the_admin_api_harm_nobody(three: list[Instance], start: Start) -> None:
    """Checks go on, the state is stored, and the admin API answers."""
    gateway = start(three, workers=1, descriptors=DESCRIPTORS)

    with silent(gateway.listeners()["admin"]):
        for _ in range(3):
            checked_after(gateway, max(checked(gateway)))
        assert 200 == get(gateway.address).status

    assert [] == [gateway.events(name) for name in SYMPTOMS if gateway.events(name)]


SYMPTOMS = ("check_not_made", "state_not_stored", "snapshot_not_stored", "backend_not_ready")


def test_control_process_without_descriptors_changes_no_verdict(three: list[Instance], start: Start) -> None:
    """While it cannot check, backends stay as they are, longer than a check holds; it says so."""
    gateway = start(three, workers=1, pool={"health_check": {**QUICK_CHECK, "max_age": "1s"}})
    control = gateway.control
    before = resource.prlimit(control, resource.RLIMIT_NOFILE)

    resource.prlimit(control, resource.RLIMIT_NOFILE, (3, before[1]))
    eventually(lambda: gateway.events("check_not_made"), "checks are not made")
    time.sleep(2.0)
    statuses = {get(gateway.address).status for _ in range(10)}
    resource.prlimit(control, resource.RLIMIT_NOFILE, before)
    checked_after(gateway, time.time())

    assert {200} == statuses
    assert [] == gateway.events("backend_not_ready")
    assert control == gateway.control
