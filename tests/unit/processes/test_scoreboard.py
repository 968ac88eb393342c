"""The scoreboard: rows, columns, and what their sums say."""

import os

import pytest

from pcs_gateway.processes.scoreboard import (
    COLUMNS,
    CONTROL_ROW,
    LAYOUT,
    POOLS,
    ROWS,
    Role,
    Scoreboard,
    ScoreboardMismatchError,
)


@pytest.fixture
def scoreboard() -> Scoreboard:
    """A table with two workers, in rows 1 and 2, and the control process."""
    made = Scoreboard.create()
    made.occupy(CONTROL_ROW, Role.CONTROL, 1, 100)
    made.occupy(1, Role.WORKER, 1, 101)
    made.occupy(2, Role.WORKER, 1, 102)
    return made


class TestSharing:
    def test_attached_table_is_the_same_memory(self, scoreboard: Scoreboard) -> None:
        """What one process writes, every other that attached reads."""
        other = Scoreboard.attach(os.dup(scoreboard.fd))

        scoreboard.row(2).in_flight[3] = 5
        other.row(2).heartbeat = 12.5

        assert (5, 12.5) == (other.in_flight(3), scoreboard.row(2).heartbeat)

    def test_every_cell_is_its_own(self, scoreboard: Scoreboard) -> None:
        """No two cells or arrays of all rows share memory."""
        numbers = iter(range(1, 10**9))
        expected = []
        for row in map(scoreboard.row, range(ROWS)):
            for name in ("accepting", "client_connections", "client_connections_limit", "snapshot_version"):
                setattr(row, name, next(numbers))
            row.heartbeat = float(next(numbers))
            for array in (
                row.in_flight,
                row.connections,
                row.latency_counts,
                row.waiters,
                row.limits,
                row.overloads,
                row.budgets,
            ):
                array[0], array[-1] = next(numbers), next(numbers)
            row.latency_sums[0], row.latency_sums[-1] = float(next(numbers)), float(next(numbers))
        for row in map(scoreboard.row, range(ROWS)):
            expected += [row.accepting, row.client_connections, row.client_connections_limit]
            expected += [row.snapshot_version, int(row.heartbeat)]
            expected += [int(row.latency_sums[0]), int(row.latency_sums[-1])]
            for array in (
                row.in_flight,
                row.connections,
                row.latency_counts,
                row.waiters,
                row.limits,
                row.overloads,
                row.budgets,
            ):
                expected += [array[0], array[-1]]
        assert len(set(expected)) == len(expected) == next(numbers) - 1

    def test_sizes(self, scoreboard: Scoreboard) -> None:
        """A row has a cell for every column and pool."""
        row = scoreboard.row(0)

        arrays = (row.in_flight, row.connections, row.latency_sums, row.latency_counts)
        assert [COLUMNS] * 4 == [len(array) for array in arrays]
        assert [POOLS] * 3 == [len(row.waiters), len(row.limits), len(row.overloads)]

    def test_other_layout_is_refused(self, scoreboard: Scoreboard) -> None:
        """A table made by other code is not attached to."""
        scoreboard.cells[0] += 1

        with pytest.raises(ScoreboardMismatchError, match=f"layout {LAYOUT + 1}, this code needs {LAYOUT}"):
            Scoreboard.attach(scoreboard.fd)

    def test_other_size_is_refused(self) -> None:
        """A table with more or fewer rows is not attached to."""
        fd = os.memfd_create("small")
        os.ftruncate(fd, 4096)

        with pytest.raises(ScoreboardMismatchError, match="4096 bytes"):
            Scoreboard.attach(fd)
        os.close(fd)


class TestRows:
    def test_workers_are_listed(self, scoreboard: Scoreboard) -> None:
        """Rows in use are the workers', not the control process'."""
        assert [1, 2] == scoreboard.rows_in_use()

    def test_list_follows_changes_of_another_process(self, scoreboard: Scoreboard) -> None:
        """Who attached sees a row come and go, though it keeps the list."""
        other = Scoreboard.attach(scoreboard.fd)
        before = list(other.rows_in_use())

        scoreboard.free(1)
        scoreboard.occupy(7, Role.WORKER, 2, 103)

        assert ([1, 2], [2, 7]) == (before, other.rows_in_use())

    def test_occupying_begins_from_zero(self, scoreboard: Scoreboard) -> None:
        """Whatever a dead process left is gone when its row is given to the next."""
        row = scoreboard.row(1)
        row.in_flight[9], row.latency_sums[9], row.waiters[3], row.heartbeat, row.accepting = (
            1,
            0.5,
            2,
            7.0,
            1,
        )

        scoreboard.occupy(1, Role.WORKER, 4, 105)

        assert (
            0,
            0,
            0,
            0,
            0,
        ) == (row.in_flight[9], row.latency_sums[9], row.waiters[3], row.heartbeat, row.accepting)
        assert (4, 105, Role.WORKER, 0) == (row.generation, row.incarnation, row.role, row.pid)

    def test_freed_row_counts_no_more(self, scoreboard: Scoreboard) -> None:
        """The exchanges of a dead worker leave the sums when its row is freed."""
        scoreboard.row(1).in_flight[4] = 3
        scoreboard.row(2).in_flight[4] = 2

        scoreboard.free(1)

        assert 2 == scoreboard.in_flight(4)

    def test_repr_tells_who_lives_there(self, scoreboard: Scoreboard) -> None:
        """A row and the table explain themselves."""
        scoreboard.row(1).pid = 77

        assert "<Row 1: worker 77, generation 1, accepting 0>" == repr(scoreboard.row(1))
        assert "<Scoreboard: workers in rows [1, 2]>" == repr(scoreboard)


class TestSums:
    def test_totals_add_all_workers(self, scoreboard: Scoreboard) -> None:
        """Each column's total is the sum over the rows in use."""
        for row, values in ((1, [1, 2, 3]), (2, [10, 0, 5])):
            for column, value in enumerate(values):
                scoreboard.row(row).in_flight[column] = value

        assert [11, 2, 8, 0] == scoreboard.totals("in_flight", 4)

    @pytest.mark.parametrize(("freed", "expected"), [((2,), [1, 2]), ((1, 2), [0, 0])])
    def test_totals_of_one_worker_and_of_none(
        self, scoreboard: Scoreboard, freed: tuple[int, ...], expected: list[int]
    ) -> None:
        """With one worker the total is its row, with none it is zero."""
        scoreboard.row(1).connections[0], scoreboard.row(1).connections[1] = 1, 2
        for row in freed:
            scoreboard.free(row)

        assert expected == scoreboard.totals("connections", 2)

    @pytest.mark.parametrize("array", ["in_flight", "connections"])
    def test_column_is_zero_only_when_nobody_counts_in_it(self, scoreboard: Scoreboard, array: str) -> None:
        """One attempt or one connection in any row keeps a column from being zero."""
        before = scoreboard.column_is_zero(6)
        getattr(scoreboard.row(2), array)[6] = 1

        assert (True, False, True) == (before, scoreboard.column_is_zero(6), scoreboard.column_is_zero(5))

    def test_head_is_apart_from_rows(self, scoreboard: Scoreboard) -> None:
        """What the supervisor says of the whole gateway stands in the head."""
        scoreboard.draining = 1
        scoreboard.worker_restarts += 2

        assert (1, 2, 0) == (scoreboard.draining, scoreboard.worker_restarts, scoreboard.control_restarts)
        assert [0] == scoreboard.totals("in_flight", 1)
