"""
Priority classes: who is served first, and shed last, when a pool has more requests than it can take.

A route gives its requests a class. A header may say otherwise: any class when the peer is trusted; from
anybody else only a lower one, since everyone would claim to matter.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final


class Priority(IntEnum):
    """The classes, the first to be served first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2

    @property
    def word(self) -> str:
        """As it stands in configuration, metrics and requests."""
        return self.name.lower()


PRIORITY_WORDS: Final = tuple(priority.word for priority in Priority)

_BY_WORD = {priority.word.encode("ascii"): priority for priority in Priority}
_URGENCY = re.compile(rb"(?:^|,)[ \t]*u[ \t]*=[ \t]*([0-7])[ \t]*(?=[,;]|$)")
_DEFAULT_URGENCY = 3


def read_priority(value: bytes) -> Priority | None:
    """
    Read a header's value: `high`, `normal` or `low`, or an urgency of RFC 9218 such as `u=1`.

    Urgencies 0 to 2 are high, 3 (what RFC 9218 takes for granted) is normal, 4 to 7 are low. Anything else
    says nothing.
    """
    word = _BY_WORD.get(value.strip(b" \t").lower())
    if word is not None:
        return word
    found = _URGENCY.findall(value)
    if not found:
        return None
    urgency = int(found[-1])  # of a key that is given twice the last one counts (RFC 8941 section 3.2)
    if urgency == _DEFAULT_URGENCY:
        return Priority.NORMAL
    return Priority.HIGH if urgency < _DEFAULT_URGENCY else Priority.LOW


def judge_priority(route: Priority, said: bytes, *, is_trusted: bool) -> Priority:
    """
    Give a request its class.

    Args:
        route: The class of its route.
        said: The value of the header; empty when there is none.
        is_trusted: It came from a peer that may raise it.
    """
    asked = read_priority(said) if said else None
    if asked is None:
        return route
    return asked if is_trusted else max(route, asked)
