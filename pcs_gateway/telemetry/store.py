"""All that was measured, as the control process knows it: since its start, and lately."""

from __future__ import annotations

from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.window import Recent, Window


class MeasurementStore:
    """
    Adds up the deltas of all workers. The channel sees to it that each comes once.

    Times are monotonic seconds.

    Attributes:
        totals: Everything since the start of this process. Not to be changed by readers.
        window: The last minute.
    """

    def __init__(self, now: float) -> None:
        self.totals = Delta()
        self.window = Window(now)

    def __repr__(self) -> str:
        return f"<MeasurementStore: {self.totals} in all>"

    def add(self, delta: Delta, now: float) -> None:
        """Add what a worker measured until `now`; `delta` stays as it is."""
        self.totals.merge(delta)
        self.window.add(delta, now)

    def recent(self, now: float, seconds: float = 60.0) -> Recent:
        """Return what was measured in the last `seconds`; see `Window.recent`."""
        return self.window.recent(now, seconds)
