"""
What the supervisor decides about the processes it watches: pure, from times to verdicts.

All times are seconds of the machine's monotonic clock, which every process reads alike.
"""

from __future__ import annotations

from typing import Final

LONGEST_DELAY: Final = 30.0
"""Seconds between restarts of something that dies again and again."""

ABSENT_AFTER: Final = 1.0
"""Seconds between two looks after which the supervisor itself was away; it looks four times a second."""


def restart_delay(early_deaths: int) -> float:
    """Seconds until the next start after so many early deaths in a row: 0, then 1, 2, 4 … 30."""
    if early_deaths == 0:
        return 0.0
    return min(2.0 ** min(early_deaths - 1, 10), LONGEST_DELAY)


class Vigil:
    """
    Judges silence, and forgives all of it for the time in which the supervisor itself was away.

    A machine that was suspended, a container that was paused or a supervisor that was stopped sees every
    heartbeat as old as its own absence; after that each process gets its full time anew.
    """

    __slots__ = ("_looked", "_since")

    def __init__(self, now: float) -> None:
        self._looked = now
        self._since = now

    def look(self, now: float) -> bool:
        """Begin a round of judging; return whether the supervisor was away before it."""
        was_away = now - self._looked > ABSENT_AFTER
        if was_away:
            self._since = now
        self._looked = now
        return was_away

    def is_silent(self, now: float, last_sign: float, allowed: float) -> bool:
        """Whether nothing was seen for longer than allowed; `last_sign` is a heartbeat, or the start."""
        return now - max(last_sign, self._since) > allowed
