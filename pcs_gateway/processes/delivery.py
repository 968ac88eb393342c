"""
Exactly once: how deltas of measurements cross a channel that may break at any byte. Pure.

The law of this file: a worker has at most one delta under way; it sends that again, unchanged and with the
same sequence number, on each new connection until it is acknowledged, and meanwhile merges what it measures
into one waiting delta. The control process adds a delta only when its number is greater than the last one it
added of that incarnation, and acknowledges it in either case.
"""

from __future__ import annotations

from collections.abc import Collection

from pcs_gateway.processes.messages import Measurements
from pcs_gateway.telemetry.delta import Delta


class Outbox:
    """What a worker measured and the control process has not yet said to have added."""

    __slots__ = ("_sequence", "_waiting", "under_way")

    def __init__(self) -> None:
        self._sequence = 0
        self._waiting: Delta | None = None
        self.under_way: Measurements | None = None

    def __repr__(self) -> str:
        under_way = f"{self.under_way.sequence} under way" if self.under_way else "nothing under way"
        return f"<Outbox: {under_way}, waiting: {self._waiting!r}>"

    @property
    def is_empty(self) -> bool:
        """Whether everything measured was added."""
        return self._waiting is None and self.under_way is None

    def add(self, delta: Delta) -> None:
        """Take over a delta."""
        if delta.is_empty():
            return
        if self._waiting is None:
            self._waiting = delta
        else:
            self._waiting.merge(delta)

    def send_next(self) -> Measurements | None:
        """The next message to send; none while one is under way or nothing waits."""
        if self.under_way is not None or self._waiting is None:
            return None
        self._sequence += 1
        self.under_way = Measurements(self._sequence, self._waiting)
        self._waiting = None
        return self.under_way

    def acknowledge(self, sequence: int) -> None:
        """The control process added this one."""
        if self.under_way is not None and self.under_way.sequence == sequence:
            self.under_way = None


class Inbox:
    """Which delta of each worker was added last."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Inbox: last sequence by incarnation {self._last}>"

    def is_new(self, incarnation: int, sequence: int) -> bool:
        """Whether this delta must be added; from now on it counts as added."""
        if sequence <= self._last.get(incarnation, 0):
            return False
        self._last[incarnation] = sequence
        return True

    def forget_all_but(self, living: Collection[int]) -> None:
        """Forget the incarnations that are gone."""
        self._last = {one: last for one, last in self._last.items() if one in living}
