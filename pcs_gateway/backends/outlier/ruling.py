"""
Whether who is accused is ejected.

The law of this file:

- an ejection ends by time, and by recovery: health checks had found the backend unhealthy, and find it
  healthy again. A check that passes does not end it otherwise: shallow checks pass on black holes;
- the last ready backend of a pool is never ejected, so a pool with a single backend never loses it;
- at most `max_ejected` of the active backends are ejected, rounded down; but one always may be, unless
  `max_ejected` is 0;
- nobody is ejected for what all backends do alike.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from pcs_gateway.backends.outlier.ways import Way


class Cause(StrEnum):
    """What an accusation is based on; the key of the configuration that asks for it."""

    CONSECUTIVE_FAILURES = "consecutive_failures"
    FAILURE_RATIO = "failure_ratio"
    SUCCESS_RATE = "success_rate"


class Objection(StrEnum):
    """Why somebody who is accused is spared."""

    LAST_READY = "last_ready"
    MAX_EJECTED = "max_ejected"
    CONTRADICTED = "contradicted"
    SHARED_DEPENDENCY = "shared_dependency"


class Accusation(msgspec.Struct, frozen=True):
    """
    Enough evidence against a backend to be ruled upon.

    Attributes:
        seen: What was seen, for people.
        way: How most of its attempts failed.
        since: Monotonic seconds from which on it fails.
        agreed: No worker saw a success between the failures.
    """

    cause: Cause
    seen: str
    way: Way
    since: float
    agreed: bool = True


class PoolStanding(msgspec.Struct, frozen=True):
    """
    What a ruling has to know of the pool.

    Attributes:
        active: How many backends the operator lets take attempts.
        ejected: How many of them are ejected now.
        ready_others: How many are ready besides the accused one.
        is_shared: All of them fail alike.
    """

    active: int
    ejected: int
    ready_others: int
    is_shared: bool = False


class Ruling(msgspec.Struct, frozen=True):
    """
    The answer to an accusation.

    Attributes:
        reason: What was seen, and why the backend is spared when it is.
        objection: None when it is ejected.
    """

    reason: str
    objection: Objection | None = None

    @property
    def ejected(self) -> bool:
        """Whether the backend is to take no attempts for a while."""
        return self.objection is None


def rule(accusation: Accusation, pool: PoolStanding, max_ejected: float) -> Ruling:
    """Eject the accused, or say why not."""
    objection = objection_to_ejecting(pool, max_ejected)
    if objection is not Objection.SHARED_DEPENDENCY and not accusation.agreed:
        objection = Objection.CONTRADICTED
    if objection is None:
        return Ruling(accusation.seen)
    return Ruling(f"{accusation.seen}; spared: {_explain(objection, pool, max_ejected)}", objection)


def objection_to_ejecting(pool: PoolStanding, max_ejected: float) -> Objection | None:
    """
    Say why no further backend of the pool may be ejected; None when one may.

    The share `max_ejected`, 0 to 1, is rounded down, but allows at least one backend unless it is 0.
    """
    if pool.is_shared:
        return Objection.SHARED_DEPENDENCY
    if pool.ready_others == 0:
        return Objection.LAST_READY
    allowed = max(1, int(max_ejected * pool.active)) if max_ejected > 0 else 0
    return Objection.MAX_EJECTED if pool.ejected >= allowed else None


def _explain(objection: Objection, pool: PoolStanding, max_ejected: float) -> str:
    if objection is Objection.SHARED_DEPENDENCY:
        return "all backends of the pool fail alike"
    if objection is Objection.CONTRADICTED:
        return "other workers saw it succeed"
    if objection is Objection.LAST_READY:
        return "no other backend of the pool is ready"
    return f"{pool.ejected} of {pool.active} are ejected already (max_ejected {max_ejected:g})"
