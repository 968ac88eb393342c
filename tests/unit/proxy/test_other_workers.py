"""What a worker reads of the others on a real scoreboard."""

from __future__ import annotations

import pytest

from pcs_gateway.backends.member import Member
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.proxy.other_workers import OtherWorkers
from tests.fakes.members import make_backend

MINE = 1


@pytest.fixture
def scoreboard() -> Scoreboard:
    """One in which this worker is alone."""
    board = Scoreboard.create()
    board.occupy(MINE, Role.WORKER, 1, 1)
    return board


def members_of(scoreboard: Scoreboard) -> list[Member]:
    """Three backends as this worker uses them."""
    return [Member(make_backend(position), scoreboard.row(MINE).in_flight) for position in range(3)]


@pytest.mark.parametrize("workers", [1, 2, 3])
class TestRefresh:
    def test_sums_all_rows_but_the_own(self, scoreboard: Scoreboard, workers: int) -> None:
        """Every other worker's attempts count, this one's do not."""
        members = members_of(scoreboard)
        scoreboard.row(MINE).in_flight[0] = 100
        for row in range(2, 2 + workers):
            scoreboard.occupy(row, Role.WORKER, 1, row).in_flight[2] = 5

        cells = OtherWorkers(scoreboard, scoreboard.row(MINE)).refresh(members)

        assert (3 * workers, [0, 0, 5 * workers]) == (cells, [member.others for member in members])

    def test_workers_come_and_go(self, scoreboard: Scoreboard, workers: int) -> None:
        """A worker that starts is read from then on, and one that was reaped no more."""
        members = members_of(scoreboard)
        others = OtherWorkers(scoreboard, scoreboard.row(MINE))
        before = others.refresh(members)
        for row in range(2, 2 + workers):
            scoreboard.occupy(row, Role.WORKER, 1, row).in_flight[1] = 1
        during = others.refresh(members)
        scoreboard.free(2)

        after = others.refresh(members)

        assert (0, 3 * workers, 3 * (workers - 1)) == (before, during, after)
        assert workers - 1 == members[1].others


class TestOneMember:
    def test_tells_that_there_is_more_than_known(self, scoreboard: Scoreboard) -> None:
        """More is told once, and taken over; less is taken over and not told."""
        members = members_of(scoreboard)
        others = OtherWorkers(scoreboard, scoreboard.row(MINE))
        row = scoreboard.occupy(2, Role.WORKER, 1, 2)
        others.refresh(members)
        told = []
        for count in (1, 1, 0):
            row.in_flight[0] = count
            told.append((others.has_more_than_known(members[0]), members[0].others))

        assert [(True, 1), (False, 1), (False, 0)] == told
