"""
The control process' end of the channel: a Unix stream socket in the state directory that workers dial.

The law of this file: the control process never waits for a worker. What a worker does not read is dropped
together with its connection, and it gets a full snapshot when it dials again. Whatever one connection brings
can end that connection only.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, Protocol, cast

import msgspec

from pcs_gateway.processes.delivery import Inbox
from pcs_gateway.processes.event_log import Log
from pcs_gateway.processes.frames import FrameBuffer, FrameError, frame, listen_at
from pcs_gateway.processes.messages import (
    PROTOCOL,
    Acknowledged,
    Evidence,
    EvidenceEntry,
    HedgeDelays,
    Hello,
    Measurements,
    MeasurementsAdded,
    PoolUpdate,
    Refused,
    Snapshot,
    Verdict,
    WorkerMessage,
    replace_pool,
)
from pcs_gateway.processes.scoreboard import CONTROL_ROW, ROWS, Scoreboard
from pcs_gateway.processes.snapshot_file import store_snapshot
from pcs_gateway.telemetry.delta import Delta

MAX_UNREAD_BYTES: Final = 8 * 1024 * 1024
"""What the control process keeps for a worker that does not read."""

_from_worker = msgspec.msgpack.Decoder(WorkerMessage)


class ServerHandler(Protocol):
    """What the control process does with what workers send; called in its event loop, must not block."""

    def on_measurements(self, worker: Hello, delta: Delta) -> None:
        """Add a delta; called once for each, whatever happened to connections."""
        ...

    def on_evidence(self, worker: Hello, entries: tuple[EvidenceEntry, ...]) -> None:
        """Judge what traffic says about backends."""
        ...


class ChannelServer:
    """
    The control process' end: publishes snapshots, collects what workers send.

    Args:
        path: Of the socket.
        snapshot_path: Of the file with the last published snapshot.
        scoreboard: Tells which workers live; a worker that it does not show is refused.
    """

    def __init__(
        self, path: Path, snapshot_path: Path, scoreboard: Scoreboard, handler: ServerHandler, log: Log
    ) -> None:
        self._path = path
        self._snapshot_path = snapshot_path
        self._scoreboard = scoreboard
        self._handler = handler
        self._log = log
        self._snapshot: Snapshot | None = None
        self._full = b""
        self._standing: dict[type, bytes] = {}
        self._inbox = Inbox()
        self._acknowledged: dict[int, int] = {}
        self._connections: dict[int, _WorkerConnection] = {}
        self._waiting: set[_WorkerConnection] = set()
        self._server: asyncio.AbstractServer | None = None

    def __repr__(self) -> str:
        version = self._snapshot.version if self._snapshot else 0
        return f"<ChannelServer: {len(self._connections)} workers, version {version}>"

    async def start(self) -> None:
        """
        Let workers dial; one that comes before the first `publish` waits for it.

        Raises:
            OSError: The state directory cannot be written to.
        """
        loop = asyncio.get_running_loop()
        listener = listen_at(self._path)
        self._server = await loop.create_unix_server(lambda: _WorkerConnection(self), sock=listener)

    async def close(self) -> None:
        """Close every connection and the socket."""
        if self._server is not None:
            self._server.close()
        for connection in [*self._connections.values(), *self._waiting]:
            connection.close()

    def publish(self, snapshot: Snapshot) -> None:
        """
        Give every worker this snapshot, those that dial later too, and store it.

        Raises:
            FrameError: It is too large to be sent; nothing is changed.
        """
        self._remember(snapshot)
        for connection in [*self._connections.values(), *self._waiting]:
            connection.send(self._full)
        for connection in list(self._waiting):
            self._admit(connection)

    def update(self, update: PoolUpdate) -> None:
        """
        Give every worker this pool, those that dial later too, and store it. Needs a published snapshot.

        Raises:
            FrameError: It is too large to be sent; nothing is changed.
        """
        if self._snapshot is None:
            raise RuntimeError("update before the first publish")
        message = frame(update)
        self._remember(replace_pool(self._snapshot, update))
        self._broadcast(message)

    def tell(self, verdict: Verdict) -> None:
        """Give every connected worker this verdict."""
        self._broadcast(frame(verdict))

    def keep_telling(self, message: HedgeDelays) -> None:
        """Give every worker these numbers, those that dial later too, until others take their place."""
        self._standing[type(message)] = frame(message)
        self._broadcast(self._standing[type(message)])

    def acknowledged(self) -> dict[int, int]:
        """The version that each living worker acknowledged last, by row; 0 for one that has not yet."""
        rows = {row: self._scoreboard.row(row).incarnation for row in self._scoreboard.rows_in_use()}
        return {row: self._acknowledged.get(incarnation, 0) for row, incarnation in rows.items()}

    def acknowledged_by_all(self) -> int:
        """The version that every living worker has acknowledged; what is published when there is none."""
        published = self._snapshot.version if self._snapshot else 0
        return min(self.acknowledged().values(), default=published)

    def _remember(self, snapshot: Snapshot) -> None:
        """Keep a snapshot for those that dial; on disk as well, where a failure does no more harm."""
        self._full = frame(snapshot)
        self._snapshot = snapshot
        try:
            store_snapshot(self._snapshot_path, snapshot)
        except OSError as error:
            self._log.error("snapshot_not_stored", path=str(self._snapshot_path), error=str(error))

    def _broadcast(self, message: bytes) -> None:
        for connection in list(self._connections.values()):
            connection.send(message)

    # What connections call.

    def greet(self, connection: _WorkerConnection, hello: Hello) -> None:
        """Admit a worker that said who it is, or refuse it."""
        reason = _reason_to_refuse(hello, self._scoreboard)
        if reason:
            self.refuse(connection, reason)
            return
        self._forget_the_dead()
        connection.hello = hello
        self._waiting.add(connection)
        if self._snapshot is not None:
            connection.send(self._full)
            self._admit(connection)

    def refuse(self, connection: _WorkerConnection, reason: str) -> None:
        """Close a connection and say why, to its other end and in the log."""
        worker = connection.hello
        self._log.warning("channel_refused", reason=reason, row=worker.row if worker else None)
        connection.send(frame(Refused(reason)))
        connection.close()

    def receive(self, connection: _WorkerConnection, worker: Hello, message: WorkerMessage) -> None:
        """Take one message of an admitted worker."""
        match message:
            case Acknowledged(version):
                self._acknowledged[worker.incarnation] = version
            case Measurements(sequence, delta):
                if self._inbox.is_new(worker.incarnation, sequence):
                    self._handler.on_measurements(worker, delta)
                connection.send(frame(MeasurementsAdded(sequence)))
            case Evidence(entries):
                self._handler.on_evidence(worker, entries)
            case Hello():
                self.refuse(connection, "a second hello on one connection")

    def drop(self, connection: _WorkerConnection, reason: str) -> None:
        """Tell the log why a connection is cut off."""
        worker = connection.hello
        self._log.warning("channel_dropped", reason=reason, row=worker.row if worker else None)

    def lost(self, connection: _WorkerConnection) -> None:
        """Forget a connection that is closed."""
        self._waiting.discard(connection)
        worker = connection.hello
        if worker is not None and self._connections.get(worker.incarnation) is connection:
            del self._connections[worker.incarnation]

    def _admit(self, connection: _WorkerConnection) -> None:
        """From now on it gets what is broadcast, instead of an earlier connection of the same worker."""
        self._waiting.discard(connection)
        if connection.hello is None:
            return
        for message in self._standing.values():
            connection.send(message)
        earlier = self._connections.get(connection.hello.incarnation)
        self._connections[connection.hello.incarnation] = connection
        if earlier is not None:
            earlier.close()

    def _forget_the_dead(self) -> None:
        rows = self._scoreboard.rows_in_use()
        living = {self._scoreboard.row(row).incarnation for row in rows}
        self._inbox.forget_all_but(living)
        self._acknowledged = {one: version for one, version in self._acknowledged.items() if one in living}


def _reason_to_refuse(hello: Hello, scoreboard: Scoreboard) -> str:
    """Why the control process cannot talk to this worker; empty when it can."""
    if hello.protocol != PROTOCOL:
        return (
            f"the worker (pid {hello.pid}) speaks protocol {hello.protocol}, the control process {PROTOCOL}: "
            "restart the gateway, it was upgraded while it ran"
        )
    if not CONTROL_ROW < hello.row < ROWS:
        return f"row {hello.row} is no worker's row (1 to {ROWS - 1})"
    if scoreboard.row(hello.row).incarnation != hello.incarnation:
        return f"the process in row {hello.row} is another one; pid {hello.pid} is not of this gateway"
    return ""


class _WorkerConnection(asyncio.Protocol):
    """
    One connection at the control process' end.

    Attributes:
        hello: Who dialled; None until it said so.
    """

    def __init__(self, server: ChannelServer) -> None:
        self.hello: Hello | None = None
        self._server = server
        self._frames = FrameBuffer()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is not of asyncio's classes

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.lost(self)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                self._receive(_from_worker.decode(body))
        except (FrameError, msgspec.MsgspecError) as error:
            self._abort(f"not understood: {error}")

    def _receive(self, message: WorkerMessage) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self.hello is not None:
            self._server.receive(self, self.hello, message)
        elif isinstance(message, Hello):
            self._server.greet(self, message)
        else:
            self._server.refuse(self, f"{type(message).__name__} before hello")

    def send(self, message: bytes) -> None:
        """Send without waiting; a worker that has not read too much is cut off."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._abort("the worker does not read")
            return
        transport.write(message)

    def close(self) -> None:
        """Close when all is sent."""
        if self._transport is not None:
            self._transport.close()

    def _abort(self, reason: str) -> None:
        if self._transport is not None:
            self._server.drop(self, reason)
            self._transport.abort()
