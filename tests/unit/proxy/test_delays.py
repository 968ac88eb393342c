"""Short delays under one timer: each is called once, in time, whatever others do."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from pcs_gateway.proxy.delays import Delays
from tests.fakes.waiting import until


class FakeTimer:
    """What a loop gives for a timer."""

    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """A loop whose time the test moves; it knows timers only."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, FakeTimer, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer()
        self.timers.append((self.now + seconds, timer, callback))
        return timer

    @property
    def armed(self) -> list[float]:
        """When the timers that are not cancelled are due."""
        return [due for due, timer, _ in self.timers if not timer.is_cancelled]

    def advance(self, seconds: float) -> None:
        """Move time, calling every timer when it is due."""
        end = self.now + seconds
        while due := [entry for entry in self.timers if not entry[1].is_cancelled and entry[0] <= end]:
            entry = min(due, key=lambda one: one[0])
            self.timers.remove(entry)
            self.now = max(self.now, entry[0])
            entry[2]()
        self.now = end


@pytest.fixture
def loop() -> FakeLoop:
    """A loop without time of its own."""
    return FakeLoop()


@pytest.fixture
def delays(loop: FakeLoop) -> Delays:
    """Delays on that loop."""
    return Delays(loop, loop.time)  # type: ignore[arg-type]


def test_callback_comes_once_in_time(loop: FakeLoop, delays: Delays) -> None:
    """A delay ends when its time is over, and then is forgotten."""
    called: list[float] = []
    delays.start(0.5, lambda: called.append(loop.now))
    loop.advance(0.4)
    assert called == []
    loop.advance(10)

    assert called == [1000.5]
    assert len(delays) == 0
    assert loop.armed == []


def test_cancelled_delay_is_not_called(loop: FakeLoop, delays: Delays) -> None:
    """Cancelling forgets the callback, also twice."""
    called: list[str] = []
    delay = delays.start(0.5, lambda: called.append("cancelled"))
    delays.start(0.5, lambda: called.append("kept"))
    delay.cancel()
    delay.cancel()
    loop.advance(1)

    assert called == ["kept"]


def test_many_delays_share_one_timer(loop: FakeLoop, delays: Delays) -> None:
    """However many run, the loop has one timer, for the earliest."""
    for seconds in (2.0, 0.5, 0.002, 0.5, 2.0):
        delays.start(seconds, lambda: None)

    assert loop.armed == [1000.002]


def test_fault_in_a_callback_does_not_hold_up_others(loop: FakeLoop, delays: Delays) -> None:
    """What else is due comes next, what is not keeps its time."""
    called: list[float] = []
    delays.start(0.1, lambda: called.append(1 // 0))
    for seconds in (0.1, 0.1, 0.2):
        delays.start(seconds, lambda: called.append(loop.now))
    with pytest.raises(ZeroDivisionError):
        loop.advance(0.15)
    loop.advance(1)

    assert called == [1000.1, 1000.1, 1000.2]


def test_callback_that_starts_a_longer_delay_does_not_hold_up_others(loop: FakeLoop, delays: Delays) -> None:
    """A delay begun inside a callback does not take over the timer from an earlier one."""
    called: list[tuple[str, float]] = []

    def start_a_long_one() -> None:
        delays.start(2.0, lambda: called.append(("long", loop.now)))

    delays.start(0.1, start_a_long_one)
    delays.start(0.2, lambda: called.append(("short", loop.now)))
    loop.advance(3)

    assert called == [("short", 1000.2), ("long", 1002.1)]


def test_callback_that_cancels_another_is_obeyed(loop: FakeLoop, delays: Delays) -> None:
    """Two that are due at once: the first may still cancel the second."""
    called: list[str] = []
    second: list[object] = []

    def first() -> None:
        called.append("first")
        other.cancel()

    delays.start(0.5, first)
    other = delays.start(0.5, lambda: called.append("second"))
    loop.advance(1)

    assert (called, second) == (["first"], [])


@pytest.mark.parametrize("seed", range(5))
def test_every_delay_ends_in_time(loop: FakeLoop, delays: Delays, seed: int) -> None:
    """Whatever is started, cancelled, and started from callbacks: all others end when they are due."""
    random = Random(seed)
    due: list[float] = []
    late: list[float] = []

    def start() -> None:
        seconds = random.choice((0.002, 0.05, 0.5, 2.0))
        expected = loop.now + seconds

        def ended() -> None:
            late.append(loop.now - expected)
            if random.random() < 0.4:
                start()

        delay = delays.start(seconds, ended)
        if random.random() < 0.2:
            delay.cancel()
        else:
            due.append(expected)

    for _ in range(200):
        start()
        loop.advance(random.random() * 0.1)
    loop.advance(60)

    assert len(late) == len(due)
    assert max(late) < 1e-6


async def test_on_a_real_loop() -> None:
    """The timer is the loop's."""
    running = asyncio.get_running_loop()
    called: list[int] = []
    delays = Delays(running, running.time)
    for number in range(3):
        delays.start(0.01, lambda number=number: called.append(number))  # type: ignore[misc]

    await until(lambda: called == [0, 1, 2])
