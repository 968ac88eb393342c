"""All that was measured, as the control process knows it: since its start, and lately."""

from __future__ import annotations

from typing import Final

from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.window import Recent, Window

REMEMBERED_WORKERS: Final = 256
"""Far more than ever run at once: a worker that is forgotten has been gone for long."""


class MeasurementStore:
    """
    Adds up the deltas of all workers, each exactly once.

    Times are monotonic seconds.

    Attributes:
        totals: Everything since the start of this process. Not to be changed by readers.
        window: The last minute.
    """

    def __init__(self, now: float) -> None:
        self.totals = Delta()
        self.window = Window(now)
        self._last_sequence: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<MeasurementStore of {len(self._last_sequence)} workers, {self.totals}>"

    def add(self, incarnation: int, sequence: int, delta: Delta, now: float) -> bool:
        """
        Add a delta, unless it was added before.

        Args:
            incarnation: The worker's, which no other worker ever has.
            sequence: 1, 2, 3 … of that worker's deltas; one that is sent again has the same number.

        Returns:
            Whether it was added.
        """
        last = self._last_sequence.pop(incarnation, 0)
        self._last_sequence[incarnation] = max(last, sequence)
        if len(self._last_sequence) > REMEMBERED_WORKERS:
            del self._last_sequence[next(iter(self._last_sequence))]
        if sequence <= last:
            return False
        self.totals.merge(delta)
        self.window.add(delta, now)
        return True

    def recent(self, now: float, seconds: float = 60.0) -> Recent:
        """Return what was measured in the last `seconds`; see `Window.recent`."""
        return self.window.recent(now, seconds)
