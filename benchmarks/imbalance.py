"""
How unevenly work stood on the backends: the time average of (max - min) in flight per weight.

Counted exactly, from event to event, by whoever sees every arrival and departure: the backends
themselves, when they live in one process.
"""

from collections.abc import Sequence


class Imbalance:
    """
    Integrates the gap over time.

    Times are seconds on any clock that does not run backwards; they are given, never read here.
    """

    def __init__(self, weights: Sequence[float], now: float) -> None:
        self._weights = tuple(weights)
        self._in_flight = [0] * len(weights)
        self._begun = now
        self._last = now
        self._gap = 0.0
        self._area = 0.0

    @property
    def in_flight(self) -> tuple[int, ...]:
        """What is in flight now, backend by backend."""
        return tuple(self._in_flight)

    def change(self, index: int, step: int, now: float) -> None:
        """Note that `step` (1 or -1) exchanges began at or left a backend."""
        self._advance(now)
        self._in_flight[index] += step
        loads = [count / weight for count, weight in zip(self._in_flight, self._weights, strict=True)]
        self._gap = max(loads) - min(loads)

    def average(self, now: float) -> float:
        """Return the time average since the beginning or the last restart; 0 when no time passed."""
        self._advance(now)
        elapsed = now - self._begun
        return self._area / elapsed if elapsed > 0 else 0.0

    def restart(self, now: float) -> None:
        """Forget the past; what is in flight stays."""
        self._begun = self._last = now
        self._area = 0.0

    def _advance(self, now: float) -> None:
        self._area += self._gap * (now - self._last)
        self._last = now
