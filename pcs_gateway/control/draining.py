"""Waiting until a backend that takes no new attempts is empty."""

from __future__ import annotations

from typing import Protocol

import msgspec

from pcs_gateway.backends.backend import AdministrativeState
from pcs_gateway.clock import Clock
from pcs_gateway.control.standing import Standing

LOOK_EVERY_SECONDS = 0.02
"""How often the scoreboard is read while somebody waits."""


class Emptying(Protocol):
    """What tells whether a backend is empty."""

    def in_flight(self, column: int) -> int:
        """Return the attempts in flight on one backend, over all processes."""
        ...

    def acknowledged_by_all(self) -> int:
        """Return the version that every living worker has acknowledged."""
        ...


class DrainReport(msgspec.Struct, frozen=True):
    """
    How a wait for an empty backend ended.

    Attributes:
        empty: Nothing is in flight, and no worker can begin anything.
        in_flight: Attempts under way when the wait ended.
        waited: In seconds.
        reason: Why it is not known to be empty; empty when it is.
    """

    empty: bool
    in_flight: int
    waited: float
    reason: str = ""


async def wait_until_empty(
    standing: Standing, version: int, timeout: float, emptying: Emptying, clock: Clock
) -> DrainReport:
    """
    Wait until nothing is in flight on a backend.

    A count of zero means nothing before every worker has acknowledged `version`, the first one in which the
    backend takes no attempts: until then each may begin one.

    Args:
        standing: The backend.
        version: Of the publication that drains it.
        timeout: In seconds.
        emptying: The scoreboard and the channel.
        clock: For the waiting.
    """
    started = clock.monotonic()
    while True:
        is_known = emptying.acknowledged_by_all() >= version
        in_flight = emptying.in_flight(standing.column)
        waited = clock.monotonic() - started
        if is_known and in_flight == 0:
            return DrainReport(True, 0, waited)
        if standing.administrative_state is AdministrativeState.ACTIVE:
            return DrainReport(False, in_flight, waited, "it was enabled again meanwhile")
        if waited >= timeout:
            why = f"{in_flight} in flight" if in_flight else "not every worker has acknowledged it yet"
            return DrainReport(False, in_flight, waited, why)
        await clock.sleep(min(LOOK_EVERY_SECONDS, timeout - waited))
