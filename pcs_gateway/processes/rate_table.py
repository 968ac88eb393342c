"""
Rates that all workers count together without a lock: for each key a token bucket, kept as a point in time.

The bucket of the generic cell rate algorithm: the *due time* is when it will be full again. A request may
pass when the due time is at most `burst - 1` intervals ahead, and moves it one interval further (from now,
if it has passed). So at most `burst` pass at once, and in any time t at most `rate * t + burst`.

The due time is held by all workers together. The law of this file:

- each worker writes only its own row: a word with a *base* (a point in time) and the *debt* that this worker
  added since; it never takes away from what another one wrote;
- the newest base of all rows holds; the due time is that base plus every row's debt, as far as it reaches
  beyond the base. A row with an older base was drained before the newest one was written, and says nothing;
  if it reaches beyond, its worker wrote at the same moment without knowing, and it counts;
- a bucket that is full again begins with a new base, and so does one whose debt would outgrow its bits;
- a base further ahead than any bucket is was left by a limit of another configuration, and is void.

Two workers that decide in the same few microseconds do not see each other: each can let one request pass
that the other's would have forbidden. What passed is counted all the same, and nothing is counted twice; so
at most `rate * t + burst` pass, and one more for each worker but the first. (That holds as long as an
interval is long against a decision; hence no rate beyond 10,000 a second.) Times are whole sixteenths of an
interval.
"""

from __future__ import annotations

from pcs_gateway.processes.client_cells import Cells, KeyedHash, bank
from pcs_gateway.processes.scoreboard import CHANGES, Scoreboard

UNITS = 16
"""Units of time in one interval between two requests at the limit's rate."""

_DEBT_BITS = 16
_DEBT_MASK = (1 << _DEBT_BITS) - 1
_BASE_MASK = (1 << 48) - 1

_LARGEST_DEBT = 1 << 15
"""Units beyond which the next request makes a new base."""

_DRAINED_AFTER = 40_000
"""Units after which the largest debt of all rows has passed, whatever they are."""

_AHEAD_SECONDS = 10.0
"""How far the clock of a request may be behind that of another worker's: a busy loop reads it late."""

_SAMPLED_CELLS = 1024
"""How many cells are looked at for the fill of a limit's part of the table."""

_LINGER_SECONDS = 60.0
"""How long the row of a worker that is gone is still read."""


BucketState = tuple[int, int, int, int, int, int, int, int]
"""
What a look at one key found: how far ahead the moment is when a request may pass (0 or less: it may now),
the moment of the look, the key's first cell with its due time and base, the second with its own. Times in
units of the limit; `SharedRate.wait` makes seconds of them.
"""


class RateTable:
    """
    The rows of all workers, as one of them sees them.

    Args:
        scoreboard: Where they are.
        row: The row of the worker that asks; the only one it writes to.
    """

    def __init__(self, scoreboard: Scoreboard, row: int) -> None:
        self._scoreboard = scoreboard
        self._row = row
        self.own = scoreboard.rate_cells(row)
        self._views: dict[int, memoryview] = {row: self.own}
        self._left: dict[int, float] = {}
        self.head = scoreboard.cells
        self.rows: list[memoryview] = [self.own]
        self.seen = -1
        self.review = float("inf")

    def __repr__(self) -> str:
        return f"<RateTable of row {self._row}: reads {sorted(self._views)}>"

    def look_for_rows(self, now: float) -> None:
        """Find out whose rows are to be read: of every worker that is there, or was until a minute ago."""
        self.seen = self.head[CHANGES]
        in_use = {self._row, *self._scoreboard.rows_in_use()}
        for index in self._views.keys() - in_use:
            self._left.setdefault(index, now + _LINGER_SECONDS)
        for index in list(self._left):
            if index in in_use:
                del self._left[index]
            elif self._left[index] < now:
                del self._left[index], self._views[index]
        for index in in_use - self._views.keys():
            self._views[index] = self._scoreboard.rate_cells(index)
        self.rows = list(self._views.values())
        self.review = min(self._left.values(), default=float("inf"))

    def limit(self, name: str, rate: float, burst: int, number: int, count: int) -> SharedRate:
        """
        Return one limit, the same to every worker that asks for it with the same words.

        Args:
            name: A limit of another name finds other cells for the same key.
            rate: Requests per second.
            burst: Requests at once.
            number: Which of `count` limits it is.
            count: How many there are.
        """
        part = bank(number, count)
        keyed = KeyedHash(self._scoreboard.secret, f"{name} {rate!r}", *part)
        return SharedRate(self, keyed, part, rate, burst)


class SharedRate:
    """One limit: decides for one key at a time, and writes down what passes."""

    __slots__ = ("_bank", "_horizon", "_own", "_scale", "_table", "_tolerance", "cells")

    def __init__(
        self, table: RateTable, keyed: KeyedHash, bank: tuple[int, int], rate: float, burst: int
    ) -> None:
        self._table = table
        self._bank = bank
        self._own = table.own
        self._scale = rate * UNITS
        # one unit more: at exactly the rate, rounding must not refuse
        self._tolerance = (burst - 1) * UNITS + 1
        self._horizon = self._tolerance + 2 * _LARGEST_DEBT + int(_AHEAD_SECONDS * self._scale)
        self.cells = keyed.cells

    def look(self, cells: Cells, now: float) -> BucketState:
        """Return how a key stands; nothing is counted."""
        table = self._table
        if table.head[CHANGES] != table.seen or now > table.review:
            table.look_for_rows(now)
        at = int(now * self._scale) & _BASE_MASK
        # a word in between is one that can still say something
        oldest = (at - _DRAINED_AFTER) << _DEBT_BITS if at > _DRAINED_AFTER else 0
        newest = (at + self._horizon) << _DEBT_BITS
        first, second = cells
        one = other = 0
        ones: list[int] | None = None
        others: list[int] | None = None
        for row in table.rows:
            word = row[first]
            if oldest < word < newest:
                if one:
                    ones = [one] if ones is None else ones
                    ones.append(word)
                one = word
            word = row[second]
            if oldest < word < newest:
                if other:
                    others = [other] if others is None else others
                    others.append(word)
                other = word
        if ones is None:
            base = one >> _DEBT_BITS
            due = base + (one & _DEBT_MASK)
        else:
            due, base = _joined(ones)
        if others is None:
            other_base = other >> _DEBT_BITS
            other_due = other_base + (other & _DEBT_MASK)
        else:
            other_due, other_base = _joined(others)
        ahead = (due if due < other_due else other_due) - self._tolerance - at  # noqa: FURB136 (no call)
        return ahead, at, first, due, base, second, other_due, other_base

    def wait(self, state: BucketState) -> float:
        """Return the seconds until a request may pass; 0.0 when it may now."""
        return max(state[0], 0) / self._scale

    def take(self, state: BucketState) -> None:
        """Count one request that passes."""
        _, at, first, one, base, second, other, other_base = state
        # Busy neighbours may have brought one cell so far that this key alone, and all that workers can miss
        # of each other, would never: it says more than enough already, and must not grow without end.
        most = at + self._tolerance + UNITS * len(self._table.rows)
        if one <= most:
            self._add(first, one, base, at)
        if other <= most:
            self._add(second, other, other_base, at)

    def fill(self, now: float) -> float:
        """Return the share of cells in which something is counted now, judged by a sample of them."""
        first, size = self._bank
        sample = range(first, first + size, size // _SAMPLED_CELLS)
        return sum(self._is_live(cell, now) for cell in sample) / len(sample)

    def _is_live(self, cell: int, now: float) -> bool:
        _, at, _, due, *_ = self.look((cell, cell), now)
        return due > at

    def _add(self, cell: int, due: int, base: int, at: int) -> None:
        """Bring the due time of a cell one interval further."""
        own = self._own
        if due < at + UNITS:
            base = due if due > at else at  # noqa: FURB136 (no call)
            own[cell] = (base << _DEBT_BITS) | UNITS
        elif due - base >= _LARGEST_DEBT:
            own[cell] = (due << _DEBT_BITS) | UNITS
        else:
            word = own[cell]
            debt = (word >> _DEBT_BITS) + (word & _DEBT_MASK) - base
            if debt < 0 or word >> _DEBT_BITS > base:
                debt = 0
            own[cell] = (base << _DEBT_BITS) | (debt + UNITS)


def _joined(words: list[int]) -> tuple[int, int]:
    """Return due time and base of what several rows say."""
    due = base = max(words) >> _DEBT_BITS
    for word in words:
        beyond = (word >> _DEBT_BITS) + (word & _DEBT_MASK) - base
        if beyond > 0:
            due += beyond
    return due, base
