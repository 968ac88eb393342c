"""From workers' evidence to ejections: every streak of failures is answered, if only by "not ejected"."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from pcs_gateway.backends.backend import AdministrativeState
from pcs_gateway.backends.outlier import OutlierDetector, PoolStanding, Report, Ruling, rule
from pcs_gateway.clock import Clock
from pcs_gateway.control.roster import Roster, UnknownBackendError
from pcs_gateway.control.standing import Ejection, Standing
from pcs_gateway.processes.messages import EvidenceEntry, Verdict

_log = structlog.get_logger()


class Ejector:
    """
    Judges evidence.

    Attributes:
        ejections: How many there were since this process started, by pool and backend.
    """

    def __init__(
        self,
        roster: Roster,
        clock: Clock,
        tell: Callable[[Verdict], None],
        changed: Callable[[Iterable[Standing]], None],
    ) -> None:
        """
        Begin without evidence.

        Args:
            roster: Who may be ejected.
            clock: For the end of ejections.
            tell: Gives a verdict to all workers.
            changed: Publishes backends that were ejected.
        """
        self._roster = roster
        self._clock = clock
        self._tell = tell
        self._changed = changed
        self._detectors: dict[str, OutlierDetector] = {}
        self.ejections: dict[tuple[str, ...], int] = {}

    def __repr__(self) -> str:
        return f"<Ejector: {sum(self.ejections.values())} ejections>"

    def judge(self, worker: int, entries: Iterable[EvidenceEntry]) -> None:
        """Take what one worker (its row) saw, oldest first."""
        for entry in entries:
            try:
                standing = self._roster.find(entry.pool, entry.backend)
            except UnknownBackendError:
                continue  # a reload removed it while the evidence was under way
            if standing.ejection is None:
                self._weigh(standing, worker, entry)

    def keep(self, pools: Iterable[str]) -> None:
        """Forget the evidence of pools that are no longer configured."""
        self._detectors = {pool: self._detectors[pool] for pool in pools if pool in self._detectors}

    def _weigh(self, standing: Standing, worker: int, entry: EvidenceEntry) -> None:
        """Add one entry to the evidence, and act on the ruling if there is one."""
        detector = self._detectors.setdefault(entry.pool, OutlierDetector())
        report = Report(worker, standing.key.url, entry.failures, entry.succeeded, entry.kind)
        config = self._roster.pools[entry.pool].outlier_detection
        accusation = detector.observe(report, config)
        if accusation is not None:
            now, pool = self._clock.monotonic(), self._pool_standing(standing)
            self._carry_out(standing, rule(accusation, now, pool, config))

    def _carry_out(self, standing: Standing, ruling: Ruling) -> None:
        """Eject or spare, and say so."""
        pool, backend = standing.key.pool, standing.config.name
        if ruling.ejected:
            standing.ejection = Ejection(ruling.ejected_until, ruling.reason)
            seconds = ruling.ejected_until - self._clock.monotonic()
            self.ejections[pool, backend] = self.ejections.get((pool, backend), 0) + 1
            _log.warning(
                "backend_ejected", pool=pool, backend=backend, reason=ruling.reason, seconds=round(seconds, 3)
            )
            self._changed([standing])
        else:
            _log.warning("backend_not_ejected", pool=pool, backend=backend, reason=ruling.reason)
        self._tell(Verdict(pool, backend, ruling.ejected))

    def _pool_standing(self, accused: Standing) -> PoolStanding:
        """Count what the ruling depends on."""
        members = self._roster.members(accused.key.pool)
        active = [one for one in members if one.administrative_state is AdministrativeState.ACTIVE]
        return PoolStanding(
            active=len(active),
            ejected=sum(one.ejection is not None for one in active),
            ready_others=sum(one is not accused and not one.reason() for one in members),
        )
