"""
Short delays without a loop timer each: one queue for each length of delay, one timer for the earliest of all.

Delays of one class end in the order in which they began, so a class is a plain queue. Time-outs (a second and
more) are deadlines compared by the worker's sweep and do not come here; the pause before a retry does, also
where a backend asked for whole seconds of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Delay:
    """One running delay; cancelling it forgets its callback."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the callback; cancelling again does nothing."""
        self.callback = None


class Delays:
    """All short delays of a worker; late by at most the loop's timer resolution."""

    __slots__ = ("_armed_for", "_loop", "_now", "_queues", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], float]) -> None:
        self._loop = loop
        self._now = now
        self._queues: dict[float, deque[Delay]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0.0

    def __len__(self) -> int:
        return sum(delay.callback is not None for queue in self._queues.values() for delay in queue)

    def start(self, seconds: float, callback: Callable[[], None]) -> Delay:
        """Call `callback` once after `seconds`, unless the delay is cancelled."""
        now = self._now()
        delay = Delay(now + seconds, callback)
        self._queues.setdefault(seconds, deque()).append(delay)
        if self._timer is None or delay.due < self._armed_for:
            self._arm(delay.due, now)
        return delay

    def _arm(self, due: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = due
        self._timer = self._loop.call_later(max(due - now, 0.0), self.run_due)

    def _is_armed(self, due: float) -> bool:
        return self._timer is not None and self._armed_for <= due

    def run_due(self) -> None:
        """Call what is due; the loop's timer does, at the earliest of all times."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            self._call_due(self._now())
        finally:
            # a fault in one callback must not keep the others waiting
            self._arm_for_earliest()

    def _call_due(self, now: float) -> None:
        for queue in list(self._queues.values()):
            while queue and (queue[0].callback is None or queue[0].due <= now):
                callback = queue.popleft().callback
                if callback is not None:
                    callback()

    def _arm_for_earliest(self) -> None:
        self._queues = {seconds: queue for seconds, queue in self._queues.items() if queue}
        if self._queues:
            # a callback may have armed the timer for a delay of its own, which need not be the earliest
            earliest = min(queue[0].due for queue in self._queues.values())
            if not self._is_armed(earliest):
                self._arm(earliest, self._now())
