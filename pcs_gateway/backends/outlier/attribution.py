"""
Do all backends of a pool fail alike: then it is a dependency that they share, and ejecting helps nobody.

The law of this file:

- a backend fails alike when it failed at least twice in the same way since its last success, or when at least
  a fifth of its recent attempts failed in that way: a dependency may be half dead;
- it is shared when nearly all backends that are to take traffic fail alike, and at least two;
- it is over when for a second fewer than half of them did.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

import msgspec

from pcs_gateway.backends.outlier.ways import Way
from pcs_gateway.backends.outlier.window import OutcomeWindow

NEARLY_ALL = 0.9
"""Share of the backends that must fail alike; with fewer than ten backends it is all of them."""

LEAST_FAILURES = 2
"""One failure happens to everybody."""

LEAST_SHARE = 0.2
"""Of a backend's recent attempts."""

ATTRIBUTION_SECONDS = 10.0
"""What is recent."""

STILL_SECONDS = 1.0
"""A backend that has not failed for so long, but succeeded, fails no more."""


class Alikeness:
    """How one backend fails: what is needed to compare it with the others of its pool."""

    __slots__ = ("_bad", "_good", "_last", "_row")

    def __init__(self) -> None:
        self._good = OutcomeWindow(ATTRIBUTION_SECONDS)
        self._bad: dict[Way, OutcomeWindow] = {}
        self._last: dict[Way, float] = {}
        self._row: dict[Way, int] = {}

    def __repr__(self) -> str:
        return f"<Alikeness, failures since the last success: {self._row}>"

    def failed(self, at: float, way: Way, count: int, *, in_row: bool) -> None:
        """Add failures of second `at`; `in_row`: no attempt succeeded since."""
        if way not in self._bad:
            self._bad[way] = OutcomeWindow(ATTRIBUTION_SECONDS)
        self._bad[way].add(at, bad=count)
        self._last[way] = max(at, self._last.get(way, at))
        if in_row:
            self._row[way] = self._row.get(way, 0) + count

    def succeeded(self, at: float, count: int) -> None:
        """Add successes."""
        self._good.add(at, good=count)
        self._row.clear()

    def row(self, way: Way) -> int:
        """Give the failures of this way since the last success."""
        return self._row.get(way, 0)

    def is_of(self, way: Way, since: float, now: float) -> bool:
        """Tell whether it fails in this way, as another backend does since second `since`."""
        last = self._last.get(way)
        if last is None:
            return False
        if self.row(way) >= LEAST_FAILURES:
            return last >= min(since, now - ATTRIBUTION_SECONDS)
        if last < min(since, now - STILL_SECONDS):
            return False
        bad = {one: window.counts(now)[1] for one, window in self._bad.items()}
        total = self._good.counts(now)[0] + sum(bad.values())
        return bad[way] >= LEAST_FAILURES and bad[way] / total >= LEAST_SHARE


def is_shared(alike: int, backends: int) -> bool:
    """Tell whether so many of so many backends are nearly all of them."""
    return alike >= 2 and alike >= ceil(NEARLY_ALL * backends)


class SharedFailure(msgspec.Struct, frozen=True):
    """
    All backends of a pool fail alike.

    Attributes:
        began: Unix seconds at which it was found.
        kind: How the last attempt failed when it was found.
    """

    way: Way
    began: float
    kind: str


class SharedFailureWatch:
    """
    When a shared failure began, and whether it is over: one for each pool.

    Attributes:
        current: None when there is none.
    """

    __slots__ = ("_calm_since", "current")

    def __init__(self) -> None:
        self.current: SharedFailure | None = None
        self._calm_since: float | None = None

    def begin(self, failure: SharedFailure) -> bool:
        """Note that all fail alike; return whether that is new."""
        self._calm_since = None
        if self.current is not None:
            return False
        self.current = failure
        return True

    def look(self, alikeness: Iterable[bool], now: float) -> SharedFailure | None:
        """Look at `now` who still fails alike; give the failure that is over by that."""
        current = self.current
        if current is None:
            return None
        still = list(alikeness)
        if still and 2 * sum(still) >= len(still):
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= STILL_SECONDS:
            self.current = self._calm_since = None
            return current
        return None
