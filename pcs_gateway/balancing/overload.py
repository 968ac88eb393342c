"""
When a line of waiting requests is overloaded, and when who was shed may come again: pure decisions.

A queue that empties from time to time takes up a burst: who waits in it is served soon. One that was never
empty for `STANDING_SECONDS` stands: it only adds to everybody's duration what the backends cannot catch up
with. Then waiting is bounded by a much shorter time, and the newest goes first, because its client is the
surest to be still there (Nichols and Jacobson's CoDel, and adaptive LIFO, as Facebook combines them).

Two things are added to that rule. Where one attempt takes longer than `STANDING_SECONDS`, a queue stands only
after the time of an attempt: before, no backend can have become free, however little there is to do. And an
overload is not over at the first moment without a waiter: with a short bound there is one every now and then
while twice as much is asked for as can be done.
"""

from __future__ import annotations

from math import inf
from typing import Final

STANDING_SECONDS: Final = 0.1
"""A queue that was not empty for this long stands."""

CALM_SHARE: Final = 0.25
"""Share of that time for which nobody has to wait until an overload is over."""


class Overload:
    """
    Whether one line of waiting requests is overloaded. Times are monotonic seconds.

    Attributes:
        standing: Seconds after which a queue that was never empty stands.
    """

    __slots__ = ("_busy_since", "_empty_since", "_since", "standing")

    def __init__(self) -> None:
        self.standing = STANDING_SECONDS
        self._busy_since = inf
        self._empty_since = -inf
        self._since = inf

    def __repr__(self) -> str:
        return f"<Overload: since {self._since}, waiters since {self._busy_since}>"

    def filled(self, now: float) -> None:
        """The first request waits."""
        self.is_on(now)
        self._busy_since = now

    def emptied(self, now: float) -> None:
        """Nobody waits any more."""
        self.is_on(now)
        self._busy_since = inf
        self._empty_since = now

    def is_on(self, now: float) -> bool:
        """Whether the line is overloaded."""
        if self._since == inf:
            if now - self._busy_since >= self.standing:
                self._since = now
        elif self._busy_since == inf and now - self._empty_since >= self.standing * CALM_SHARE:
            self._since = inf
        return self._since != inf

    def lasted(self, now: float) -> float:
        """Seconds that the current overload has lasted; 0.0 when there is none."""
        return now - self._since if self.is_on(now) else 0.0


SECONDS_PER_SECOND: Final = 10.0
"""For each ten seconds that an overload has lasted, shed clients are asked to stay away for one more."""

LONGEST_RETRY_AFTER: Final = 10


def retry_after(lasted: float, chance: float) -> int:
    """
    Say after how many seconds a shed client may come again.

    Those who were shed together must not come back together, and the longer an overload lasts, the less
    it helps to try again soon: 1 or 2 seconds at first, from 1 to 10 later.

    Args:
        lasted: Seconds that the overload has lasted.
        chance: From 0 up to and without 1, drawn anew for each client.
    """
    most = min(2 + int(lasted / SECONDS_PER_SECOND), LONGEST_RETRY_AFTER)
    return 1 + int(chance * most)
