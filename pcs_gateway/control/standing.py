"""
All that the control process knows of each backend, and what follows from it.

The law of this file: a backend is ready when an operator lets it take attempts, its host has an address, its
health checks say healthy and it is not ejected; the first of these that fails, in this order, is the reason.
A backend is known by its pool and URL: under these it keeps what is known through reloads and restarts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from pcs_gateway.backends.backend import AdministrativeState, Backend, Health, HealthStatus
from pcs_gateway.backends.config import BackendConfig, split_backend_url
from pcs_gateway.backends.health import HealthTracker
from pcs_gateway.backends.outlier.repetition import NEVER_EJECTED, Repetition
from pcs_gateway.backends.outlier.ways import Way


class BackendKey(NamedTuple):
    """What a backend is known by."""

    pool: str
    url: str


class Ejection(msgspec.Struct, frozen=True):
    """
    An ejection that is in force.

    Attributes:
        until: Monotonic seconds.
        reason: What traffic proved.
        way: How its attempts failed; None when that is not known any more.
        since: Monotonic seconds.
        before: How often in a row it had been ejected before that.
    """

    until: float
    reason: str
    way: Way | None = None
    since: float = 0.0
    before: Repetition = NEVER_EJECTED


class Standing:
    """
    What is known of one backend; it changes as checks, traffic and operators speak.

    Attributes:
        scheme, host, port: Of its URL.
        config: As configured.
        column: Its column of the scoreboard, and that column's generation.
        tracker: Its health as this process found it.
        held: Health that an earlier process published, shown until the first full round of checks is over.
        weight_override: Instead of the configured weight; None when there is none.
        ejection: None when it is not ejected.
        repetition: How often in a row it was.
        answered: Monotonic seconds at which an attempt was known to have succeeded; 0.0 before the first.
        addresses: Of its host; empty while unresolved.
        unresolved: Why it has no address, as far as is known.
        has_passed: It has passed a check since it, or the gateway, began.
        was_ready: It was ready when that was last noted.
        ready_since: When it became ready, in monotonic seconds; 0.0 when it needs no slow start.
        is_original: It came together with its whole pool, and nothing was against it yet: the first time that
            it becomes ready, all the others are as new.
    """

    __slots__ = (
        "addresses",
        "administrative_state",
        "answered",
        "column",
        "config",
        "ejection",
        "generation",
        "has_passed",
        "held",
        "host",
        "is_original",
        "key",
        "port",
        "ready_since",
        "repetition",
        "scheme",
        "tracker",
        "unresolved",
        "was_ready",
        "weight_override",
    )

    def __init__(self, key: BackendKey, config: BackendConfig) -> None:
        """Begin with a backend that was never heard of."""
        self.key = key
        self.scheme, self.host, self.port = split_backend_url(key.url)
        self.config = config
        self.column = -1
        self.generation = 0
        self.tracker = HealthTracker()
        self.held: Health | None = None
        self.administrative_state = AdministrativeState.ACTIVE
        self.weight_override: int | None = None
        self.ejection: Ejection | None = None
        self.repetition = NEVER_EJECTED
        self.answered = 0.0
        self.addresses: tuple[str, ...] = ()
        self.unresolved = ""
        self.has_passed = self.was_ready = self.is_original = False
        self.ready_since = 0.0

    def __repr__(self) -> str:
        return f"<Standing {self.key.pool}/{self.config.name}: {self.reason() or 'ready'}>"

    @property
    def health(self) -> Health:
        """The health that holds for others."""
        return self.held or self.tracker.health

    @property
    def weight(self) -> int:
        """The share in force."""
        return self.config.weight if self.weight_override is None else self.weight_override

    def reason(self) -> str:
        """Say why it is not ready; empty when it is."""
        return (
            _REFUSALS[self.administrative_state]
            or self._unresolved_reason()
            or _unhealthy_reason(self.health)
            or (f"ejected: {self.ejection.reason}" if self.ejection else "")
        )

    def backend(self) -> Backend:
        """Return it as published."""
        reason = self.reason()
        return Backend(
            pool=self.key.pool,
            name=self.config.name,
            url=self.key.url,
            scheme=self.scheme,
            host=self.host,
            port=self.port,
            addresses=self.addresses,
            weight=self.weight,
            column=self.column,
            generation=self.generation,
            administrative_state=self.administrative_state,
            health=self.health,
            ejected_until=self.ejection.until if self.ejection else 0.0,
            ready=not reason,
            reason=reason,
            priority=self.config.priority,
            has_passed=self.has_passed,
            ready_since=self.ready_since,
        )

    def note_readiness(self, now: float) -> None:
        """Remember when it became ready: slow start begins there, unless it was there from the beginning."""
        is_ready = not self.reason()
        if is_ready and not self.was_ready:
            self.ready_since = 0.0 if self.is_original else now
        if is_ready or self.has_passed:
            self.is_original = False
        self.was_ready = is_ready

    def end_ejection(self, now: float) -> bool:
        """End an ejection whose time is over at `now` (monotonic seconds); return whether there was one."""
        if self.ejection is None or now < self.ejection.until:
            return False
        self.ejection = None
        return True

    def _unresolved_reason(self) -> str:
        if self.addresses:
            return ""
        return self.unresolved or f"{self.host} is not resolved yet"


_REFUSALS: Mapping[AdministrativeState, str] = {
    AdministrativeState.ACTIVE: "",
    AdministrativeState.DRAINING: "draining by order of an operator",
    AdministrativeState.DISABLED: "disabled by order of an operator",
}
"""Why an operator's order keeps a backend from being ready."""


def _unhealthy_reason(health: Health) -> str:
    """Say why health keeps a backend from being ready."""
    if health.status is HealthStatus.HEALTHY:
        return ""
    return f"{health.status}: {health.detail}"
