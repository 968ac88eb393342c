"""When there is enough evidence against a backend, and when a row, a ratio or a rate is none."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.backends.config import FailureRatioConfig, OutlierDetectionConfig, SuccessRateConfig
from pcs_gateway.backends.outlier.detector import OutlierDetector, Report
from pcs_gateway.backends.outlier.ruling import Accusation, Cause
from pcs_gateway.backends.outlier.ways import Bearing, Way

CONFIG = OutlierDetectionConfig(consecutive_failures=5)
RATIO = OutlierDetectionConfig(
    consecutive_failures=0,
    failure_ratio=FailureRatioConfig(threshold=0.5, minimum_requests=20, window=10.0),
)
RATE = OutlierDetectionConfig(
    consecutive_failures=0,
    success_rate=SuccessRateConfig(minimum_backends=5, minimum_requests=100, window=10.0),
)


def accusations(reports: list[Report], config: OutlierDetectionConfig = CONFIG) -> list[Accusation | None]:
    """What a fresh detector answers to each report."""
    detector = OutlierDetector()
    return [detector.observe(report, report.at, config) for report in reports]


def failures(count: int, at: float = 100.0, bearing: Bearing = Bearing.BACKEND) -> Report:
    """So many failures of backend one."""
    return Report("one", count, kind="connection_refused", at=at, bearing=bearing)


def successes(count: int = 1, at: float = 100.0) -> Report:
    """So many successes of backend one."""
    return Report("one", successes=count, at=at)


class TestRow:
    def test_five_failures_in_a_row_accuse(self) -> None:
        """The fifth failure accuses, and says what was seen, how, and since when."""
        seen = accusations([failures(1, at=100.0 + number) for number in range(5)])

        what = "5 gateway failures in a row, the last one: connection_refused"
        expected = Accusation(Cause.CONSECUTIVE_FAILURES, what, Way.CONNECT, since=100.0)
        assert [None, None, None, None, expected] == seen

    def test_success_ends_the_row(self) -> None:
        """Four failures, a success and four failures are no outlier."""
        assert [None, None, None] == accusations([failures(4), successes(), failures(4)])

    def test_success_after_failures_of_one_report_counts(self) -> None:
        """Four failures and a success after them leave nothing of the row."""
        assert [None, None] == accusations([Report("one", 4, 1, "http_503", 100.0), failures(4)])

    def test_failure_before_a_success_that_is_known_is_no_part_of_the_row(self) -> None:
        """A failure that was held while its exchange went on comes late: a success has ended its row."""
        assert [None, None] == accusations([failures(4), failures(1, bearing=Bearing.LATE)])

    def test_failures_that_follow_the_request_accuse_nobody(self) -> None:
        """However many there are."""
        assert [None] * 50 == accusations([failures(1, bearing=Bearing.REQUEST)] * 50)

    def test_worker_that_skips_is_answered(self) -> None:
        """A worker that saw five in a row, while another saw a success, is told that."""
        report = Report("one", 1, kind="http_503", at=100.0, accuses=True)
        accusation = accusations([failures(4), successes(), report])[-1]

        assert accusation is not None
        assert not accusation.agreed

    def test_ruling_ends_what_was_counted_before(self) -> None:
        """A row is accused once."""
        detector = OutlierDetector()
        first = detector.observe(failures(5), 100.0, CONFIG)
        detector.begin_anew("one")

        assert first is not None
        assert detector.observe(failures(4), 100.0, CONFIG) is None
        assert detector.observe(failures(1), 100.0, CONFIG) is not None

    def test_backends_are_told_apart(self) -> None:
        """Failures of one backend say nothing of another."""
        assert [None, None] == accusations([failures(4), Report("two", 4, kind="http_503", at=100.0)])

    def test_zero_turns_it_off(self) -> None:
        """With `consecutive_failures: 0` a row accuses nobody."""
        off = CONFIG.model_copy(update={"consecutive_failures": 0})

        assert [None] == accusations([failures(500)], off)

    def test_repr_shows_the_rows(self) -> None:
        """The detector explains itself."""
        detector = OutlierDetector()
        detector.observe(failures(2), 100.0, CONFIG)

        assert "<OutlierDetector, failures in a row: {'one': 2}>" == repr(detector)

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=60))
    def test_accusation_needs_the_failures_without_success_between(
        self, history: list[tuple[int, int]]
    ) -> None:
        """Whoever is accused had at least five failures since the last success or ruling, and vice versa."""
        detector = OutlierDetector()
        row = 0
        for failed, succeeded in history:
            report = Report("one", failed, kind="http_503", at=100.0)
            accusation = detector.observe(report, 100.0, CONFIG)
            row += failed
            assert (accusation is not None) == (row >= 5 and failed > 0)
            if accusation is not None:
                detector.begin_anew("one")
                row = 0
            if succeeded:
                detector.observe(successes(succeeded), 100.0, CONFIG)
                row = 0


class TestRatio:
    def test_share_from_the_threshold_on_accuses(self) -> None:
        """Ten of twenty are half, and half is the threshold."""
        seen = accusations([successes(10), *[failures(1)] * 10], RATIO)

        assert [None] * 10 == seen[:-1]
        assert seen[-1] is not None
        assert Cause.FAILURE_RATIO is seen[-1].cause
        assert "10 of 20 attempts failed within 10 s, the last one: connection_refused" == seen[-1].seen

    def test_share_below_the_threshold_accuses_nobody(self) -> None:
        """Ten of 21 are less than half."""
        assert [None, None] == accusations([successes(11), failures(10)], RATIO)

    def test_fewer_than_minimum_requests_mean_nothing(self) -> None:
        """Nineteen failures of nineteen are too few; the twentieth is enough."""
        seen = accusations([failures(19), failures(1)], RATIO)

        assert [True, False] == [one is None for one in seen]

    def test_what_left_the_window_does_not_count(self) -> None:
        """Failures of 10.2 s ago are over; those of 9.9 s ago are not."""
        over = accusations([failures(19, at=100.0), failures(1, at=110.2)], RATIO)
        counted = accusations([failures(19, at=100.0), failures(1, at=109.9)], RATIO)

        assert over[-1] is None
        assert counted[-1] is not None

    def test_failures_that_follow_the_request_are_in_no_share(self) -> None:
        """Neither as failures nor as attempts."""
        assert [None, None] == accusations([failures(19), failures(5, bearing=Bearing.REQUEST)], RATIO)

    def test_late_failures_are(self) -> None:
        """A success in between ends a row, but takes nothing from a share."""
        assert accusations([successes(10), failures(10, bearing=Bearing.LATE)], RATIO)[-1] is not None

    @given(st.integers(0, 2**32), st.integers(2, 6))
    def test_order_of_workers_does_not_matter(self, seed: int, workers: int) -> None:
        """Whatever the order in which reports of several workers arrive, the last one decides alike."""
        random = Random(seed)
        reports = [
            failures(random.randint(1, 3), at)
            if random.random() < 0.5
            else successes(random.randint(1, 3), at)
            for at in (random.uniform(95.0, 106.0) for _ in range(8 * workers))
        ]
        last = failures(1, at=106.0)
        found = set()
        for _ in range(4):
            random.shuffle(reports)
            detector = OutlierDetector()
            for report in reports:
                detector.observe(report, 106.0, RATIO)
            found.add(detector.observe(last, 106.0, RATIO))

        assert 1 == len({one is None or one.seen for one in found})


class TestRate:
    def detector(self, *rates: float, requests: int = 200) -> OutlierDetector:
        """Backends b0, b1 … with these success rates in the window."""
        detector = OutlierDetector()
        for number, rate in enumerate(rates):
            good = round(rate * requests)
            report = Report(f"b{number}", requests - good, good, "http_503", 100.0)
            detector.observe(report, 100.0, RATE)
        return detector

    def names(self, detector: OutlierDetector, count: int) -> list[str]:
        """Who is accused of so many ready backends."""
        return list(detector.compare([f"b{number}" for number in range(count)], 100.0, RATE))

    def test_backend_below_the_others_is_accused(self) -> None:
        """One of five at 70 %, the others at 99 %: 2 deviations below the mean."""
        detector = self.detector(0.99, 0.99, 0.7, 0.99, 0.99)

        assert ["b2"] == self.names(detector, 5)
        (accusation,) = detector.compare(["b0", "b1", "b2", "b3", "b4"], 100.0, RATE).values()
        assert Cause.SUCCESS_RATE is accusation.cause
        assert accusation.seen.startswith("70.0% of its attempts succeeded, 93.2% on average")

    def test_worst_first(self) -> None:
        """Two outliers of twelve; should only one be ejected, it is the worse."""
        assert ["b1", "b0"] == self.names(self.detector(0.35, 0.3, *[0.99] * 10), 12)

    def test_four_backends_are_too_few(self) -> None:
        """Below `minimum_backends` nothing is compared."""
        assert [] == self.names(self.detector(0.99, 0.2, 0.99, 0.99), 4)

    def test_too_few_requests(self) -> None:
        """Below `minimum_requests` a backend is not compared."""
        assert [] == self.names(self.detector(0.99, 0.99, 0.2, 0.99, 0.99, requests=99), 5)

    def test_homogeneous_backends(self) -> None:
        """A difference of two failures in two hundred is many deviations, and nothing."""
        assert [] == self.names(self.detector(1.0, 1.0, 0.98, 1.0, 1.0), 5)

    def test_all_bad_alike(self) -> None:
        """Rates that differ little around 50 % accuse nobody."""
        assert [] == self.names(self.detector(0.5, 0.52, 0.48, 0.5, 0.51), 5)

    @pytest.mark.parametrize("seconds", [10.2, 100.0])
    def test_old_outcomes_do_not_count(self, seconds: float) -> None:
        """After the window there is nothing to compare."""
        detector = self.detector(0.99, 0.99, 0.2, 0.99, 0.99)
        backends = [f"b{number}" for number in range(5)]

        assert {} == detector.compare(backends, 100.0 + seconds, RATE)
