"""
Budgets of attempts beyond the first: how many retries and hedges a pool's traffic as a whole may cause.

A count for each request cannot bound what many requests cause together: when a pool fails, everything that is
asked is asked again, and the retries are what keeps it down. A budget is a share of the requests of the last
ten seconds, so that whatever happens a pool is asked at most so much more than its clients ask.

It is one budget over all workers. Each worker has, for each pool and kind, ten cells of a second in its row
of the scoreboard. A cell is one machine word: the second it belongs to above, the count below. So a cell ages
out by itself, exactly ten seconds after its second began, and a reader never sees the count of one second
under the name of another. Who wants to spend adds up all rows; as each worker looks before it writes, what is
spent exceeds a budget by at most one for each other worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Final, Protocol, overload

SECONDS: Final = 10
"""How far a budget looks back; also the number of cells of each kind."""

_COUNT_BITS: Final = 32
_COUNT: Final = (1 << _COUNT_BITS) - 1

PROBE: Final = 0.1
"""Share of the hedge budget that is spent even when no hedge wins, to notice when they begin to."""

HEDGES_PER_WIN: Final = 5
"""How many hedges one that wins allows: where less than every fifth wins they are not worth their load."""


class Spending(IntEnum):
    """What is counted for each pool."""

    REQUESTS = 0
    RETRIES = 1
    HEDGES = 2
    HEDGE_WINS = 3


CELLS: Final = len(Spending) * SECONDS
"""Cells of one pool in one row."""


class Cells(Protocol):
    """The cells of one pool in one row: `SECONDS` of them for each kind of spending."""

    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> Iterable[int]: ...
    def __setitem__(self, index: int, word: int, /) -> None: ...
    def __iter__(self) -> Iterator[int]: ...


def add(cells: Cells, kind: Spending, second: int, amount: int) -> None:
    """Count `amount` in the cell of `second`, which begins anew when it still holds an older one."""
    at = kind * SECONDS + second % SECONDS
    word = cells[at]
    count = word & _COUNT if word >> _COUNT_BITS == second else 0
    cells[at] = second << _COUNT_BITS | min(count + amount, _COUNT)


def total(rows: Iterable[Cells], kind: Spending, second: int) -> int:
    """Add up what all rows counted in `second` and the nine before; one that is a moment ahead counts too."""
    first = kind * SECONDS
    oldest = second - SECONDS
    return sum(
        [
            word & _COUNT
            for cells in rows
            for word in cells[first : first + SECONDS]
            if word >> _COUNT_BITS > oldest
        ]
    )


def retries_allowed(requests: int, ratio: float, minimum_per_second: float) -> float:
    """Give how many retries so many requests of the last ten seconds allow, waiting ones included."""
    return ratio * requests + minimum_per_second * SECONDS


def hedges_allowed(requests: int, wins: int, ratio: float) -> float:
    """
    Give how many hedges so many requests of the last ten seconds allow.

    Never more than their share. Within it, hedges that do not win are a tenth of it: where all backends are
    equally fast, or equally slow, a second attempt comes too late to help, and only adds to the load.
    """
    most = ratio * requests
    return min(most, max(PROBE * most, 1.0) + HEDGES_PER_WIN * wins)


class AttemptBudget:
    """
    The budgets of one pool, as one worker spends from them.

    Args:
        own: The pool's cells in this worker's row.
        others: Gives the pool's cells in the rows of all other workers.

    Attributes:
        requests: Counted since they were last shown to the others.
    """

    __slots__ = ("_others", "_own", "requests")

    def __init__(self, own: Cells, others: Callable[[], Iterable[Cells]]) -> None:
        self._own = own
        self._others = others
        self.requests = 0

    def __repr__(self) -> str:
        return f"<AttemptBudget: {self.requests} requests not shown yet, cells {list(self._own)}>"

    def show(self, now: float) -> None:
        """Write the requests since the last call into this worker's row."""
        if self.requests:
            add(self._own, Spending.REQUESTS, int(now), self.requests)
            self.requests = 0

    def spend(self, kind: Spending, now: float) -> None:
        """Count one, allowed or not."""
        add(self._own, kind, int(now), 1)

    def spent(self, kind: Spending, now: float) -> int:
        """Give what all workers counted in the last ten seconds."""
        self.show(now)
        return total((self._own, *self._others()), kind, int(now))

    def take_retry(self, ratio: float, minimum_per_second: float, now: float) -> bool:
        """Spend a retry, which counts from now on; False when the budget is exhausted."""
        allowed = retries_allowed(self.spent(Spending.REQUESTS, now), ratio, minimum_per_second)
        if self.spent(Spending.RETRIES, now) + 1 > allowed:
            return False
        self.spend(Spending.RETRIES, now)
        return True

    def allows_hedge(self, ratio: float, now: float) -> bool:
        """Tell whether one more hedge is within the budget."""
        requests, wins = self.spent(Spending.REQUESTS, now), self.spent(Spending.HEDGE_WINS, now)
        return self.spent(Spending.HEDGES, now) + 1 <= hedges_allowed(requests, wins, ratio)
