"""When each backend is checked."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pcs_gateway.backends.config import HealthCheckConfig
from pcs_gateway.backends.health import CheckResult
from pcs_gateway.control.health.prober import Prober
from pcs_gateway.control.health.target import Target
from pcs_gateway.control.standing import BackendKey
from tests.fakes.clock import FakeClock

ONE, TWO = BackendKey("pcs", "http://one:80"), BackendKey("pcs", "http://two:80")


class Book:
    """Notes when checks began, and pauses as long as it is told."""

    def __init__(self) -> None:
        self.started: list[tuple[str, float]] = []
        self.resolved = {"one": asyncio.Event(), "two": asyncio.Event()}
        self.seconds = 5.0

    async def is_resolved(self, host: str) -> None:
        await self.resolved[host].wait()

    def observe(self, key: BackendKey, result: CheckResult, started: float) -> None:
        assert result.detail == key.url
        self.started.append((key.url[7:10], started))

    def pause(self, key: BackendKey) -> float:
        return self.seconds


class Servers:
    """Backends that take a time to answer, and count checks at once."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.seconds = {"one": 0.0, "two": 0.0}
        self.running = {"one": 0, "two": 0}
        self.overlapped = False

    async def check(self, target: Target) -> CheckResult:
        self.running[target.host] += 1
        self.overlapped |= self.running[target.host] > 1
        try:
            await self.clock.sleep(self.seconds[target.host])
        finally:
            self.running[target.host] -= 1
        return CheckResult(True, target.url)


def targets(*keys: BackendKey, interval: float = 5.0) -> dict[BackendKey, Target]:
    """What to check."""
    check = HealthCheckConfig(interval=interval)
    return {key: Target(key.url, key.url[7:10], 80, check) for key in keys}


@pytest.fixture
def clock() -> FakeClock:
    """Time under control."""
    return FakeClock(now=0.0)


@pytest.fixture
def servers(clock: FakeClock) -> Servers:
    """Backends."""
    return Servers(clock)


@pytest.fixture
def book() -> Book:
    """Who notes; both hosts are resolved."""
    book = Book()
    for event in book.resolved.values():
        event.set()
    return book


@pytest.fixture
async def prober(servers: Servers, book: Book, clock: FakeClock) -> AsyncIterator[Prober]:
    """A prober that follows nobody."""
    prober = Prober(servers.check, book, clock)
    yield prober
    await prober.close()


async def test_pause_is_from_start_to_start(
    prober: Prober, servers: Servers, book: Book, clock: FakeClock
) -> None:
    """A check that takes a second does not make the interval longer."""
    servers.seconds["one"] = 1.0
    prober.follow(targets(ONE))
    await clock.run(12.0)

    assert book.started == [("one", 0.0), ("one", 5.0), ("one", 10.0)]


async def test_checks_of_one_backend_never_overlap(
    prober: Prober, servers: Servers, book: Book, clock: FakeClock
) -> None:
    """A check that takes longer than the interval is followed by the next one at once."""
    servers.seconds["one"] = 7.0
    prober.follow(targets(ONE))
    await clock.run(21.0)

    assert book.started == [("one", 0.0), ("one", 7.0), ("one", 14.0)]
    assert not servers.overlapped


async def test_slow_backend_delays_no_other(
    prober: Prober, servers: Servers, book: Book, clock: FakeClock
) -> None:
    """Every backend has its own time."""
    servers.seconds["one"] = 100.0
    prober.follow(targets(ONE, TWO))
    await clock.run(11.0)

    assert book.started == [("two", 0.0), ("two", 5.0), ("two", 10.0)]


async def test_check_waits_for_the_first_resolution(prober: Prober, book: Book, clock: FakeClock) -> None:
    """A host that nobody tried to resolve yet is not failed for having no address."""
    book.resolved["one"].clear()
    prober.follow(targets(ONE))
    await clock.run(3.0)
    assert book.started == []

    book.resolved["one"].set()
    await clock.run(0.0)
    assert book.started == [("one", 3.0)]


async def test_backend_to_be_checked_differently_is_checked_at_once(
    prober: Prober, book: Book, clock: FakeClock
) -> None:
    """A changed check does not wait for the old interval; an unchanged one goes on undisturbed."""
    prober.follow(targets(ONE, TWO))
    await clock.run(2.0)
    prober.follow(targets(ONE, interval=9.0) | targets(TWO))
    await clock.run(4.0)

    assert book.started == [("one", 0.0), ("two", 0.0), ("one", 2.0), ("two", 5.0)]


async def test_backend_that_is_gone_is_not_checked(prober: Prober, book: Book, clock: FakeClock) -> None:
    """A removed backend is left alone."""
    prober.follow(targets(ONE, TWO))
    await clock.run(1.0)
    prober.follow(targets(TWO))
    await clock.run(5.0)

    assert book.started == [("one", 0.0), ("two", 0.0), ("two", 5.0)]
    assert repr(prober) == "<Prober of 1 backends>"
