"""Whom failures speak against: a backend, a request, or a dependency that all backends of a pool share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import structlog

from pcs_gateway.backends.backend import AdministrativeState, HealthStatus
from pcs_gateway.backends.outlier.attribution import (
    ATTRIBUTION_SECONDS,
    SharedFailure,
    SharedFailureWatch,
    is_shared,
)
from pcs_gateway.backends.outlier.detector import OutlierDetector
from pcs_gateway.backends.outlier.ways import Bearing, Way, way_of
from pcs_gateway.clock import Clock
from pcs_gateway.control.roster import Roster
from pcs_gateway.control.standing import Standing
from pcs_gateway.processes.messages import EvidenceEntry

_log = structlog.get_logger()


class Attribution:
    """
    Compares the backends of each pool.

    Attributes:
        failures: How many there were since this process started, by pool and "backend", "request" or
            "shared_dependency".
    """

    def __init__(self, roster: Roster, clock: Clock, detector: Callable[[str], OutlierDetector]) -> None:
        """
        Begin with nothing attributed.

        Args:
            detector: Gives the evidence of a pool.
        """
        self._roster = roster
        self._clock = clock
        self._detector = detector
        self._watches: dict[str, SharedFailureWatch] = {}
        self.failures: dict[tuple[str, ...], int] = {}

    def __repr__(self) -> str:
        shared = [pool for pool in self._watches if self.current(pool)]
        return f"<Attribution, shared failures: {', '.join(shared) or 'none'}>"

    def current(self, pool: str) -> SharedFailure | None:
        """Give the failure that all backends of a pool share now."""
        watch = self._watches.get(pool)
        return watch.current if watch is not None else None

    def count(self, entry: EvidenceEntry) -> None:
        """Count the failures of an entry."""
        current = self.current(entry.pool)
        if current is not None and current.way is way_of(entry.kind):
            whose = "shared_dependency"
        else:
            whose = "request" if entry.bearing is Bearing.REQUEST else "backend"
        key = (entry.pool, whose)
        self.failures[key] = self.failures.get(key, 0) + entry.failures

    def is_shared(self, pool: str, way: Way, since: float, accused: Standing | None = None) -> bool:
        """Tell whether nearly all that take traffic fail in this way, as somebody does since `since`."""
        alike = [True if one is accused else fails for one, fails in self._alike(pool, way, since)]
        return is_shared(sum(alike), len(alike))

    def begin(self, pool: str, way: Way, kind: str) -> bool:
        """All fail alike; return whether that is new."""
        watch = self._watches.setdefault(pool, SharedFailureWatch())
        return watch.begin(SharedFailure(way, self._clock.time(), kind))

    def say_begun(self, pool: str, released: list[str]) -> None:
        """Say once that it began."""
        current = self.current(pool)
        assert current is not None
        _log.warning(
            "shared_failure_began",
            pool=pool,
            kind=current.kind,
            reason="all backends of the pool fail alike: nobody is ejected for it",
            released=released,
        )

    def tick(self) -> None:
        """Say once of each shared failure that it is over."""
        now = self._clock.monotonic()
        for pool, watch in self._watches.items():
            if watch.current is None:
                continue
            alike = [fails for _, fails in self._alike(pool, watch.current.way, now)]
            over = watch.look(alike, now)
            if over is not None:
                _log.info(
                    "shared_failure_ended",
                    pool=pool,
                    kind=over.kind,
                    seconds=round(self._clock.time() - over.began, 1),
                )

    def keep(self, pools: Collection[str]) -> None:
        """Forget pools that are no longer configured."""
        self._watches = {pool: watch for pool, watch in self._watches.items() if pool in pools}

    def was_ejected_for(self, standing: Standing, way: Way) -> bool:
        """Tell whether a backend was ejected lately for failing in this way."""
        ejection, now = standing.ejection, self._clock.monotonic()
        return ejection is not None and ejection.way == way and now - ejection.since <= ATTRIBUTION_SECONDS

    def _alike(self, pool: str, way: Way, since: float) -> Iterator[tuple[Standing, bool]]:
        """Give the backends that are to take traffic, and whether they fail in this way."""
        now = self._clock.monotonic()
        detector = self._detector(pool)
        for standing in self._roster.members(pool):
            is_meant = (
                standing.administrative_state is AdministrativeState.ACTIVE
                and standing.health.status is HealthStatus.HEALTHY
            )
            if standing.ejection is not None:
                ejection = standing.ejection
                if ejection.way == way and ejection.since >= min(since, now - ATTRIBUTION_SECONDS):
                    yield standing, True
            elif is_meant:
                alikeness = detector.alikeness(standing.key.url)
                yield standing, alikeness is not None and alikeness.is_of(way, since, now)
