"""
The only reader of clocks.

Whatever decides takes `now` as a value; whatever drives holds a `Clock`. So a test moves time
instead of waiting for it, and no decision depends on the machine's idea of the hour.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Time as the gateway sees it. All values are seconds."""

    def time(self) -> float:
        """Return unix time: for people, logs and files; it may jump."""
        ...

    def monotonic(self) -> float:
        """Return time that never goes back: for durations and deadlines, within one machine."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; at the next turn of the loop when that is zero or less."""
        ...


class SystemClock:
    """The machine's clocks."""

    # the C functions themselves: on the data path a frame of ours would cost more than the call
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)  # last: from here on the name is this one

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of the event loop's time."""
        await asyncio.sleep(max(seconds, 0.0))
