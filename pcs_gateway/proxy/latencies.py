"""
What a strategy that uses latency is told each 100 ms: what other workers measured, and what waits here.

Each worker shows on the scoreboard how many attempts it has measured and their sum, both only growing. So
another worker learns of every attempt once, whatever the two do in between, and all averages follow the same
attempts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pcs_gateway.backends.member import Member

if TYPE_CHECKING:
    from pcs_gateway.processes.scoreboard import Row, Scoreboard
    from pcs_gateway.proxy.hanging import HangWatch


class _Seen(NamedTuple):
    """What another worker showed last in one column."""

    generation: int
    number: int
    seconds: float


class Latencies:
    """What was read of the others' rows so far."""

    __slots__ = ("_mine", "_rows", "_scoreboard", "_seen")

    def __init__(self, scoreboard: Scoreboard, mine: Row) -> None:
        self._scoreboard = scoreboard
        self._mine = mine.index
        self._rows: list[int] = []
        self._seen: dict[int, dict[int, _Seen]] = {}

    def observe(self, hangs: HangWatch, members: Sequence[Member], now: float) -> None:
        """Tell a pool's members all there is to tell, `hangs` being what waits in this sweep."""
        for member in members:
            member.waiting = hangs.mean_wait(member, now)
        self.learn(members, now)

    def learn(self, members: Sequence[Member], now: float) -> None:
        """Add to the members' averages what other workers have measured since this was last called."""
        rows = self._scoreboard.rows_in_use()
        if rows is not self._rows:
            self._forget_processes(rows)
        for index in rows:
            if index != self._mine:
                self._learn_from(self._scoreboard.row(index), members, now)

    def _forget_processes(self, rows: list[int]) -> None:
        """Somebody came or went: what is known of a row may be of the process before."""
        self._rows = rows
        incarnations = {self._scoreboard.row(index).incarnation for index in rows}
        self._seen = {known: seen for known, seen in self._seen.items() if known in incarnations}

    def _learn_from(self, row: Row, members: Sequence[Member], now: float) -> None:
        seen = self._seen.setdefault(row.incarnation, {})
        counts, sums = row.latency_counts, row.latency_sums
        for member in members:
            column, generation = member.column, member.backend.generation
            number, seconds = counts[column], sums[column]
            before = seen.get(column)
            if before is not None and before.number == number and before.generation == generation:
                continue
            seen[column] = _Seen(generation, number, seconds)
            if before is not None and before.generation == generation and number > before.number:
                newly = number - before.number
                mean = (seconds - before.seconds) / newly
                if mean > 0.0:
                    member.learn_latency(mean, newly, now)
