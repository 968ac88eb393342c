"""The recent past: a ring of steps, each the sum of what was measured in it."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import Final

import msgspec

from pcs_gateway.telemetry.delta import Delta

STEP_SECONDS: Final = 10.0
STEPS: Final = 6
"""Complete steps that are kept, beside the one under way: a minute, so that memory stays small and fixed."""


class Recent(msgspec.Struct, frozen=True):
    """
    What was measured lately.

    Attributes:
        measured: The sum of it.
        seconds: The time that it covers, which is what a rate must be divided by.
    """

    measured: Delta
    seconds: float

    def rate(self, count: int) -> float:
        """Return `count` per second."""
        return count / self.seconds if self.seconds > 0 else 0.0


class Window:
    """
    A ring of steps of equal length. Times are monotonic seconds and never go back.

    Attributes:
        peak_rate: The most exchanges per second of any step that is complete.
    """

    def __init__(self, now: float, step_seconds: float = STEP_SECONDS, steps: int = STEPS) -> None:
        """Begin at `now`, with nothing measured."""
        self.peak_rate = 0.0
        self._began = now
        self._step = step_seconds
        self._steps = steps
        self._number = int(now // step_seconds)
        self._current = Delta()
        self._complete: deque[tuple[int, Delta]] = deque()
        self._sums: dict[int, Delta] = {}  # of complete steps since a number; until the next step is complete

    def __repr__(self) -> str:
        return (
            f"<Window of {self._steps} × {self._step} s, {len(self._complete)} complete, now {self._current}>"
        )

    def add(self, delta: Delta, now: float) -> None:
        """Add what was measured until `now`; `delta` stays as it is."""
        self._advance(now)
        self._current.merge(delta)

    def recent(self, now: float, seconds: float) -> Recent:
        """
        Return what was measured in at least the last `seconds`.

        It covers whole steps and the one under way: up to one step more than asked for; less where the window
        began later than that, or does not reach back so far.
        """
        self._advance(now)
        first = self._number - min(ceil(seconds / self._step), self._steps)
        total = Delta()
        total.merge(self._sum_since(first))
        total.merge(self._current)
        return Recent(total, now - max(first * self._step, self._began))

    def _sum_since(self, first: int) -> Delta:
        if first not in self._sums:
            total = self._sums[first] = Delta()
            for number, measured in self._complete:
                if number >= first:
                    total.merge(measured)
        return self._sums[first]

    def _advance(self, now: float) -> None:
        number = int(now // self._step)
        if number <= self._number:
            return
        self.peak_rate = max(self.peak_rate, self._current.count / self._step)
        self._complete.append((self._number, self._current))
        self._current = Delta()
        self._number = number
        self._sums.clear()
        while self._complete and self._complete[0][0] < number - self._steps:
            self._complete.popleft()
