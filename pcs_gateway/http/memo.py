"""Results of pure functions kept for keys that come again, such as the field sections of a client."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memo(dict[Key, Value]):
    """
    What a function gave for recent keys, bounded by two generations; a hit is one look-up in C.

    A result is kept when its key comes for the second time and `may_keep` says that it is small enough: keys
    that never come again cost a hash each and no memory, which would only push what is useful out of the
    caches. When `limit` keys are new, the older generation is forgotten. Keys are compared whole, so nothing
    can be learnt about one piece by piece. A function that raises leaves nothing behind.
    """

    __slots__ = ("_compute", "_limit", "_may_keep", "_older", "_seen_once")

    def __init__(self, compute: Callable[[Key], Value], limit: int, may_keep: Callable[[Key], bool]) -> None:
        super().__init__()
        self._compute = compute
        self._limit = limit
        self._may_keep = may_keep
        self._older: dict[Key, Value] = {}
        self._seen_once: set[int] = set()

    def __missing__(self, key: Key) -> Value:
        value = self._older.get(key) if self._older else None
        if value is None:
            value = self._compute(key)
            if self._is_new(hash(key)) or not self._may_keep(key):
                return value
        if len(self) >= self._limit:
            self._older = dict(self)
            self.clear()
        self[key] = value
        return value

    def _is_new(self, digest: int) -> bool:
        seen = self._seen_once
        if digest in seen:
            return False
        if len(seen) >= self._limit:
            seen.clear()
        seen.add(digest)
        return True
