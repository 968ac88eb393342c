"""The health of a backend as a state machine."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.backends.backend import Health, HealthStatus
from pcs_gateway.backends.config import HealthCheckConfig
from pcs_gateway.backends.health import CheckResult, HealthTracker

PASSED = CheckResult(passed=True, detail="status 200")
FAILED = CheckResult(passed=False, detail="connection refused")
CONFIG = HealthCheckConfig(interval=5.0, fast_interval=1.0, rise=2, fall=3, max_age=30.0, jitter=0.1)


def flips(tracker: HealthTracker, results: str) -> str:
    """Feed results written as + and -; return each status' initial, in capitals where it flipped."""
    seen = ""
    for second, result in enumerate(results):
        flipped = tracker.observe(PASSED if result == "+" else FAILED, 100.0 + second, CONFIG)
        initial = tracker.health.status[0]
        seen += initial.upper() if flipped else initial
    return seen


class TestObserve:
    @pytest.mark.parametrize(
        ("results", "statuses"),
        [
            ("+", "H"),
            ("-", "U"),
            ("+--", "Hhh"),
            ("+---", "HhhU"),
            ("+--+--", "Hhhhhh"),
            ("-+", "Uu"),
            ("-++", "UuH"),
            ("-+-+", "Uuuu"),
            ("+---++---", "HhhUuHhhU"),
        ],
    )
    def test_status_follows_the_results(self, results: str, statuses: str) -> None:
        """The first result counts at once; later `fall` failed or `rise` passed ones in a row."""
        assert statuses == flips(HealthTracker(), results)

    def test_health_keeps_the_last_check(self) -> None:
        """The time and the words of the last check are there even where the status stays."""
        tracker = HealthTracker()
        tracker.observe(PASSED, 100.0, CONFIG)
        tracker.observe(FAILED, 105.0, CONFIG)

        assert Health(HealthStatus.HEALTHY, 105.0, "connection refused") == tracker.health

    @given(st.text(alphabet="+-", min_size=1, max_size=60))
    def test_status_is_what_a_reader_of_the_history_says(self, results: str) -> None:
        """A healthy backend never has `fall` failures at its end, an unhealthy one never `rise` passes."""
        tracker = HealthTracker()
        flips(tracker, results)

        status = tracker.health.status

        assert status is not HealthStatus.UNKNOWN
        if status is HealthStatus.HEALTHY:
            assert not results.endswith("-" * CONFIG.fall)
        else:
            assert not results.endswith("+" * CONFIG.rise)

    def test_repr_tells_status_and_what_speaks_against_it(self) -> None:
        """The tracker explains itself."""
        tracker = HealthTracker()
        flips(tracker, "+-")

        assert "<HealthTracker healthy, 1 against it, 'connection refused'>" == repr(tracker)


class TestAge:
    def test_check_older_than_max_age_counts_as_none(self) -> None:
        """After `max_age` without a check a backend is unknown, and says what the last one was."""
        tracker = HealthTracker()
        tracker.observe(PASSED, 100.0, CONFIG)

        assert not tracker.forget_when_old(130.0, CONFIG.max_age)
        assert tracker.forget_when_old(130.1, CONFIG.max_age)
        assert HealthStatus.UNKNOWN is tracker.health.status
        assert "no check for more than 30 s; the last one: status 200" == tracker.health.detail
        assert not tracker.forget_when_old(140.0, CONFIG.max_age)

    def test_first_check_after_too_long_counts_at_once(self) -> None:
        """A backend that became unknown by age is as one that was never checked."""
        tracker = HealthTracker()
        flips(tracker, "---")
        tracker.forget_when_old(1000.0, CONFIG.max_age)

        assert "H" == flips(tracker, "+")


class TestPause:
    @pytest.mark.parametrize(
        ("results", "seconds"),
        [("", 1.0), ("+", 5.0), ("+-", 1.0), ("+-+", 5.0), ("-", 5.0), ("-+", 1.0), ("-++", 5.0)],
    )
    def test_changing_state_is_checked_more_often(self, results: str, seconds: float) -> None:
        """`fast_interval` holds while nothing is known or the last check contradicts the status."""
        tracker = HealthTracker()
        flips(tracker, results)

        assert seconds == tracker.pause(CONFIG.model_copy(update={"jitter": 0.0}), Random(1))

    def test_excused_check_is_made_again_soon(self) -> None:
        """A backend that answered a moment ago, and then hangs, is found as soon as any other."""
        tracker = HealthTracker()
        config = CONFIG.model_copy(update={"jitter": 0.0})
        flips(tracker, "+")

        tracker.excuse("no answer within 2s, but it answers requests", 7.0)
        assert 1.0 == tracker.pause(config, Random(1))
        flips(tracker, "+")
        assert 5.0 == tracker.pause(config, Random(1))

    def test_jitter_spreads_pauses_evenly_around_the_interval(self) -> None:
        """Pauses stay within the jitter and use its whole width."""
        tracker = HealthTracker()
        flips(tracker, "+")
        random = Random(7)

        pauses = [tracker.pause(CONFIG, random) for _ in range(1000)]

        assert 4.5 <= min(pauses) < 4.55
        assert 5.45 < max(pauses) <= 5.5
        assert math.isclose(5.0, sum(pauses) / len(pauses), abs_tol=0.05)
