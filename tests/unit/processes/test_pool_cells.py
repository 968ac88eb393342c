"""What workers show each other of one pool."""

import pytest

from pcs_gateway.processes.pool_cells import PoolCells
from pcs_gateway.processes.scoreboard import CONTROL_ROW, Role, Scoreboard

SLOT = 3


@pytest.fixture
def scoreboard() -> Scoreboard:
    """A table with two workers, in rows 1 and 2, and the control process."""
    made = Scoreboard.create()
    made.occupy(CONTROL_ROW, Role.CONTROL, 1, 100)
    made.occupy(1, Role.WORKER, 1, 101)
    made.occupy(2, Role.WORKER, 1, 102)
    return made


def cells(scoreboard: Scoreboard, row: int) -> PoolCells:
    """The cells of the pool as this row's worker has them."""
    return PoolCells(scoreboard, scoreboard.row(row), SLOT)


class TestWaiters:
    def test_waiters_of_the_others(self, scoreboard: Scoreboard) -> None:
        """Each worker sees those of all others, not its own."""
        one, two = cells(scoreboard, 1), cells(scoreboard, 2)
        one.show_waiting(5)
        two.show_waiting(7)

        assert (7, 5) == (one.waiting_elsewhere(), two.waiting_elsewhere())

    def test_worker_that_died(self, scoreboard: Scoreboard) -> None:
        """Whoever waited in it does not take up room for ever."""
        one = cells(scoreboard, 1)
        cells(scoreboard, 2).show_waiting(7)
        scoreboard.free(2)

        assert 0 == one.waiting_elsewhere()


class TestLimit:
    def test_the_published_one(self, scoreboard: Scoreboard) -> None:
        """What the control process found is what counts."""
        cells(scoreboard, 2).show_state(80, is_overloaded=False)
        scoreboard.row(CONTROL_ROW).limits[SLOT] = 96

        assert 96 == cells(scoreboard, 1).published_limit()

    def test_without_control_process(self, scoreboard: Scoreboard) -> None:
        """A worker that starts meanwhile takes over what the others apply."""
        assert 0 == cells(scoreboard, 1).published_limit()
        cells(scoreboard, 2).show_state(80, is_overloaded=True)

        assert 80 == cells(scoreboard, 1).published_limit()
        assert 1 == scoreboard.row(2).overloads[SLOT]
