"""Log lines that would repeat for as long as something lasts: said at once, then every ten seconds."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

SAY_AGAIN_SECONDS: Final = 10.0


class RepeatedLines:
    """When each line was said last. Lines are told apart by what is configured, so there are not many."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: dict[Hashable, float] = {}

    def __repr__(self) -> str:
        return f"<RepeatedLines: {self._said}>"

    def may_say(self, line: Hashable, now: float) -> bool:
        """Tell whether a line is due at `now` (monotonic seconds); if so it counts as said."""
        if now - self._said.get(line, -SAY_AGAIN_SECONDS) < SAY_AGAIN_SECONDS:
            return False
        self._said[line] = now
        return True
