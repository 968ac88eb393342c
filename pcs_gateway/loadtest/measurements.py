"""What the tester counts while it runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pcs_gateway.loadtest.connection import LoadRequest, LoadResponse
from pcs_gateway.loadtest.outcomes import Failure
from pcs_gateway.telemetry.histogram import Histogram

MOST_EXAMPLES = 20
"""Failures that are kept in full; all are counted."""


@dataclass(frozen=True, slots=True)
class FailureExample:
    """
    One failure in full.

    Attributes:
        at: Seconds after the start.
        scenario: What was requested.
        failure: Why it failed.
        detail: More about it, for people.
    """

    at: float
    scenario: str
    failure: Failure
    detail: str


@dataclass(slots=True)
class ScenarioMeasurements:
    """What became of one scenario's requests."""

    successful: int = 0
    failed: int = 0
    response_time: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class Measurements:
    """
    Counters of one test; only the driver writes them.

    Attributes:
        started: Monotonic second of the start.
        ended: Monotonic second of the end; 0.0 before.
        last_due: Seconds after the start at which the last request was due.
        begun: Requests whose time had come.
        successful: Complete answers with an expected status.
        failed: All others.
        response_time: From the intended moment; of answered requests and, as a lower bound, those given up.
        service_time: The same from the actual sending.
        lateness: How much later than intended the tester itself acted; the service has no part in it.
        statuses: Complete answers by status.
        instances: Complete answers by who sent them.
        failures: Failed requests by reason.
        scenarios: The same by scenario.
        answered_by_second, failed_by_second: By whole seconds after the start.
        examples: The first failures in full.
        in_flight: Sent and neither answered nor failed.
        peak_in_flight: The most at once.
        waited: Requests that found no free connection at their time.
        connections: Connections that were made.
        body_bytes: Bytes of all bodies received.
    """

    started: float = 0.0
    ended: float = 0.0
    last_due: float = 0.0
    begun: int = 0
    successful: int = 0
    failed: int = 0
    response_time: Histogram = field(default_factory=Histogram)
    service_time: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    statuses: Counter[int] = field(default_factory=Counter)
    instances: Counter[str] = field(default_factory=Counter)
    failures: Counter[Failure] = field(default_factory=Counter)
    scenarios: dict[str, ScenarioMeasurements] = field(default_factory=dict)
    answered_by_second: Counter[int] = field(default_factory=Counter)
    failed_by_second: Counter[int] = field(default_factory=Counter)
    examples: list[FailureExample] = field(default_factory=list)
    in_flight: int = 0
    peak_in_flight: int = 0
    waited: int = 0
    connections: int = 0
    body_bytes: int = 0

    @property
    def outstanding(self) -> int:
        """Requests that have begun and not ended."""
        return self.begun - self.successful - self.failed

    def sent(self, number: int) -> None:
        self.in_flight += number
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def answered(self, request: LoadRequest, response: LoadResponse) -> None:
        """Count a complete answer."""
        self.in_flight -= 1
        self.statuses[response.status] += 1
        self.body_bytes += response.body_bytes
        if response.instance:
            self.instances[response.instance] += 1
        self.answered_by_second[int(response.at - self.started)] += 1
        scenario = self._timed(request, response.at)
        if request.scenario.expects(response.status):
            self.successful += 1
            scenario.successful += 1
        else:
            self._failed(request, Failure.UNEXPECTED_STATUS, f"status {response.status}", response.at)

    def gave_up(self, request: LoadRequest, failure: Failure, detail: str, now: float) -> None:
        """Count a request without a complete answer."""
        if request.sent:
            self.in_flight -= 1
        if failure in {Failure.RESPONSE_TIMEOUT, Failure.NO_CONNECTION}:
            self._timed(request, now)
        self._failed(request, failure, detail, now)

    def _timed(self, request: LoadRequest, at: float) -> ScenarioMeasurements:
        # a request may leave a little before its time: then it counts from its sending
        intended = min(request.intended, request.sent) if request.sent else request.intended
        self.response_time.record(at - intended)
        if request.sent:
            self.service_time.record(at - request.sent)
        scenario = self.scenarios.setdefault(request.scenario.name, ScenarioMeasurements())
        scenario.response_time.record(at - intended)
        return scenario

    def _failed(self, request: LoadRequest, failure: Failure, detail: str, at: float) -> None:
        self.failed += 1
        self.failures[failure] += 1
        self.failed_by_second[int(at - self.started)] += 1
        self.scenarios.setdefault(request.scenario.name, ScenarioMeasurements()).failed += 1
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(FailureExample(at - self.started, request.scenario.name, failure, detail))
