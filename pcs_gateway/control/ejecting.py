"""
From workers' evidence to ejections: every accusation is answered, if only by "not ejected".

Who is accused is heard only after a moment: what other workers saw meanwhile is still under way, and may show
that all backends fail alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import structlog

from pcs_gateway.backends.backend import AdministrativeState
from pcs_gateway.backends.outlier.detector import OutlierDetector, Report
from pcs_gateway.backends.outlier.ruling import Accusation, Objection, PoolStanding, Ruling, rule
from pcs_gateway.backends.outlier.ways import way_of
from pcs_gateway.clock import Clock
from pcs_gateway.control.attributing import Attribution
from pcs_gateway.control.roster import Roster, UnknownBackendError
from pcs_gateway.control.standing import BackendKey, Ejection, Standing
from pcs_gateway.processes.messages import EVIDENCE_DELAY, EvidenceEntry, Verdict
from pcs_gateway.telemetry.repeated_lines import RepeatedLines

ASK_EVERY = 5
"""Failures in a row after which it is asked whether all fail alike, where `consecutive_failures` is off."""

HEARING_SECONDS = 2 * EVIDENCE_DELAY
"""From an accusation to its ruling: by then the batches of workers that are not late themselves have come."""

_log = structlog.get_logger()


class _Accused(msgspec.Struct, frozen=True):
    """
    Somebody who waits for a ruling.

    Attributes:
        due: Monotonic seconds of the ruling.
    """

    key: BackendKey
    accusation: Accusation
    due: float


class Ejector:
    """
    Judges evidence.

    Attributes:
        attribution: Whom failures speak against; which pools have a failure that is shared.
        ejections: How many there were since this process started, by pool, backend and cause.
        spared: How many accusations ended without one, by pool, backend and objection.
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
        self._accused: dict[BackendKey, _Accused] = {}
        self._repeated = RepeatedLines()
        self.attribution = Attribution(roster, clock, self.detector)
        self.ejections: dict[tuple[str, ...], int] = {}
        self.spared: dict[tuple[str, ...], int] = {}

    def __repr__(self) -> str:
        return f"<Ejector: {sum(self.ejections.values())} ejections>"

    def detector(self, pool: str) -> OutlierDetector:
        """Give the evidence of a pool."""
        return self._detectors.setdefault(pool, OutlierDetector())

    def judge(self, entries: Iterable[EvidenceEntry]) -> None:
        """Take what one worker saw, oldest first."""
        with_failures = set()
        for entry in entries:
            try:
                standing = self._roster.find(entry.pool, entry.backend)
            except UnknownBackendError:
                continue  # a reload removed it while the evidence was under way
            if entry.successes:
                standing.answered = max(standing.answered, entry.at)
            if entry.failures:
                with_failures.add(entry.pool)
                self.attribution.count(entry)
            self._weigh(standing, entry)
        for pool in with_failures:
            self._compare(pool)

    @property
    def next_ruling(self) -> float | None:
        """Monotonic seconds at which `rule` is to be called; None while nobody is accused."""
        return next((one.due for one in self._accused.values()), None)

    def rule(self) -> None:
        """Rule on the accusations that are due, the oldest first."""
        now = self._clock.monotonic()
        for accused in [one for one in self._accused.values() if one.due <= now]:
            del self._accused[accused.key]
            standing = self._roster.at(accused.key)
            if standing is None:
                continue  # a reload removed it meanwhile
            if standing.ejection is None:
                self._try(standing, accused.accusation)
            else:
                self.detector(accused.key.pool).begin_anew(accused.key.url)
                self._tell(Verdict(accused.key.pool, standing.config.name, ejected=True))

    def tick(self, seconds: float) -> None:
        """Let `seconds` pass: being not ready does not count for a backend, and shared failures end."""
        now = self._clock.monotonic()
        for standing in self._roster:
            if standing.repetition.times and standing.reason():
                standing.repetition = standing.repetition.postponed(seconds, now)
        self.attribution.tick()

    def keep(self, pools: Iterable[str]) -> None:
        """Forget the evidence of what is no longer configured."""
        self._detectors = {pool: self._detectors[pool] for pool in pools if pool in self._detectors}
        for pool, detector in self._detectors.items():
            detector.keep({standing.key.url for standing in self._roster.members(pool)})
        self.attribution.keep(self._detectors)

    def _weigh(self, standing: Standing, entry: EvidenceEntry) -> None:
        """Add one entry to the evidence, and act on the ruling if there is one."""
        now = self._clock.monotonic()
        report = Report(
            standing.key.url,
            entry.failures,
            entry.successes,
            entry.kind,
            entry.at or now,
            entry.bearing,
            entry.accuses,
        )
        config = self._roster.pools[entry.pool].outlier_detection
        accusation = self.detector(entry.pool).observe(report, now, config)
        if entry.failures:
            self._look_at_all(standing, entry, config.consecutive_failures or ASK_EVERY)
        if accusation is None:
            return
        if standing.ejection is None:
            self._accuse(standing, accusation)
        else:
            # what was under way when it was ejected must not count when it is back
            self.detector(entry.pool).begin_anew(standing.key.url)

    def _look_at_all(self, standing: Standing, entry: EvidenceEntry, every: int) -> None:
        """Look whether all fail alike, each time that a backend has failed `every` times more."""
        pool, way = entry.pool, way_of(entry.kind)
        alikeness = self.detector(pool).alikeness(standing.key.url)
        row = alikeness.row(way) if alikeness is not None else 0
        if not row or row % every or not self.attribution.is_shared(pool, way, entry.at):
            return
        is_new = self.attribution.begin(pool, way, entry.kind)
        released = [one for one in self._roster.members(pool) if self.attribution.was_ejected_for(one, way)]
        for one in released:
            assert one.ejection is not None
            one.repetition, one.ejection = one.ejection.before, None
        if is_new:
            self.attribution.say_begun(pool, [one.config.name for one in released])
        self._changed(released)

    def _accuse(self, standing: Standing, accusation: Accusation) -> None:
        """Let somebody wait for a ruling who does not yet; what all agree on replaces what one says."""
        waiting = self._accused.get(standing.key)
        if waiting is None:
            due = self._clock.monotonic() + HEARING_SECONDS
            self._accused[standing.key] = _Accused(standing.key, accusation, due)
        elif accusation.agreed and not waiting.accusation.agreed:
            self._accused[standing.key] = _Accused(standing.key, accusation, waiting.due)

    def _try(self, standing: Standing, accusation: Accusation) -> None:
        """Rule on an accusation, and carry the ruling out."""
        pool = standing.key.pool
        config = self._roster.pools[pool].outlier_detection
        self.detector(pool).begin_anew(standing.key.url)
        ruling = rule(accusation, self._pool_standing(standing, accusation), config.max_ejected)
        if ruling.ejected:
            self._eject(standing, accusation, ruling)
        else:
            self._spare(standing, ruling)
        self._tell(Verdict(pool, standing.config.name, ruling.ejected))

    def _eject(self, standing: Standing, accusation: Accusation, ruling: Ruling) -> None:
        pool, backend = standing.key.pool, standing.config.name
        now = self._clock.monotonic()
        repetition = standing.repetition.again(now, self._roster.pools[pool].outlier_detection)
        standing.ejection = Ejection(
            repetition.since, ruling.reason, way=accusation.way, since=now, before=standing.repetition
        )
        standing.repetition = repetition
        key = (pool, backend, str(accusation.cause))
        self.ejections[key] = self.ejections.get(key, 0) + 1
        _log.warning(
            "backend_ejected",
            pool=pool,
            backend=backend,
            cause=str(accusation.cause),
            reason=ruling.reason,
            seconds=round(repetition.since - now, 3),
            times_in_a_row=repetition.times,
        )
        self._changed([standing])

    def _spare(self, standing: Standing, ruling: Ruling) -> None:
        assert ruling.objection is not None
        pool, backend = standing.key.pool, standing.config.name
        key = (pool, backend, str(ruling.objection))
        self.spared[key] = self.spared.get(key, 0) + 1
        if ruling.objection is Objection.SHARED_DEPENDENCY:
            return  # that was said once, for the whole pool
        if self._repeated.may_say((pool, backend, ruling.objection), self._clock.monotonic()):
            _log.warning("backend_not_ejected", pool=pool, backend=backend, reason=ruling.reason)

    def _compare(self, pool: str) -> None:
        """Compare the success rates of the ready backends of a pool."""
        config = self._roster.pools[pool].outlier_detection
        if config.success_rate is None:
            return
        ready = {one.key.url: one for one in self._roster.members(pool) if not one.reason()}
        accusations = self.detector(pool).compare(ready, self._clock.monotonic(), config)
        for url, accusation in accusations.items():
            self._accuse(ready[url], accusation)

    def _pool_standing(self, accused: Standing, accusation: Accusation) -> PoolStanding:
        """Count what the ruling depends on."""
        pool = accused.key.pool
        members = self._roster.members(pool)
        active = [one for one in members if one.administrative_state is AdministrativeState.ACTIVE]
        return PoolStanding(
            active=len(active),
            ejected=sum(one.ejection is not None for one in active),
            ready_others=sum(one is not accused and not one.reason() for one in members),
            is_shared=self.attribution.is_shared(pool, accusation.way, accusation.since, accused),
        )
