"""
The requests of one pool that wait in one worker: their order, how long each may wait, who is shed.

Pure: whoever drives it gives the time. The rules:

- a higher priority class goes first, always;
- within a class first come first served; while the class is overloaded the newest goes first;
- one waits for `timeout`, in an overloaded class for `overload_timeout`; whoever is over that is shed and
  never served;
- a class is overloaded when it and all higher ones together were never without a waiter for a while (see
  `overload`), so what lower classes bring does not shorten the patience with the higher ones; the highest
  class is given four times that while, since what it waits for now the lower ones will give.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterator
from typing import Generic, TypeVar

from pcs_gateway.balancing.overload import STANDING_SECONDS, Overload
from pcs_gateway.balancing.priority import Priority

T = TypeVar("T")

PATIENCE = (4.0, 1.0, 1.0)
"""By class: how much longer than others a queue may stand until it is overloaded."""


class WaitingLine(Generic[T]):
    """
    Who waits, by priority class. Times are monotonic seconds.

    Attributes:
        timeout: Seconds that one may wait.
        overload_timeout: Seconds that one may wait in an overloaded class.
    """

    __slots__ = ("_length", "_lines", "_overloads", "overload_timeout", "timeout")

    def __init__(self, timeout: float, overload_timeout: float) -> None:
        self._lines: tuple[OrderedDict[T, float], ...] = tuple(OrderedDict() for _ in Priority)
        self._overloads = tuple(Overload() for _ in Priority)
        self._length = 0
        self.configure(timeout, overload_timeout)
        self.expect(0.0)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(self._lines[one])} {one.word}" for one in Priority)
        return f"<WaitingLine: {counts}>"

    def __len__(self) -> int:
        return self._length

    def configure(self, timeout: float, overload_timeout: float) -> None:
        """Change how long one may wait, for those who wait already too."""
        self.timeout = timeout
        self.overload_timeout = min(timeout, overload_timeout)

    def expect(self, seconds: float) -> None:
        """Take into account how long an attempt takes: a queue cannot be served faster."""
        standing = max(STANDING_SECONDS, min(seconds, self.timeout))
        for overload, patience in zip(self._overloads, PATIENCE, strict=True):
            overload.standing = standing * patience

    def join(self, one: T, priority: Priority, now: float) -> None:
        """Begin to wait, behind all others of the class."""
        for level in Priority:
            if level >= priority and not self._waiting_up_to(level):
                self._overloads[level].filled(now)
        self._lines[priority][one] = now
        self._length += 1

    def leave(self, one: T, priority: Priority, now: float) -> float:
        """Wait no longer; give the seconds that were waited."""
        since = self._lines[priority].pop(one)
        self._length -= 1
        for level in Priority:
            if level >= priority and not self._waiting_up_to(level):
                self._overloads[level].emptied(now)
        return now - since

    def _waiting_up_to(self, priority: Priority) -> int:
        """How many wait in this class and the higher ones."""
        return sum(map(len, self._lines[: priority + 1]))

    def is_overloaded(self, priority: Priority, now: float) -> bool:
        """Whether the newest of a class goes first and waiting is bounded by `overload_timeout`."""
        return self._overloads[priority].is_on(now)

    def overloaded_for(self, priority: Priority, now: float) -> float:
        """Seconds that the overload of a class has lasted."""
        return self._overloads[priority].lasted(now)

    def bound(self, priority: Priority, now: float) -> float:
        """Seconds that one of this class may wait, as things are now."""
        return self.overload_timeout if self.is_overloaded(priority, now) else self.timeout

    def waited(self, one: T, priority: Priority, now: float) -> float:
        """Seconds that one of this class has waited."""
        return now - self._lines[priority][one]

    def is_over_bound(self, one: T, priority: Priority, now: float) -> bool:
        """Whether this one has waited for as long as may be."""
        return self.waited(one, priority, now) >= self.bound(priority, now)

    def priority_of(self, one: T) -> Priority:
        """Give the class in which one waits. Raises KeyError."""
        for priority, line in zip(Priority, self._lines, strict=True):
            if one in line:
                return priority
        raise KeyError(one)

    def first(self, now: float, but: Container[T] = ()) -> tuple[T, Priority] | None:
        """
        Give who goes first; None when nobody does. Whoever is over the bound is not passed over here.

        Args:
            but: Who cannot be served now.
        """
        for priority, line in zip(Priority, self._lines, strict=True):
            if line:
                order = reversed(line) if self.is_overloaded(priority, now) else iter(line)
                for one in order:
                    if one not in but:
                        return one, priority
        return None

    def over_bound(self, now: float) -> Iterator[tuple[T, Priority]]:
        """Yield everybody who has waited for as long as may be, oldest of the lowest class first.

        Whoever is yielded must leave before the next one is asked for.
        """
        for priority in reversed(Priority):
            line = self._lines[priority]
            bound = self.bound(priority, now)
            while line and now - line[one := next(iter(line))] >= bound:
                yield one, priority

    def displaced_by(self, priority: Priority, now: float) -> tuple[T, Priority] | None:
        """
        Give who makes room for a newcomer when no more may wait; None when the newcomer is to be shed.

        That is the oldest of the lowest class below the newcomer's; while the newcomer's class is overloaded,
        and so the newest goes first anyway, the oldest of that class.
        """
        lowest = priority if self.is_overloaded(priority, now) else priority + 1
        for level in reversed(Priority):
            if level >= lowest and self._lines[level]:
                return next(iter(self._lines[level])), level
        return None
