"""A fleet of backends, numbered load on it, and blocks through a real proxy."""

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import open_loop
from benchmarks.black_hole import examine
from benchmarks.fleet import Fault
from benchmarks.fleet_blocks import interleave
from benchmarks.fleet_servers import FleetPlan, Proxy, RunningFleet, fleet
from benchmarks.open_loop import Plan
from benchmarks.servers import GATEWAY_COMMAND
from benchmarks.service_times import ServiceTimes

PATH = "/api/v1/prompts/"
QUICK = FleetPlan(2, ServiceTimes(0.02), {1: 5.0})


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[RunningFleet]:
    """Two backends of 20 ms, the second five times slower."""
    with fleet(tmp_path, QUICK) as running:
        yield running


def _ask(port: int, path: str, method: str = "GET", timeout: float = 10.0) -> tuple[int, float]:
    began = time.monotonic()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)) as connection:
        connection.request(method, path, b"x" * 10 if method == "POST" else None)
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - began


def test_slow_backend_takes_its_factor_longer(backends: RunningFleet) -> None:
    """20 ms on the first, 100 ms on the second."""
    (first, fast), (second, slow) = (_ask(port, f"{PATH}1") for port in backends.ports)

    assert (first, second) == (200, 200)
    assert 0.02 <= fast < 0.1 <= slow


def test_attempts_and_first_attempts_are_counted_over_all_backends(backends: RunningFleet) -> None:
    """The same number again is another attempt, wherever it comes; checks do not count."""
    for port, number in ((0, 1), (1, 1), (0, 2)):
        _ask(backends.ports[port], f"{PATH}{number}")
    _ask(backends.ports[0], "/health")
    _ask(backends.ports[0], "/")
    counts = backends.reset()

    assert [(one.attempts, one.first_attempts) for one in counts] == [(2, 2), (1, 0)]
    assert [one.attempts for one in backends.counts()] == [0, 0]


def test_whole_fleet_can_slow_down(backends: RunningFleet) -> None:
    """From now on everything takes four times as long."""
    backends.slow_down(4.0)

    assert _ask(backends.ports[0], f"{PATH}1")[1] >= 0.08


def test_client_that_hangs_up_ends_the_work(backends: RunningFleet) -> None:
    """The attempt is counted as abandoned."""
    with pytest.raises(TimeoutError):
        _ask(backends.ports[1], f"{PATH}1", timeout=0.03)
    deadline = time.monotonic() + 5
    while backends.counts()[1].abandoned == 0 and time.monotonic() < deadline:
        time.sleep(0.01)

    assert backends.counts()[1].abandoned == 1


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Fault.HANG, TimeoutError),
        (Fault.RESET, ConnectionResetError),
        (Fault.TRUNCATED, http.client.IncompleteRead),
    ],
)
def test_black_hole_swallows_and_stays_healthy(
    backends: RunningFleet, kind: Fault, error: type[Exception]
) -> None:
    """Each kind fails as it says, the check passes, the other backend is well, and it is counted."""
    backends.fault(0, kind)
    with pytest.raises(error):
        _ask(backends.ports[0], f"{PATH}1", "POST", timeout=0.2)

    assert _ask(backends.ports[0], "/health")[0] == 200
    assert _ask(backends.ports[1], f"{PATH}2")[0] == 200
    assert [(one.swallowed, one.swallowed_posts) for one in backends.counts()] == [(1, 1), (0, 0)]


def test_instant_503_is_instant(backends: RunningFleet) -> None:
    """A fast failure, faster than any answer."""
    backends.fault(1, Fault.INSTANT_503)
    status, seconds = _ask(backends.ports[1], f"{PATH}1")

    assert status == 503
    assert seconds < 0.1


def test_unknown_order_changes_nothing(backends: RunningFleet) -> None:
    """The control port knows four words."""
    assert _ask(backends.server.port, "/explode")[0] == 404
    assert _ask(backends.server.port, "/fault/9/hang")[0] == 404


def test_load_is_numbered_and_every_time_is_kept(backends: RunningFleet) -> None:
    """Half POSTs; the warm-up is not measured; histogram and sorted times agree."""
    plan = Plan(rate=200, warm=0.5, seconds=1.0, post_share=0.5, block=3)
    with open_loop.background(plan, f"http://127.0.0.1:{backends.ports[0]}") as running:
        running.sleep_until(plan.warm)
        loaded = running.result()
    counted = backends.counts()[0]
    gets, posts = loaded.kinds["GET"], loaded.kinds["POST"]

    assert loaded.failed == 0
    assert counted.attempts == counted.first_attempts > loaded.requests
    assert loaded.requests == len(loaded.times) == pytest.approx(200, rel=0.3)
    assert gets.requests == pytest.approx(posts.requests, rel=0.5)
    assert min(loaded.times) >= 0.018  # the timers of the loop count milliseconds
    assert gets.between(0.0, 0.5) + gets.between(0.5, 1.1) == pytest.approx(gets.times)
    assert loaded.histogram == pytest.approx(loaded.sorted, rel=0.03)


def test_failures_are_told_with_their_moment(backends: RunningFleet) -> None:
    """By status and by what happened."""
    backends.fault(0, Fault.INSTANT_503)
    plan = Plan(rate=100, warm=0.0, seconds=0.6)
    with open_loop.background(plan, f"http://127.0.0.1:{backends.ports[0]}") as running:
        changed = threading.Timer(0.3, backends.fault, (0, Fault.TRUNCATED))
        changed.start()
        loaded = running.result()
        changed.join()
    failed = loaded.kinds["GET"]

    assert set(failed.failures) == {"503", "http_response_incomplete"}
    assert failed.failed == loaded.failed == len(failed.failed_at) == failed.requests
    assert 0 <= min(failed.failed_at) < 0.3 < max(failed.failed_at) < 1.0


@pytest.mark.needs_nginx
def test_round_robin_gives_the_slow_backend_its_share(tmp_path: Path) -> None:
    """Half of the requests of two backends; a row whose program does not start is told."""
    rows = (Proxy("nginx round robin", "nginx", workers=1), Proxy("broken", "nginx", "no_such_strategy"))
    cells, missing = interleave(rows, QUICK, Plan(100, 0.2, 0.4), 2, GATEWAY_COMMAND)

    assert set(missing) == {"broken"}
    assert [cell.name for cell in cells] == ["nginx round robin"]
    assert len(cells[0].blocks) == 2
    assert cells[0].slow_share == pytest.approx(0.5, abs=0.05)
    assert (cells[0].error_ratio, cells[0].extra_load) == (0.0, 0.0)
    assert cells[0].percentile("p99") >= 0.1


def test_gateway_before_a_black_hole_is_examined() -> None:
    """What it swallowed, what failed and how often it was ejected, all after the fault began."""
    which = Proxy("gateway", "gateway", retries=0, timeout=2, workers=1)
    found = examine(which, Fault.INSTANT_503, Plan(200, 0.3, 1.0, post_share=0.5), GATEWAY_COMMAND)

    assert found.gets + found.posts == pytest.approx(200, rel=0.3)
    assert 0 < found.gets_failed + found.posts_failed == sum(found.failures.values()) <= found.swallowed
    assert found.ejections is not None
