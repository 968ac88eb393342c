"""Outcomes of the last seconds, added up whatever their order."""

from __future__ import annotations

from math import floor

CELLS = 100
"""A window is exact to this part of it."""


class OutcomeWindow:
    """
    Good and bad outcomes of the last `seconds`.

    An outcome at second t counts from when it is added until t + `seconds`, and no longer than a hundredth of
    the window beyond that. The sums do not depend on the order in which outcomes are added: workers report at
    their own pace.
    """

    __slots__ = ("_cells", "_width", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._width = seconds / CELLS
        self._cells: dict[int, tuple[int, int]] = {}

    def __repr__(self) -> str:
        good = sum(cell[0] for cell in self._cells.values())
        bad = sum(cell[1] for cell in self._cells.values())
        return f"<OutcomeWindow of {self.seconds:g} s: {good} good, {bad} bad>"

    def add(self, at: float, good: int = 0, bad: int = 0) -> None:
        """Add outcomes of second `at`."""
        index = floor(at / self._width)
        before_good, before_bad = self._cells.get(index, (0, 0))
        self._cells[index] = (before_good + good, before_bad + bad)
        if len(self._cells) > 2 * CELLS:
            self._forget(max(self._cells) * self._width)

    def counts(self, now: float) -> tuple[int, int]:
        """Give how many good and bad outcomes are in the window that ends at `now`."""
        self._forget(now)
        return sum(cell[0] for cell in self._cells.values()), sum(cell[1] for cell in self._cells.values())

    def clear(self) -> None:
        """Begin anew."""
        self._cells.clear()

    def _forget(self, now: float) -> None:
        oldest = floor((now - self.seconds) / self._width)
        if any(index < oldest for index in self._cells):
            self._cells = {index: cell for index, cell in self._cells.items() if index >= oldest}
