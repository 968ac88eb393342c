"""A pool as published: the named, immutable set of backends that share a strategy and limits."""

from __future__ import annotations

import msgspec

from pcs_gateway.backends.backend import Backend


class PoolSnapshot(msgspec.Struct, frozen=True):
    """
    All backends of one pool at one moment, replaced whole by one assignment.

    Attributes:
        slot: Index of the pool's cells in the scoreboard (ticket, waiters).
    """

    name: str
    slot: int
    backends: tuple[Backend, ...]
