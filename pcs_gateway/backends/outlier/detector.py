"""
The evidence of one pool, and when there is enough of it for an accusation.

The law of this file:

- a gateway failure is one that speaks against the backend's host: no connection, a reset, a time-out, a
  malformed or incomplete response, 502, 503 or 504. A plain 500 is none: PCS answers it for clients'
  mistakes too;
- one success, seen by any worker, ends the row of all. A response counts as a success when its body is whole;
- shares are shares of a window, whatever the order in which workers report;
- a ruling ends what was counted before it.
"""

from __future__ import annotations

from collections.abc import Collection
from math import sqrt

import msgspec

from pcs_gateway.backends.config import OutlierDetectionConfig
from pcs_gateway.backends.outlier.attribution import Alikeness
from pcs_gateway.backends.outlier.ruling import Accusation, Cause
from pcs_gateway.backends.outlier.ways import Bearing, way_of
from pcs_gateway.backends.outlier.window import OutcomeWindow

LEAST_GAP = 0.05
"""
By how much a success rate must be below the mean, beside the deviations: with 99.99 % everywhere the
deviation is so small that a single failure would be an outlier.
"""


class Report(msgspec.Struct, frozen=True):
    """
    What one worker saw of one backend since its last report.

    Attributes:
        failures: Gateway failures in a row.
        successes: Attempts that succeeded after them.
        kind: How the last of them failed, in a word; empty when there were none.
        at: Monotonic seconds.
        bearing: Whom the failures speak against.
        accuses: The worker skips the backend by now and waits for a ruling.
    """

    backend: str
    failures: int = 0
    successes: int = 0
    kind: str = ""
    at: float = 0.0
    bearing: Bearing = Bearing.BACKEND
    accuses: bool = False


class _Evidence:
    """What is known of one backend."""

    __slots__ = ("alikeness", "kind", "rate", "ratio", "row", "row_began")

    def __init__(self) -> None:
        self.row = 0
        self.row_began = 0.0
        self.kind = ""
        self.ratio: OutcomeWindow | None = None
        self.rate: OutcomeWindow | None = None
        self.alikeness = Alikeness()

    def configure(self, config: OutlierDetectionConfig) -> None:
        """Keep the windows that the configuration asks for."""
        self.ratio = _resized(self.ratio, config.failure_ratio.window if config.failure_ratio else 0.0)
        self.rate = _resized(self.rate, config.success_rate.window if config.success_rate else 0.0)

    def add(self, report: Report) -> None:
        """Add a report."""
        if report.failures:
            self._add_failures(report)
        if report.successes:
            self.row = 0
            self.alikeness.succeeded(report.at, report.successes)
            self._count(report.at, good=report.successes)

    def _add_failures(self, report: Report) -> None:
        way = way_of(report.kind)
        self.alikeness.failed(report.at, way, report.failures, in_row=report.bearing is not Bearing.LATE)
        if report.bearing is Bearing.REQUEST:
            return
        self.kind = report.kind
        self._count(report.at, bad=report.failures)
        if report.bearing is Bearing.BACKEND:
            if self.row == 0:
                self.row_began = report.at
            self.row += report.failures

    def _count(self, at: float, good: int = 0, bad: int = 0) -> None:
        if self.ratio is not None:
            self.ratio.add(at, good, bad)
        if self.rate is not None:
            self.rate.add(at, good, bad)

    def begin_anew(self) -> None:
        """It was ruled upon: what was counted for that counts no more."""
        self.row = 0
        for window in (self.ratio, self.rate):
            if window is not None:
                window.clear()


class OutlierDetector:
    """The evidence of one pool, over all workers."""

    __slots__ = ("_evidence",)

    def __init__(self) -> None:
        self._evidence: dict[str, _Evidence] = {}

    def __repr__(self) -> str:
        rows = {backend: evidence.row for backend, evidence in self._evidence.items() if evidence.row}
        return f"<OutlierDetector, failures in a row: {rows}>"

    def observe(self, report: Report, now: float, config: OutlierDetectionConfig) -> Accusation | None:
        """
        Add a report at `now`.

        Returns:
            An accusation when there is enough against the backend, or when the worker that reports waits for
            a ruling.
        """
        evidence = self._evidence.get(report.backend)
        if evidence is None:
            evidence = self._evidence[report.backend] = _Evidence()
        evidence.configure(config)
        evidence.add(report)
        if report.bearing is Bearing.REQUEST or not report.failures:
            return None
        accusation = _by_row(evidence, config) or _by_ratio(evidence, now, config)
        if accusation is None and report.accuses:
            seen = f"{config.consecutive_failures} gateway failures in a row at one worker"
            way = way_of(report.kind)
            return Accusation(Cause.CONSECUTIVE_FAILURES, seen, way, report.at, agreed=False)
        return accusation

    def compare(
        self, backends: Collection[str], now: float, config: OutlierDetectionConfig
    ) -> dict[str, Accusation]:
        """Compare the success rates of ready backends; give accusations, the worst backend's first."""
        rule = config.success_rate
        if rule is None:
            return {}
        rates: dict[str, float] = {}
        for backend in backends:
            evidence = self._evidence.get(backend)
            if evidence is not None and evidence.rate is not None:
                good, bad = evidence.rate.counts(now)
                if good + bad >= rule.minimum_requests:
                    rates[backend] = good / (good + bad)
        if len(rates) < rule.minimum_backends:
            return {}
        mean = sum(rates.values()) / len(rates)
        deviation = sqrt(sum((rate - mean) ** 2 for rate in rates.values()) / len(rates))
        floor = min(mean - rule.stdev_factor * deviation, mean - LEAST_GAP)
        low = sorted((rate, backend) for backend, rate in rates.items() if rate < floor)
        return {
            backend: self._low_rate(backend, rate, mean, now - rule.window, config) for rate, backend in low
        }

    def _low_rate(
        self, backend: str, rate: float, mean: float, since: float, config: OutlierDetectionConfig
    ) -> Accusation:
        assert config.success_rate is not None
        seen = (
            f"{rate:.1%} of its attempts succeeded, {mean:.1%} on average "
            f"(more than {config.success_rate.stdev_factor:g} standard deviations)"
        )
        return Accusation(Cause.SUCCESS_RATE, seen, way_of(self._evidence[backend].kind), since)

    def begin_anew(self, backend: str) -> None:
        """A backend was ruled upon: what was counted for that counts no more."""
        if evidence := self._evidence.get(backend):
            evidence.begin_anew()

    def keep(self, backends: Collection[str]) -> None:
        """Forget all but these backends."""
        self._evidence = {one: evidence for one, evidence in self._evidence.items() if one in backends}

    def alikeness(self, backend: str) -> Alikeness | None:
        """Give how a backend fails, to be compared with others."""
        evidence = self._evidence.get(backend)
        return evidence.alikeness if evidence is not None else None


def _resized(window: OutcomeWindow | None, seconds: float) -> OutcomeWindow | None:
    """Give the window of so many seconds; none for 0."""
    if not seconds:
        return None
    return window if window is not None and window.seconds == seconds else OutcomeWindow(seconds)


def _by_row(evidence: _Evidence, config: OutlierDetectionConfig) -> Accusation | None:
    threshold = config.consecutive_failures
    if not threshold or evidence.row < threshold:
        return None
    seen = f"{evidence.row} gateway failures in a row, the last one: {evidence.kind}"
    return Accusation(Cause.CONSECUTIVE_FAILURES, seen, way_of(evidence.kind), evidence.row_began)


def _by_ratio(evidence: _Evidence, now: float, config: OutlierDetectionConfig) -> Accusation | None:
    rule = config.failure_ratio
    if rule is None or evidence.ratio is None:
        return None
    good, bad = evidence.ratio.counts(now)
    if not bad or good + bad < rule.minimum_requests or bad / (good + bad) < rule.threshold:
        return None
    seen = f"{bad} of {good + bad} attempts failed within {rule.window:g} s, the last one: {evidence.kind}"
    return Accusation(Cause.FAILURE_RATIO, seen, way_of(evidence.kind), now - rule.window)
