"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class FakeClock:
    """
    A `Clock` under the test's control: sleepers wake when time is moved past their deadline.

    Attributes:
        now: Monotonic seconds; `time()` is `epoch` later.
        epoch: Unix time at which `now` was zero.
    """

    SETTLING_TURNS = 20

    def __init__(self, now: float = 1000.0, epoch: float = 1_700_000_000.0) -> None:
        """Start at `now`; not at zero, so that a forgotten initial value shows."""
        self.now = now
        self.epoch = epoch
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def time(self) -> float:
        """Return unix time."""
        return self.epoch + self.now

    def monotonic(self) -> float:
        """Return the time the test has set."""
        return self.now

    @property
    def sleepers(self) -> int:
        """How many tasks wait for time to move."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), future))
        await future

    def advance(self, seconds: float) -> None:
        """Move time at once; all sleepers that are due wake at the loop's next turn."""
        self.now += seconds
        while self._sleepers and self._sleepers[0][0] <= self.now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    async def run(self, seconds: float) -> None:
        """Move time from deadline to deadline, letting tasks run at each: a loop ticks every time."""
        end = self.now + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.advance(self._sleepers[0][0] - self.now)
            await self._settle()
        self.advance(end - self.now)
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(self.SETTLING_TURNS):
            await asyncio.sleep(0)
