"""What the figures are said to mean."""

from collections import Counter
from typing import Any

import pytest

from pcs_gateway.loadtest.config import LoadTestConfig, TestScenario
from pcs_gateway.loadtest.connection import LoadRequest, LoadResponse
from pcs_gateway.loadtest.judgement import recommend, warn
from pcs_gateway.loadtest.measurements import MOST_EXAMPLES, Measurements
from pcs_gateway.loadtest.outcomes import Failure
from pcs_gateway.loadtest.report import detail, summarize

OPEN = LoadTestConfig(base_url="http://x", target_rps=100, duration=10)


def counted(
    number: int = 1000, seconds: float = 0.01, instances: tuple[str, ...] = ("a", "b")
) -> Measurements:
    """Give the counters of `number` good answers of equal duration, spread over the instances."""
    measured = Measurements(started=100.0, ended=110.0, last_due=10.0, begun=number)
    measured.sent(number)
    for index in range(number):
        request = LoadRequest(TestScenario(), b"", intended=101.0, sent=101.0)
        measured.answered(request, LoadResponse(200, instances[index % len(instances)], 10, 101.0 + seconds))
    return measured


def sentences(measured: Measurements, config: LoadTestConfig = OPEN) -> str:
    """Give all warnings and recommendations as one text."""
    summary, metrics = summarize(measured), detail(measured)
    return "\n".join([*warn(config, summary, metrics), *recommend(config, summary, metrics)])


def test_nothing_is_said_of_a_good_test() -> None:
    """Figures without a flaw have neither warnings nor recommendations."""
    assert sentences(counted()) == ""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"number": 50}, "only 50 requests"),
        ({"number": 0}, "no request was sent"),
        ({"instances": ("a", "a", "a", "b")}, "a gave 1.50 times"),
    ],
)
def test_a_flaw_is_named(options: dict[str, Any], expected: str) -> None:
    """Small samples and uneven instances are told."""
    assert expected in sentences(counted(**options))


def test_a_long_tail_is_named() -> None:
    """A 99th percentile far above the median is a recommendation."""
    measured = counted()
    measured.response_time.merge(counted(50, 1.0).response_time)

    assert "the 99th percentile" in sentences(measured)


def test_the_testers_own_lateness_is_a_warning() -> None:
    """Two late sendings of a hundred suffice."""
    measured = counted()
    for index in range(100):
        measured.lateness.record(0.05 if index < 2 else 0.0)

    assert "the load tester itself was late" in sentences(measured)


@pytest.mark.parametrize("failure", list(Failure))
def test_every_failure_has_its_advice(failure: Failure) -> None:
    """The most frequent failure is named with what to look at."""
    measured = counted()
    measured.gave_up(LoadRequest(TestScenario(), b"", 101.0), Failure.CONNECTION_FAILED, "", 101.0)
    for _ in range(50):
        measured.gave_up(LoadRequest(TestScenario(), b"", 101.0), failure, "why", 101.5)

    assert f"with {failure.value}: " in sentences(measured)


def test_examples_are_bounded_and_counts_are_not() -> None:
    """Of many failures all are counted and the first are kept."""
    measured = counted()
    for index in range(100):
        measured.gave_up(
            LoadRequest(TestScenario(), b"", 101.0), Failure.CONNECTION_REFUSED, f"{index}", 101.0
        )
    metrics = detail(measured)

    assert metrics.failures == {"connection_refused": 100}
    assert [one.detail for one in metrics.failed] == [str(index) for index in range(MOST_EXAMPLES)]
    assert Counter(second.failed for second in metrics.seconds)[100] == 1


def test_a_request_that_left_early_counts_from_its_sending() -> None:
    """The millisecond by which the tester may be early is not in the response time, a delay is."""
    measured = Measurements(started=100.0)
    for sent in (101.0 - 0.001, 101.5):
        request = LoadRequest(TestScenario(), b"", intended=101.0, sent=sent)
        measured.answered(request, LoadResponse(200, "", 0, sent + 0.25))

    assert measured.response_time.maximum == pytest.approx(0.75)
    assert measured.response_time.percentile(0.5) == pytest.approx(0.25, rel=0.01)
    assert measured.service_time.maximum == pytest.approx(0.25)
