"""Connections over workers: each has its share, whoever is woken first."""

import socket
from contextlib import ExitStack

import pytest

from tests.component.gateway.conftest import Start
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance

CONNECTIONS = 64


@pytest.mark.parametrize("workers", [2, 4])
def test_connections_are_spread_within_a_quarter(three: list[Instance], start: Start, workers: int) -> None:
    """64 connections at once are 16 ± 4 for each of four workers, and all are counted."""
    gateway = start(three, workers=workers)
    share = CONNECTIONS / workers

    def held() -> list[int]:
        return [one["client_connections"] for one in gateway.status()["workers"]]

    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))
        eventually(lambda: sum(held()) == CONNECTIONS, "all are accepted")

        assert [] == [count for count in held() if not 0.75 * share <= count <= 1.25 * share]
