"""What the workers show each other of one pool on the scoreboard: waiters, limit, overload, budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcs_gateway.processes.scoreboard import CONTROL_ROW

if TYPE_CHECKING:
    from pcs_gateway.processes.scoreboard import Row, Scoreboard


class PoolCells:
    """
    The cells of one pool, as one worker reads and writes them.

    Attributes:
        slot: Index of the pool's cells in every row.
    """

    __slots__ = ("_row", "_scoreboard", "slot")

    def __init__(self, scoreboard: Scoreboard, row: Row, slot: int) -> None:
        self.slot = slot
        self._scoreboard = scoreboard
        self._row = row

    def __repr__(self) -> str:
        return f"<PoolCells {self.slot} of row {self._row.index}>"

    def show_waiting(self, count: int) -> None:
        """Show how many exchanges wait here."""
        self._row.waiters[self.slot] = count

    def show_state(self, limit: int, *, is_overloaded: bool) -> None:
        """Show which limit on attempts in flight holds here, 0 for none, and if the queue is overloaded."""
        self._row.limits[self.slot] = limit
        self._row.overloads[self.slot] = is_overloaded

    def waiting_elsewhere(self) -> int:
        """Give how many exchanges wait in all other workers."""
        return sum([row.waiters[self.slot] for row in self._other_rows()])

    def budget(self) -> memoryview[int]:
        """Give this worker's cells of the pool's budgets."""
        return self._row.budget(self.slot)

    def budgets_elsewhere(self) -> list[memoryview[int]]:
        """Give those of all other workers."""
        return [row.budget(self.slot) for row in self._other_rows()]

    def published_limit(self) -> int:
        """
        Give the limit that the control process published; 0 when nobody knows one.

        While that process is away it is the one that holds in the other workers: they keep the last.
        """
        published = self._scoreboard.row(CONTROL_ROW).limits[self.slot]
        return published or max([row.limits[self.slot] for row in self._other_rows()], default=0)

    def _other_rows(self) -> list[Row]:
        mine, scoreboard = self._row.index, self._scoreboard
        return [scoreboard.row(index) for index in scoreboard.rows_in_use() if index != mine]
