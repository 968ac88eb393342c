"""The loop that finds and publishes adaptive limits."""

from collections.abc import Iterator
from typing import Any

import pytest

from pcs_gateway.backends.config import PoolConfig
from pcs_gateway.control.limiting import ConcurrencyLimiter
from pcs_gateway.control.roster import Roster
from pcs_gateway.processes.scoreboard import CONTROL_ROW, Role, Scoreboard
from pcs_gateway.telemetry.delta import BackendCounts, Delta
from pcs_gateway.telemetry.histogram import Histogram
from tests.fakes.clock import FakeClock

ADAPTIVE = {"mode": "adaptive", "initial": 40, "minimum": 10, "maximum": 200}


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    """A table with the control process and one worker."""
    made = Scoreboard.create()
    made.occupy(CONTROL_ROW, Role.CONTROL, 1, 100)
    made.occupy(1, Role.WORKER, 1, 101)
    yield made
    made.close()


class Control:
    """A limiter with its clock, its roster and one worker that measures."""

    def __init__(self, board: Scoreboard, **pools: dict[str, Any] | None) -> None:
        self.clock = FakeClock()
        self.board = board
        self.roster = Roster(self.clock)
        self.limiter = ConcurrencyLimiter(self.roster, board, self.clock)
        self.configure(**pools)

    def configure(self, **pools: dict[str, Any] | None) -> None:
        """Put pools in force, each with this `concurrency`."""
        configs = {
            name: PoolConfig.model_validate(
                {"backends": [{"url": f"http://127.0.0.1:{8000 + number}"}], "concurrency": concurrency}
            )
            for number, (name, concurrency) in enumerate(pools.items())
        }
        self.roster.apply(configs, 1)

    def published(self, pool: str = "pcs") -> int:
        """What workers read."""
        found: int = self.board.row(CONTROL_ROW).limits[self.roster.slot(pool)]
        return found

    async def second(self, in_flight: int = 0, count: int = 0, duration: float = 0.1) -> int:
        """Let a second pass in which this was measured; give the limit after it."""
        column = self.roster.members("pcs")[0].column
        self.board.row(1).in_flight[column] = in_flight
        durations = Histogram()
        for _ in range(count):
            durations.record(duration)
        self.limiter.add(Delta(backends={"pcs": {"one": BackendCounts(durations)}}))
        for _ in range(10):
            self.clock.advance(0.1 + 1e-9)
            await self.limiter.tick()
        return self.published()


async def test_begins_with_the_initial_limit(board: Scoreboard) -> None:
    """Before anything is measured; pools without an adaptive limit publish nothing."""
    control = Control(board, pcs=ADAPTIVE, other=None, third={"mode": "fixed", "maximum": 7})
    await control.limiter.tick()

    assert (40, 0, 0) == tuple(control.published(name) for name in ("pcs", "other", "third"))


async def test_grows_and_falls_with_what_is_measured(board: Scoreboard) -> None:
    """Busy and quick: up. Busy and slow: down, never beyond its bounds."""
    control = Control(board, pcs=ADAPTIVE)
    await control.second()
    up = [await control.second(in_flight=control.published(), count=200) for _ in range(8)]
    down = [await control.second(control.published(), 200, 0.05 * control.published()) for _ in range(30)]

    assert up == sorted(up)
    assert 200 == up[-1]
    assert down[-1] < 200
    assert min(down) >= 10


async def test_few_answers_hold_the_limit(board: Scoreboard) -> None:
    """They are gathered until they say something, and are then counted together."""
    control = Control(board, pcs=ADAPTIVE)
    await control.second()
    held = [await control.second(in_flight=40, count=30) for _ in range(3)]
    after = await control.second(in_flight=40, count=30)

    assert [40, 40, 40] == held
    assert after > 40


async def test_successor_goes_on_from_what_workers_apply(board: Scoreboard) -> None:
    """A new control process does not begin with the initial limit again."""
    board.row(1).limits[0] = 123
    control = Control(board, pcs=ADAPTIVE)
    await control.limiter.tick()

    assert 123 == control.published()


async def test_reload_changes_the_bounds(board: Scoreboard) -> None:
    """At once; and a pool whose limit is no longer adaptive publishes none."""
    control = Control(board, pcs=ADAPTIVE)
    await control.limiter.tick()
    control.configure(pcs=ADAPTIVE | {"initial": 60, "minimum": 50})
    await control.limiter.tick()
    raised = control.published()
    control.configure(pcs={"mode": "fixed", "maximum": 9})
    await control.limiter.tick()

    assert (50, 0) == (raised, control.published())


async def test_another_pool_in_the_same_slot(board: Scoreboard) -> None:
    """Begins with its own limit, whatever was published for the one before."""
    control = Control(board, pcs=ADAPTIVE)
    await control.limiter.tick()
    control.configure(new=ADAPTIVE | {"initial": 11})
    await control.limiter.tick()

    assert 11 == control.published("new")
