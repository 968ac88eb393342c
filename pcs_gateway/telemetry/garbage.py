"""Pauses of the garbage collector, counted where they are long enough to be seen by a client."""

from __future__ import annotations

import gc
from collections.abc import Callable

from pcs_gateway.telemetry.delta import Event
from pcs_gateway.telemetry.histogram import NANOSECONDS


class GarbageWatch:
    """
    Counts collections that took longer than a threshold.

    Call `start` once, and `stop` when the process ends.
    """

    def __init__(
        self,
        count: Callable[[str, int], None],
        monotonic: Callable[[], float],
        threshold_seconds: float = 0.005,
    ) -> None:
        self._count = count
        self._monotonic = monotonic
        self._threshold = threshold_seconds
        self._began = 0.0

    def start(self) -> None:
        """Watch every collection from now on."""
        gc.callbacks.append(self._observe)

    def stop(self) -> None:
        """Watch no longer."""
        gc.callbacks.remove(self._observe)

    def _observe(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = self._monotonic()
            return
        pause = self._monotonic() - self._began
        if pause > self._threshold:
            self._count(Event.GC_PAUSES, 1)
            self._count(Event.GC_PAUSE_NANOSECONDS, round(pause * NANOSECONDS))
