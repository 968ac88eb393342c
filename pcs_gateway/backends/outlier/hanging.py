"""
Attempts that get no answer while other backends give theirs.

A backend that accepts and never answers would cost `timeouts.response_head` for each request until enough of
them have timed out. It shows much earlier: it falls silent while attempts wait for it, and the others go on.
What is long is measured against the others, since nobody configured it; by Little's law the mean time in
flight is attempts in flight divided by answers per second, so no attempt needs to be timed.

The law of this file:

- a backend is *silent* when at least two attempts of this worker, and five of all workers, wait for it, none
  of them new, and it gave no answer for several times as long as others take, while at least half of the
  others did. Those others are the ready ones that answered lately, or that attempts wait for now: who had
  nothing to do, as a standby or behind a hash, shows nothing by its silence;
- silence suspends it: no new attempts until it answers, or for a second after nobody waits any more. It is
  no evidence yet, as a backend may pause;
- an attempt that waits for more than a second at a silent backend, and longer than what this pool was seen to
  take, is a failure, although its time-out is not over.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

LEAST_PATIENCE = 0.1
"""Seconds of silence that say nothing yet: as long as the pause between two looks."""

PATIENCE_FACTOR = 4.0
"""How many times as long as others' attempts take on average."""

FAILED_SECONDS = 1.0
"""From here on an attempt that waits can count as failed."""

SUSPENDED_SECONDS = 1.0
"""How long a suspension holds unless it is renewed."""

LEAST_WAITING = 2
"""Attempts of this worker that wait."""

LEAST_IN_FLIGHT = 5
"""Attempts of all workers."""

SLOWEST_SECONDS = 600.0
"""How long the slowest answer is remembered."""

_MEMORY = 0.9
"""What is kept of the past with each look: about a second of it, with ten looks a second."""


class Pace:
    """
    How one backend answers one worker.

    Attributes:
        answered_before: Monotonic seconds of the last look that saw an answer.
        answered_after: Of the look before that: the answer came between them.
    """

    __slots__ = ("_answers", "_busy", "answered_after", "answered_before")

    def __init__(self) -> None:
        self.answered_after = self.answered_before = 0.0
        self._answers = 0.0
        self._busy = 0.0

    def look(self, answers: int, in_flight: int, seconds: float, now: float) -> None:
        """Note the answers of the last `seconds` before `now`, and what is in flight now."""
        if answers:
            self.answered_after = now - seconds
            self.answered_before = now
        self._answers = self._answers * _MEMORY + answers
        self._busy = self._busy * _MEMORY + in_flight * seconds

    def mean(self) -> float | None:
        """Give the mean seconds in flight; None when nothing was answered lately."""
        return self._busy / self._answers if self._answers > 0.1 else None


def patience(others: Sequence[Pace]) -> float | None:
    """Give the seconds after which silence means something; None while no other backend answers."""
    means = [mean for pace in others if (mean := pace.mean()) is not None]
    return max(LEAST_PATIENCE, PATIENCE_FACTOR * median(means)) if means else None


def is_silent(
    pace: Pace,
    waiting_since: Sequence[float],
    in_flight: int,
    others: Sequence[Pace],
    now: float,
    seconds: float,
) -> bool:
    """
    Tell whether a backend is silent while at least half of the others are not.

    Args:
        waiting_since: Since when each attempt of this worker waits for it.
        in_flight: Attempts of all workers.
        others: Of the backends that have work.
        seconds: The `patience`.
    """
    old = sum(now - since >= seconds for since in waiting_since)
    if old < LEAST_WAITING or in_flight < LEAST_IN_FLIGHT or now - pace.answered_before < seconds:
        return False
    # what was under way when everything stopped proves nothing: others must have answered well after
    well_after = min(waiting_since) + seconds / 2
    return 2 * sum(other.answered_after >= well_after for other in others) >= len(others)


def failed_after(seconds: float, slowest: float) -> float:
    """Give the seconds after which an attempt at a silent backend counts as failed."""
    return max(FAILED_SECONDS, seconds, 2 * slowest)
