"""
How many connections each client holds, over all workers: counts in the scoreboard, by the hash of the client.

A worker counts in its own row; the supervisor zeroes that with the row, since a worker's connections end with
it. Who reads adds up the rows. Two clients that share a cell are counted together in it; the lower of a
client's two cells is believed.
"""

from __future__ import annotations

from pcs_gateway.processes.client_cells import CONNECTION_CELLS, Cells, KeyedHash
from pcs_gateway.processes.scoreboard import Scoreboard


class ConnectionCounts:
    """
    The counts of all workers, as one of them sees them.

    Args:
        scoreboard: Where they are.
        row: The row of the worker that counts; the only one it writes to.
    """

    def __init__(self, scoreboard: Scoreboard, row: int) -> None:
        self._scoreboard = scoreboard
        self._own = scoreboard.connection_cells(row)
        self._views = {row: self._own}
        self.cells = KeyedHash(scoreboard.secret, "connections", 0, CONNECTION_CELLS).cells

    def add(self, cells: Cells, change: int) -> None:
        """Count connections of this worker that came, or with a negative number went."""
        for cell in cells:
            self._own[cell] += change

    def held(self, cells: Cells) -> int:
        """Return how many connections a client holds to all workers."""
        first, second = cells
        rows = [self._view(index) for index in self._scoreboard.rows_in_use()]
        return min(sum([row[first] for row in rows]), sum([row[second] for row in rows]))

    def _view(self, index: int) -> memoryview:
        view = self._views.get(index)
        if view is None:
            view = self._views[index] = self._scoreboard.connection_cells(index)
        return view
