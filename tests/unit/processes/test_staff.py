"""When a seat is filled again."""

from pathlib import Path

from pcs_gateway.processes.plan import WorkerPlan
from pcs_gateway.processes.scoreboard import Role
from pcs_gateway.processes.staff import Seat


def no_plan(row: int, incarnation: int) -> WorkerPlan:
    """Nobody is started here."""
    raise AssertionError(row, incarnation)


def delays(*deaths: tuple[bool, bool]) -> list[float]:
    """Seconds until the next start after each of these deaths: early or not, up before or not."""
    seat = Seat(Role.WORKER, Path(__file__).stem, 1, no_plan)
    return [seat.count_death(is_early=early, was_up=up) for early, up in deaths]


class TestCountDeath:
    def test_who_lived_long_is_replaced_at_once(self) -> None:
        """Whatever happened before."""
        assert [1, 0, 1, 0, 0] == delays(
            (True, False), (False, True), (True, False), (False, True), (False, False)
        )

    def test_who_does_not_come_up_waits_longer_each_time(self) -> None:
        """From the first time on."""
        assert [1, 2, 4] == delays((True, False), (True, False), (True, False))

    def test_who_was_up_is_replaced_at_once_the_first_time(self) -> None:
        """A worker killed in its first seconds is no failed start; a habit of dying is slowed down."""
        assert [0, 1, 2] == delays((True, True), (True, True), (True, True))
        assert [0, 1, 0, 0] == delays((True, True), (True, True), (False, True), (True, True))

    def test_who_failed_to_start_before_is_not_forgiven(self) -> None:
        """Neither is who comes up now and then."""
        assert [1, 2, 4] == delays((True, False), (True, True), (True, True))
