"""Consecutive gateway failures, and who is ejected for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.backends.config import OutlierDetectionConfig
from pcs_gateway.backends.outlier import (
    OutlierDetector,
    PoolStanding,
    Report,
    Ruling,
    objection_to_ejecting,
    rule,
)

CONFIG = OutlierDetectionConfig(consecutive_failures=5, base_ejection=30.0, max_ejected=0.5)
THREE = PoolStanding(active=3, ejected=0, ready_others=2)


def rulings(reports: list[Report], pool: PoolStanding = THREE) -> list[Ruling | None]:
    """What a fresh detector answers to each report, at second 100."""
    detector = OutlierDetector()
    accusations = [detector.observe(report, CONFIG) for report in reports]
    return [None if one is None else rule(one, 100.0, pool, CONFIG) for one in accusations]


def failures(count: int, worker: int = 1) -> Report:
    """So many failures of backend one."""
    return Report(worker, "one", count, kind="connection_refused")


def success(worker: int = 1) -> Report:
    """A success of backend one."""
    return Report(worker, "one", succeeded=True)


class TestObserve:
    def test_five_failures_in_a_row_eject_for_base_ejection(self) -> None:
        """The fifth failure ejects, and the ruling says what was seen."""
        seen = rulings([failures(1)] * 5)

        ejection = Ruling(130.0, "5 gateway failures in a row, the last one: connection_refused")
        assert [None, None, None, None, ejection] == seen
        assert ejection.ejected

    def test_failures_of_all_workers_add_up(self) -> None:
        """Five failures over three workers are five in a row."""
        seen = rulings([failures(2, worker=1), failures(2, worker=2), failures(1, worker=3)])

        assert seen[2] is not None
        assert seen[2].ejected

    def test_success_ends_the_streak(self) -> None:
        """Four failures, a success and four failures are no outlier."""
        assert [None, None, None] == rulings([failures(4), success(), failures(4)])

    def test_success_after_failures_of_one_report_ends_the_streak(self) -> None:
        """A report of five failures and a success after them accuses nobody."""
        assert [None, None] == rulings([Report(1, "one", 5, succeeded=True), failures(4)])

    def test_streak_of_one_worker_that_others_contradict_is_denied(self) -> None:
        """A worker that saw five failures is told when another one saw a success between them."""
        seen = rulings([failures(3, worker=1), success(worker=2), failures(2, worker=1)])

        reason = "5 gateway failures in a row at one worker; spared: other workers saw it succeed"
        assert Ruling(0.0, reason) == seen[-1]

    def test_counting_begins_anew_after_a_ruling(self) -> None:
        """A streak is ruled upon once."""
        seen = rulings([failures(5), failures(4), failures(1)])

        assert [True, False, True] == [ruling is not None and ruling.ejected for ruling in seen]

    def test_backends_are_told_apart(self) -> None:
        """Failures of one backend say nothing of another."""
        assert [None, None] == rulings([failures(4), Report(1, "two", 4)])

    def test_zero_consecutive_failures_turns_it_off(self) -> None:
        """With `consecutive_failures: 0` nothing is ever ruled."""
        config = CONFIG.model_copy(update={"consecutive_failures": 0})

        assert OutlierDetector().observe(failures(500), config) is None

    def test_last_ready_backend_is_spared(self) -> None:
        """A pool with one ready backend keeps it, and the worker that waits is told why."""
        seen = rulings([failures(5)], PoolStanding(active=1, ejected=0, ready_others=0))

        assert seen[0] is not None
        assert not seen[0].ejected
        assert seen[0].reason.endswith("spared: no other backend of the pool is ready")

    def test_repr_shows_the_streaks(self) -> None:
        """The detector explains itself."""
        detector = OutlierDetector()
        detector.observe(failures(2), CONFIG)

        assert "<OutlierDetector, failures in a row: {'one': 2}>" == repr(detector)

    @given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.booleans()), max_size=60))
    def test_ejection_needs_the_failures_without_success_between(
        self, history: list[tuple[int, int, bool]]
    ) -> None:
        """Whoever is ejected had at least five failures since the last success of any worker or ruling."""
        detector = OutlierDetector()
        streak = 0
        for worker, count, succeeded in history:
            accusation = detector.observe(Report(worker, "one", count, succeeded), CONFIG)
            streak = 0 if succeeded else streak + count
            ejected = accusation is not None and rule(accusation, 100.0, THREE, CONFIG).ejected
            assert ejected == (streak >= CONFIG.consecutive_failures)
            if ejected:
                streak = 0


class TestObjection:
    @pytest.mark.parametrize(
        ("active", "ejected", "max_ejected", "objects"),
        [
            (10, 4, 0.5, False),
            (10, 5, 0.5, True),
            (3, 0, 0.5, False),
            (3, 1, 0.5, True),
            (3, 1, 0.9, False),
            (2, 0, 0.1, False),
            (2, 1, 0.1, True),
            (10, 0, 0.0, True),
        ],
    )
    def test_at_most_max_ejected_are_ejected(
        self, active: int, ejected: int, max_ejected: float, objects: bool
    ) -> None:
        """The share is rounded down, but one backend always may be ejected unless it is 0."""
        pool = PoolStanding(active, ejected, ready_others=active - ejected - 1)

        assert objects == bool(objection_to_ejecting(pool, max_ejected))
