"""Results of pure functions kept for keys that come again, such as the field sections of a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Memo(dict[Key, Value]):
    """
    What a function gave for recent keys, bounded by two generations; a hit is one look-up in C.

    When `limit` keys are new, the older generation is forgotten. Keys are compared whole, so nothing can be
    learnt about one piece by piece. A function that raises leaves nothing behind.
    """

    __slots__ = ("_compute", "_is_worth_keeping", "_limit", "_older")

    def __init__(
        self, compute: Callable[[Key], Value], limit: int, is_worth_keeping: Callable[[Key], bool]
    ) -> None:
        super().__init__()
        self._compute = compute
        self._limit = limit
        self._is_worth_keeping = is_worth_keeping
        self._older: dict[Key, Value] = {}

    def __missing__(self, key: Key) -> Value:
        value = self._older.get(key) if self._older else None
        if value is None:
            value = self._compute(key)
        if self._is_worth_keeping(key):
            if len(self) >= self._limit:
                self._older = dict(self)
                self.clear()
            self[key] = value
        return value
