"""Clients who stay, on the backend that can be restarted."""

import time

from benchmarks.long_clients import long_clients
from benchmarks.rolling_restart import restartable
from tests.fakes.processes.whole import get


def test_streams_and_sockets_that_end_in_order_are_complete() -> None:
    """Also those that were under way when the backend was told to end: it finishes them first."""
    with restartable(1) as (one,):
        address = f"127.0.0.1:{one.port}"
        with long_clients(address, 1, 0.3) as clients:
            time.sleep(0.15)
        one.restart()
        answer = get(address, "/item")

    assert (answer.status, answer.instance) == (200, "i0")
    assert clients.complete("stream") >= 1
    assert clients.complete("socket") >= 1
    assert (clients.cut("stream"), clients.cut("socket")) == ({}, {})


def test_streams_and_sockets_that_break_off_are_cut() -> None:
    """A killed backend ends neither in order."""
    with restartable(1) as (one,), long_clients(f"127.0.0.1:{one.port}", 1, 3.0) as clients:
        time.sleep(0.3)
        one.kill()
        time.sleep(0.1)

    assert sum(clients.cut("stream").values()) >= 1
    assert sum(clients.cut("socket").values()) >= 1
    assert (clients.complete("stream"), clients.complete("socket")) == (0, 0)
