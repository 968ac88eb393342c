"""When a draining backend is empty."""

import asyncio

from pcs_gateway.backends.backend import AdministrativeState
from pcs_gateway.backends.config import BackendConfig
from pcs_gateway.control.draining import DrainReport, wait_until_empty
from pcs_gateway.control.standing import BackendKey, Standing
from tests.fakes.clock import FakeClock


class Counts:
    """A scoreboard and a channel as told."""

    def __init__(self, in_flight: int, acknowledged: int) -> None:
        self.count = in_flight
        self.acknowledged = acknowledged

    def in_flight(self, column: int) -> int:
        assert column == 7
        return self.count

    def acknowledged_by_all(self) -> int:
        return self.acknowledged


def draining() -> Standing:
    """A backend that an operator drains."""
    config = BackendConfig(url="http://127.0.0.1:8001")
    standing = Standing(BackendKey("pcs", config.url), config)
    standing.column = 7
    standing.administrative_state = AdministrativeState.DRAINING
    return standing


async def test_zero_counts_only_when_every_worker_knows() -> None:
    """A worker that has not acknowledged the order may still begin an attempt."""
    clock, counts = FakeClock(), Counts(in_flight=0, acknowledged=4)
    waiting = asyncio.create_task(wait_until_empty(draining(), 5, 30.0, counts, clock))
    await clock.run(1.0)
    assert not waiting.done()

    counts.count, counts.acknowledged = 2, 5
    await clock.run(1.0)
    assert not waiting.done()

    counts.count = 0
    await clock.run(0.1)
    report = await waiting
    assert report.empty
    assert 2.0 <= report.waited <= 2.1


async def test_patience_ends() -> None:
    """After the timeout the answer says what is left."""
    clock = FakeClock()
    waiting = asyncio.create_task(wait_until_empty(draining(), 5, 3.0, Counts(2, 5), clock))
    await clock.run(3.1)
    report = await waiting

    assert (report.empty, report.in_flight, report.reason) == (False, 2, "2 in flight")


async def test_no_patience_is_an_answer_at_once() -> None:
    """A timeout of zero only looks."""
    assert await wait_until_empty(draining(), 5, 0.0, Counts(0, 5), FakeClock()) == DrainReport(True, 0, 0.0)
    report = await wait_until_empty(draining(), 5, 0.0, Counts(0, 4), FakeClock())
    assert report.reason == "not every worker has acknowledged it yet"


async def test_enabling_ends_the_wait() -> None:
    """Who enables the backend again does not leave the other operator waiting."""
    clock, standing = FakeClock(), draining()
    waiting = asyncio.create_task(wait_until_empty(standing, 5, 30.0, Counts(2, 5), clock))
    await clock.run(1.0)
    standing.administrative_state = AdministrativeState.ACTIVE
    await clock.run(0.1)

    assert (await waiting).reason == "it was enabled again meanwhile"
