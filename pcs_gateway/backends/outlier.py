"""
What traffic proves about a backend: consecutive gateway failures eject it for a while.

Workers report how their attempts ended; here the control process adds the reports of all workers up and
rules. A worker that by itself saw enough failures in a row already skips the backend and waits for the
ruling, so every such streak is answered, also with "not ejected".

The law of this file:

- a gateway failure is one that speaks against the backend's host: no connection, a reset, a time-out, a
  malformed response, 502, 503 or 504. A plain 500 is none: PCS answers it for clients' mistakes too;
- one success, seen by any worker, ends the streak of all;
- an ejection ends by time, and by recovery: health checks had found the backend unhealthy, and find it
  healthy again. A check that passes does not end it otherwise: shallow checks pass on black holes;
- the last ready backend of a pool is never ejected, so a pool with a single backend never loses it;
- at most `max_ejected` of the active backends are ejected, rounded down; but one always may be, unless
  `max_ejected` is 0.
"""

from __future__ import annotations

import msgspec

from pcs_gateway.backends.config import OutlierDetectionConfig


class Report(msgspec.Struct, frozen=True):
    """
    What one worker saw of one backend since its last report.

    Attributes:
        worker: Row of the worker in the scoreboard.
        failures: Gateway failures in a row.
        succeeded: An attempt succeeded after them.
        kind: How the last of them failed, in a word; empty when there were none.
    """

    worker: int
    backend: str
    failures: int = 0
    succeeded: bool = False
    kind: str = ""


class PoolStanding(msgspec.Struct, frozen=True):
    """
    What a ruling has to know of the pool.

    Attributes:
        active: How many backends the operator lets take attempts.
        ejected: How many of them are ejected now.
        ready_others: How many are ready besides the accused one.
    """

    active: int
    ejected: int
    ready_others: int


class Accusation(msgspec.Struct, frozen=True):
    """
    A streak of failures that is long enough to be ruled upon.

    Attributes:
        seen: What was seen, for people.
        agreed: No worker saw a success between the failures.
    """

    seen: str
    agreed: bool


class Ruling(msgspec.Struct, frozen=True):
    """
    The answer to an accusation.

    Attributes:
        ejected_until: Monotonic seconds; 0.0 when the backend is not ejected.
        reason: What was seen, and why the backend is spared when it is.
    """

    ejected_until: float
    reason: str

    @property
    def ejected(self) -> bool:
        """Whether the backend takes no attempts for now."""
        return self.ejected_until > 0.0


class OutlierDetector:
    """The evidence of one pool: failures in a row per backend, over all workers and as each saw it."""

    __slots__ = ("_common", "_own")

    def __init__(self) -> None:
        self._common: dict[str, int] = {}
        self._own: dict[tuple[str, int], int] = {}

    def __repr__(self) -> str:
        return f"<OutlierDetector, failures in a row: {self._common}>"

    def observe(self, report: Report, config: OutlierDetectionConfig) -> Accusation | None:
        """
        Add a report about a backend that is not ejected.

        Returns:
            An accusation when the workers together, or this worker alone, saw `consecutive_failures`.
        """
        common, own = self._count(report)
        if config.consecutive_failures == 0 or own + common == 0:
            return None
        if common >= config.consecutive_failures:
            self.forget(report.backend)
            last = f", the last one: {report.kind}" if report.kind else ""
            return Accusation(f"{common} gateway failures in a row{last}", agreed=True)
        if own >= config.consecutive_failures:
            self._own.pop((report.backend, report.worker))
            return Accusation(f"{own} gateway failures in a row at one worker", agreed=False)
        return None

    def forget(self, backend: str) -> None:
        """Drop what is known about a backend: it was ruled upon, or it is gone."""
        self._common.pop(backend, None)
        for key in [key for key in self._own if key[0] == backend]:
            del self._own[key]

    def _count(self, report: Report) -> tuple[int, int]:
        """Failures in a row after this report: as all workers saw it, and as the reporting one did."""
        own_key = (report.backend, report.worker)
        if report.succeeded:
            self._common.pop(report.backend, None)
            self._own.pop(own_key, None)
            return 0, 0
        self._common[report.backend] = self._common.get(report.backend, 0) + report.failures
        self._own[own_key] = self._own.get(own_key, 0) + report.failures
        return self._common[report.backend], self._own[own_key]


def rule(accusation: Accusation, now: float, pool: PoolStanding, config: OutlierDetectionConfig) -> Ruling:
    """Eject the accused at `now` (monotonic seconds), or say why not."""
    objection = (
        objection_to_ejecting(pool, config.max_ejected)
        if accusation.agreed
        else "other workers saw it succeed"
    )
    if objection:
        return Ruling(0.0, f"{accusation.seen}; spared: {objection}")
    return Ruling(now + config.base_ejection, accusation.seen)


def objection_to_ejecting(pool: PoolStanding, max_ejected: float) -> str:
    """
    Say why no further backend of the pool may be ejected; empty when one may.

    The share `max_ejected`, 0 to 1, is rounded down, but allows at least one backend unless it is 0.
    """
    if pool.ready_others == 0:
        return "no other backend of the pool is ready"
    allowed = max(1, int(max_ejected * pool.active)) if max_ejected > 0 else 0
    if pool.ejected >= allowed:
        return f"{pool.ejected} of {pool.active} are ejected already (max_ejected {max_ejected:g})"
    return ""
