"""
One backend as every process knows it: an immutable value published by the control process.

Three facts are kept apart, because three parties own them: *health* (what the checks found),
*administrative state* (what an operator ordered) and *ejection* (what traffic proved).
`ready` is their conjunction, judged once, by the control process.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class HealthStatus(StrEnum):
    """What the health checks say of a backend."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class AdministrativeState(StrEnum):
    """What an operator ordered; independent of health."""

    ACTIVE = "active"
    DRAINING = "draining"
    DISABLED = "disabled"


class Health(msgspec.Struct, frozen=True):
    """
    The last known result of checking a backend.

    Attributes:
        status: healthy, unhealthy or unknown (never checked, or the last check is too old).
        last_check: When the last check ended, in unix seconds; 0.0 when there was none.
        detail: One line about the last check, for operators and for the 503 answer.
    """

    status: HealthStatus = HealthStatus.UNKNOWN
    last_check: float = 0.0
    detail: str = "not checked yet"


class Backend(msgspec.Struct, frozen=True):
    """
    One server that can take attempts, as published.

    Attributes:
        addresses: IP literals of `host`, as resolved by the control process; empty while unresolved.
        weight: Configured or overridden share, 1 to 1000.
        column: Its column of the scoreboard, valid together with `generation`.
        ejected_until: Monotonic seconds; 0.0 when it is not ejected.
        ready: May take attempts: active, healthy, not ejected and resolved.
        reason: Why it is not ready; empty when it is.
        priority: Its level: those of a higher number take what the lower ones cannot.
        has_passed: It has passed a check at some time, so that it is known to be a backend at all.
        ready_since: Monotonic seconds at which it became ready; 0.0 when it needs no slow start, because it
            was there from the beginning.
    """

    pool: str
    name: str
    url: str
    scheme: str
    host: str
    port: int
    addresses: tuple[str, ...]
    weight: int
    column: int
    generation: int
    administrative_state: AdministrativeState = AdministrativeState.ACTIVE
    health: Health = Health()
    ejected_until: float = 0.0
    ready: bool = False
    reason: str = "not checked yet"
    priority: int = 0
    has_passed: bool = False
    ready_since: float = 0.0

    @property
    def is_forgivable(self) -> bool:
        """If it is not ready, only failed checks or an ejection are the cause: what a panic ignores."""
        is_active = self.administrative_state is AdministrativeState.ACTIVE
        return is_active and self.has_passed and bool(self.addresses)
