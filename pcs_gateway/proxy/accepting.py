"""
Accepting clients' connections on the sockets that all workers share.

Accepting is ours and not the loop's because it has to stop: at `limits.connections`, or without descriptors,
when no idle connection can make room, clients wait in the kernel's queue; and a worker that holds more than
its share of all connections lets the others go first for 2 ms. Linux wakes the worker that waited last, so
without that one worker would take nearly everything.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pcs_gateway.http.refusals import Refusal
from pcs_gateway.processes import shortage
from pcs_gateway.proxy.downstream import DownstreamConnection
from pcs_gateway.proxy.tls_listening import TlsListeners
from pcs_gateway.telemetry.repeated_lines import RepeatedLines

if TYPE_CHECKING:
    from pcs_gateway.processes.scoreboard import Row, Scoreboard
    from pcs_gateway.proxy.data_plane import DataPlane

ACCEPTS_PER_WAKE_UP = 4
PAUSE_SECONDS = 0.002
FULL_PAUSE_SECONDS = 0.05
"""How long a worker without room or without descriptors waits before it looks again."""

SILENT_SECONDS = 0.3
"""Without a heartbeat for this long a worker accepts nothing, so nobody waits for it to take its share."""


def holds_more_than_its_share(own: int, all_workers: Sequence[int]) -> bool:
    """
    Tell whether a worker with `own` connections should let the others accept first.

    It is measured by the worker that holds the fewest and not by the mean: of four workers one may stay
    empty while the others are all near the mean.
    """
    return bool(all_workers) and own > min(all_workers) * 1.125 + 2


class Acceptor:
    """
    Accepts for one worker.

    Attributes:
        under_way: Connections accepted from the kernel that cannot carry a request yet: their protocol is not
            connected, or their TLS handshake not complete.
        is_closed: Nothing is accepted any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        plane: DataPlane,
        scoreboard: Scoreboard,
        row: Row,
        sockets: Sequence[socket.socket],
        warn: Callable[[OSError], None],
        tls: TlsListeners | None = None,
    ) -> None:
        self._loop = loop
        self._plane = plane
        self._scoreboard = scoreboard
        self._row = row
        self._sockets = list(sockets)
        self._warn = warn
        self._tls = tls if tls is not None else TlsListeners()
        self._is_listening = False
        self._repeated = RepeatedLines()
        self.is_closed = False
        self.under_way: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Accept from now on."""
        for listener in self._sockets:
            listener.setblocking(False)
        self._row.accepting = 1
        self._listen()

    def _listen(self) -> None:
        if not self._is_listening and not self.is_closed:
            self._is_listening = True
            for listener in self._sockets:
                self._loop.add_reader(listener.fileno(), self._accept_some, listener)

    def _pause(self, seconds: float) -> None:
        if self._is_listening:
            self._is_listening = False
            for listener in self._sockets:
                self._loop.remove_reader(listener.fileno())
            self._plane.delays.start(seconds, self._listen)

    def _accept_some(self, listener: socket.socket) -> None:
        plane = self._plane
        for _ in range(ACCEPTS_PER_WAKE_UP):
            held = self._row.client_connections
            if held >= plane.connections.room:
                self._make_room()
                return
            if holds_more_than_its_share(held, self._counts()):
                self._pause(PAUSE_SECONDS)
                return
            if not self._accept_one(listener):
                return

    def _make_room(self) -> None:
        """Look again soon, when the connections that made room are closed; later when there were none."""
        made = self._plane.connections.make_room(self._plane.monotonic())
        self._pause(PAUSE_SECONDS if made else FULL_PAUSE_SECONDS)

    def _counts(self) -> list[int]:
        """The connections of each worker that accepts now; one that hangs, or was stopped, does not."""
        workers = [self._scoreboard.row(index) for index in self._scoreboard.rows_in_use()]
        latest = self._plane.monotonic() - SILENT_SECONDS
        return [row.client_connections for row in workers if row.accepting and row.heartbeat > latest]

    def _accept_one(self, listener: socket.socket) -> bool:
        try:
            accepted, address = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if shortage.is_ours(error):
                self._tell(error)
                self._make_room()
            return False
        client = address[0] if isinstance(address, tuple) else ""
        if self._plane.connections.turns_away(client):
            accepted.close()
            self._plane.record_refusal(
                client, Refusal.TOO_MANY_CONNECTIONS, 0, b"", b"", self._plane.monotonic()
            )
            return True
        accepted.setblocking(False)
        task = self._loop.create_task(self._connect(accepted, client, listener.fileno()))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)
        self._plane.connections.count_arriving(1)
        return True

    def _tell(self, error: OSError) -> None:
        if self._repeated.may_say(error.errno, self._plane.monotonic()):
            self._warn(error)

    async def _connect(self, accepted: socket.socket, client: str, listener_fd: int) -> None:
        has_arrived = False
        try:
            if self._tls.speaks_tls(listener_fd):
                has_arrived = await self._tls.serve(self._plane, listener_fd, accepted, client)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: DownstreamConnection(self._plane, b"http"), accepted
                )
                has_arrived = True
        except OSError:
            pass  # the client is gone already
        finally:
            # whatever it was: a count that stays would hold this worker back from accepting for good
            if not has_arrived:
                accepted.close()
                self._plane.connections.count_arriving(-1)

    def close(self) -> None:
        """Accept what is queued, then no more: who was let in by the kernel is served."""
        if self.is_closed:
            return
        for listener in self._sockets:
            if self._is_listening:
                self._loop.remove_reader(listener.fileno())
            while self._accept_one(listener):
                pass
            listener.close()
        self.is_closed = True
        self._is_listening = False
        self._row.accepting = 0
