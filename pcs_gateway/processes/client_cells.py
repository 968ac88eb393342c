"""
Cells in the scoreboard's memory that belong to clients and not to backends: how they are laid out and found.

There are far more clients than cells could be named for, so a client's key is hashed to two cells of a fixed
table. Keys that meet in a cell are counted together; since a reader believes the lower of the two, a key is
taken for more than it is only where both of its cells are shared. The hash is keyed with a secret that the
supervisor draws, so nobody can aim at the cells of somebody else.

As in the rest of the scoreboard a process writes only the cells of its own row. Memory that nobody touches
costs nothing: the file is sparse. It uses the standard library only, since the supervisor imports it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

RATE_CELLS: Final = 1 << 21
"""Cells of eight bytes in each row, for all rate limits together."""

BANK_CELLS: Final = 1 << 18
"""
Cells of one rate limit, as long as there are no more than eight of them. So many that somebody who sends
from all the 65,536 networks /64 of an IPv6 /48, three requests from each within a burst of five, takes the
place of one other client in a hundred.
"""

MOST_RATE_LIMITS: Final = 64
"""Limits at one time, those of routes included; each has at least 32,768 cells."""

CONNECTION_CELLS: Final = 1 << 16
"""Cells of four bytes in each row, for the connections that clients hold."""

RATE_BYTES: Final = RATE_CELLS * 8
CONNECTION_BYTES: Final = CONNECTION_CELLS * 4
ROW_BYTES: Final = RATE_BYTES + CONNECTION_BYTES
SECRET_BYTES: Final = 16

Cells = tuple[int, int]
"""The two cells of one key."""


def bank(number: int, count: int) -> tuple[int, int]:
    """Return the first cell and the number of cells of the limit `number` among `count` limits."""
    most = RATE_CELLS // BANK_CELLS
    size = BANK_CELLS if count <= most else RATE_CELLS >> (count - 1).bit_length()
    return number * size, size


class KeyedHash:
    """
    Finds the two cells of a key, alike in every process of the gateway.

    Args:
        secret: The scoreboard's.
        name: Whatever has another name finds other cells for the same key.
        first: The first cell of the part of the table that is used.
        size: How many cells that part has; a power of two.
    """

    __slots__ = ("_first", "_key", "_mask")

    def __init__(self, secret: bytes, name: str, first: int, size: int) -> None:
        self._key = secret + blake2b(name.encode(), digest_size=16).digest()
        self._first = first
        self._mask = size - 1

    def cells(self, key: bytes) -> Cells:
        """Return two different cells."""
        digest = int.from_bytes(blake2b(key, digest_size=8, key=self._key).digest(), "little")
        one, other = digest & self._mask, (digest >> 32) & self._mask
        if one == other:
            other ^= 1
        return self._first + one, self._first + other
