"""
All connections of clients that one worker holds, and how no client takes the room of others.

Two rules. `limits.connections_per_client` caps what one address may hold, over all workers: whoever opens
more is told so, and whoever opens twice as many is not even told. And at `limits.connections`, or at what
the limit of descriptors leaves beside connections to backends, the connections that were idle for longest
make room for new ones, so idle clients keep nobody out; only where there are none do new clients wait in the
kernel's queue.
"""

from __future__ import annotations

from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING

from pcs_gateway.http.refusals import Refusal
from pcs_gateway.processes import shortage
from pcs_gateway.processes.client_cells import Cells
from pcs_gateway.processes.client_counts import ConnectionCounts
from pcs_gateway.proxy.admission import address_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pcs_gateway.backends.config import PoolConfig
    from pcs_gateway.processes.scoreboard import Row, Scoreboard
    from pcs_gateway.proxy.data_plane import DataPlane
    from pcs_gateway.proxy.downstream import DownstreamConnection

IDLE_SECONDS = 1.0
"""A connection idle for less does not make room: its client has hardly had the time to go on."""

ROOM_AT_ONCE = 64
"""Connections closed in one go, so that a flood of new ones does not look for the idlest each time."""

RELIEF_SECONDS = 0.05
"""How often room is made for connections to backends: while descriptors are short, every connect asks."""

UNANSWERED_FACTOR = 2
"""At so many times the cap a connection is closed without an answer."""


class ShakingHands:
    """Counts a connection for its client from its accept on, until it is open or given up."""

    __slots__ = ("_cells", "_counts")

    def __init__(self, counts: ConnectionCounts, cells: Cells) -> None:
        self._counts = counts
        self._cells: Cells | None = cells
        counts.add(cells, 1)

    def over(self) -> None:
        """Stop counting it; it may be over already."""
        cells, self._cells = self._cells, None
        if cells is not None:
            self._counts.add(cells, -1)


class ClientConnections(set["DownstreamConnection"]):
    """
    The connections of one worker's clients.

    Attributes:
        most: Connections that one client may hold; 0 for any number.
        room: Connections that all clients together may hold.
    """

    def __init__(self, plane: DataPlane, scoreboard: Scoreboard, row: Row) -> None:
        super().__init__()
        self._plane = plane
        self._row = row
        self._counts = ConnectionCounts(scoreboard, row.index)
        self._counted: dict[DownstreamConnection, Cells] = {}
        self._arriving = 0
        self._relieved = 0.0
        self.most = 0
        self.room = 0

    def __repr__(self) -> str:
        return f"<ClientConnections: {len(self)}, at most {self.most or 'any number'} of a client>"

    def cap(self, most: int) -> None:
        """
        Let each client hold so many connections from now on; those that are open are only counted.

        Whoever counted before and still does is not touched: other workers read meanwhile.
        """
        self.most = most
        for connection in self:
            is_counted = connection in self._counted
            if self._is_capped(connection) == is_counted:
                continue
            if is_counted:
                self._stop_counting(connection)
            else:
                self._count(connection)

    def bound(self, most: int, pools: Iterable[PoolConfig]) -> None:
        """Let all clients together hold so many, as far as descriptors for backends are left."""
        needed = shortage.needed_for_backends(pools)
        self.room = shortage.connections_within(shortage.descriptor_limit(), most, needed)
        self._row.client_connections_limit = self.room

    def opened(self, connection: DownstreamConnection) -> None:
        """Count a client's connection; refuse it when its client has enough."""
        self.add(connection)
        if self._arriving:
            self._arriving -= 1
        self._show()
        self._plane.recorder.count_connection(opened=True)
        if self._is_capped(connection) and self._counts.held(self._count(connection)) > self.most:
            connection.refuse(Refusal.TOO_MANY_CONNECTIONS, b"", self._plane.monotonic())

    def closed(self, connection: DownstreamConnection) -> None:
        """Stop counting a client's connection."""
        self.discard(connection)
        self._show()
        self._plane.recorder.count_connection(opened=False)
        if connection in self._counted:
            self._stop_counting(connection)

    def count_arriving(self, change: int) -> None:
        """Count connections that are accepted and not open yet: the other workers must see them at once."""
        self._arriving += change
        self._show()

    def shaking_hands(self, address: str) -> ShakingHands | None:
        """Count a connection of this client that is not open yet; None where clients are not counted."""
        if not self.most or self._plane.forwarding.is_trusted(address):
            return None
        return ShakingHands(self._counts, self._counts.cells(address_key(address)))

    def _show(self) -> None:
        self._row.client_connections = len(self) + self._arriving

    def _is_capped(self, connection: DownstreamConnection) -> bool:
        """Whether it counts for its client; trusted proxies are many clients."""
        return self.most > 0 and not connection.client.is_trusted

    def _count(self, connection: DownstreamConnection) -> Cells:
        """Count a connection for its client."""
        cells = self._counted[connection] = self._counts.cells(address_key(connection.client.address))
        self._counts.add(cells, 1)
        return cells

    def _stop_counting(self, connection: DownstreamConnection) -> None:
        self._counts.add(self._counted.pop(connection), -1)

    def turns_away(self, address: str) -> bool:
        """Tell whether a client holds so many connections that the next one is closed without a word."""
        if not self.most or self._plane.forwarding.is_trusted(address):
            return False
        held = self._counts.held(self._counts.cells(address_key(address)))
        return held >= UNANSWERED_FACTOR * self.most

    def relieve(self, now: float) -> None:
        """A connection to a backend lacked a descriptor: make room, so that a retry finds one."""
        if now - self._relieved >= RELIEF_SECONDS:
            self._relieved = now
            self.make_room(now)

    def make_room(self, now: float) -> int:
        """Close connections that were idle for longest; return how many."""
        idle = [one for one in self if one.is_idle and now - one.idle_since > IDLE_SECONDS]
        chosen = [
            one for one in nsmallest(ROOM_AT_ONCE, idle, key=attrgetter("idle_since")) if not one.has_more()
        ]
        for connection in chosen:
            connection.end()
        return len(chosen)
