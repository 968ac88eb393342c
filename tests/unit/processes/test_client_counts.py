"""Connections of one client over all workers."""

from pcs_gateway.processes.client_counts import ConnectionCounts
from pcs_gateway.processes.scoreboard import Role, Scoreboard


def workers(count: int) -> tuple[Scoreboard, list[ConnectionCounts]]:
    """Give a table and the counts as each of several workers sees them."""
    scoreboard = Scoreboard.create()
    for row in range(1, count + 1):
        scoreboard.occupy(row, Role.WORKER, 1, row)
    return scoreboard, [ConnectionCounts(scoreboard, row) for row in range(1, count + 1)]


def test_connections_to_all_workers_are_added_up() -> None:
    """Each worker sees the same sum, and what has left it no more."""
    _, (one, other) = workers(2)
    cells = one.cells(b"a")
    one.add(cells, 3)
    other.add(other.cells(b"a"), 2)
    before = one.held(cells), other.held(cells)
    one.add(cells, -2)

    assert ((5, 5), 3) == (before, other.held(cells))


def test_connections_of_a_dead_worker_are_gone() -> None:
    """They ended with it."""
    scoreboard, (one, other) = workers(2)
    cells = one.cells(b"a")
    one.add(cells, 3)
    other.add(cells, 2)
    scoreboard.free(1)

    assert 2 == other.held(cells)


def test_one_shared_cell_does_no_harm() -> None:
    """The lower of two cells is believed."""
    _, (counts,) = workers(1)
    counts.add((1, 2), 7)
    counts.add((2, 3), 1)

    assert (7, 1, 0) == (counts.held((1, 2)), counts.held((2, 3)), counts.held((3, 4)))
