"""The clock that tests move."""

import asyncio
from collections.abc import Callable, Coroutine

from tests.fakes.clock import FakeClock


async def _tick(clock: FakeClock, ticks: list[float], every: float) -> None:
    while True:
        await clock.sleep(every)
        ticks.append(clock.monotonic())


async def _run(task: Callable[[], Coroutine[None, None, None]], clock: FakeClock, seconds: float) -> None:
    running = asyncio.create_task(task())
    await clock.run(seconds)
    running.cancel()


def test_time_stands_still_until_it_is_moved() -> None:
    """Both readings move by exactly what the test says."""
    clock = FakeClock(now=5.0, epoch=100.0)
    assert (5.0, 105.0) == (clock.monotonic(), clock.time())

    clock.advance(2.5)

    assert (7.5, 107.5) == (clock.monotonic(), clock.time())


async def test_a_sleeper_wakes_when_its_time_has_come_and_not_before() -> None:
    """Advancing short of the deadline wakes nobody."""
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(3.0))
    await asyncio.sleep(0)

    clock.advance(2.9)
    await asyncio.sleep(0)
    assert 1 == clock.sleepers
    assert not sleeper.done()

    clock.advance(0.2)
    await sleeper
    assert 0 == clock.sleepers


async def test_sleeping_for_nothing_returns_at_once() -> None:
    """A pause of zero or less only yields to the loop."""
    clock = FakeClock()

    await asyncio.wait_for(clock.sleep(0.0), 1.0)
    await asyncio.wait_for(clock.sleep(-1.0), 1.0)


async def test_running_lets_a_loop_tick_at_each_of_its_deadlines() -> None:
    """Moving by ten seconds is ten ticks of a loop that sleeps a second."""
    clock, ticks = FakeClock(now=0.0), list[float]()

    await _run(lambda: _tick(clock, ticks, 1.0), clock, 10.0)

    assert [float(second) for second in range(1, 11)] == ticks
    assert 10.0 == clock.monotonic()


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    """Advancing past the deadline of a cancelled sleeper raises nothing."""
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(1.0))
    await asyncio.sleep(0)
    sleeper.cancel()
    await asyncio.gather(sleeper, return_exceptions=True)

    clock.advance(5.0)

    assert 0 == clock.sleepers
