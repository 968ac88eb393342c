"""What the other workers of the gateway show on the scoreboard, as this worker reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pcs_gateway.backends.member import Member
from pcs_gateway.processes.scoreboard import CHANGES

if TYPE_CHECKING:
    from pcs_gateway.processes.scoreboard import Row, Scoreboard


class OtherWorkers:
    """Reads the rows of all workers but one."""

    __slots__ = ("_changes", "_in_flight", "_mine", "_scoreboard")

    def __init__(self, scoreboard: Scoreboard, row: Row) -> None:
        self._scoreboard = scoreboard
        self._mine = row.index
        self._changes = -1
        self._in_flight: list[memoryview[int]] = []

    def _look_for_rows(self) -> None:
        changes = self._scoreboard.cells[CHANGES]
        if changes != self._changes:
            self._changes = changes
            scoreboard = self._scoreboard
            rows = [scoreboard.row(index) for index in scoreboard.rows_in_use() if index != self._mine]
            self._in_flight = [row.in_flight for row in rows]

    def refresh(self, members: Sequence[Member]) -> int:
        """Bring what members know of other workers' attempts up to date; give how many cells were read."""
        self._look_for_rows()
        rows = self._in_flight
        if len(rows) == 1:
            row = rows[0]
            for member in members:
                count = row[member.column]
                if count != member.others:
                    member.refresh(count)
        else:
            for member in members:
                column = member.column
                count = 0
                for row in rows:
                    count += row[column]
                if count != member.others:
                    member.refresh(count)
        return len(members) * len(rows)

    def has_more_than_known(self, member: Member) -> bool:
        """Take over what the others have in flight on one member; tell whether that is more than before."""
        column = member.column
        count = 0
        for row in self._in_flight:
            count += row[column]
        if count == member.others:
            return False
        is_more = count > member.others
        member.refresh(count)
        return is_more
