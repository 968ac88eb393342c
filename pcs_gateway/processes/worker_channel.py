"""
A worker's end of the channel: dials the control process and dials again, and never waits for it.

The law of this file: whatever happens to the channel, the worker keeps what it knows, holds at most two
deltas (one under way, one waiting) and a bounded number of evidence entries, and dials again within a second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final, Protocol, cast

import msgspec

from pcs_gateway.clock import Clock
from pcs_gateway.processes.delivery import Outbox
from pcs_gateway.processes.event_log import Log
from pcs_gateway.processes.frames import FrameBuffer, FrameError, frame, reachable
from pcs_gateway.processes.messages import (
    EVIDENCE_DELAY,
    Acknowledged,
    ControlMessage,
    Evidence,
    EvidenceEntry,
    HedgeDelays,
    Hello,
    MeasurementsAdded,
    PoolUpdate,
    Refused,
    Snapshot,
    Verdict,
)
from pcs_gateway.processes.snapshot_file import load_snapshot
from pcs_gateway.telemetry.delta import Delta

MAX_UNSENT_BYTES: Final = 1024 * 1024
"""From here on evidence is held back: the control process does not read."""

MAX_EVIDENCE: Final = 1024
"""Evidence entries held while the channel is down; then the oldest are dropped."""

MEASURE_EVERY: Final = 1.0
"""Seconds between two deltas."""

REDIAL_FIRST: Final = 0.05
REDIAL_LAST: Final = 1.0
"""Seconds until the first and every later dialling; doubled in between, less up to a half by chance."""

_from_control = msgspec.msgpack.Decoder(ControlMessage)


class WorkerHandler(Protocol):
    """What a worker does with what the control process sends; called in its event loop, must not block."""

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Apply a snapshot; it counts as acknowledged when this returns."""
        ...

    def on_pool_update(self, update: PoolUpdate) -> None:
        """Apply an update; it counts as acknowledged when this returns."""
        ...

    def on_verdict(self, verdict: Verdict) -> None:
        """Learn what became of evidence."""
        ...

    def on_hedge_delays(self, delays: HedgeDelays) -> None:
        """Learn after how long requests are hedged."""
        ...


class WorkerChannel:
    """
    The connection to whatever control process there is.

    Args:
        path: Of the socket.
        take_delta: Gives, once a second, what was measured since it was called last.
    """

    def __init__(
        self,
        path: Path,
        hello: Hello,
        handler: WorkerHandler,
        take_delta: Callable[[], Delta],
        log: Log,
        clock: Clock,
        random: Random,
    ) -> None:
        self._path = path
        self._hello = hello
        self._handler = handler
        self._take_delta = take_delta
        self._log = log
        self._clock = clock
        self._random = random
        self._outbox = Outbox()
        self._evidence: deque[EvidenceEntry] = deque(maxlen=MAX_EVIDENCE)
        self._evidence_timer: asyncio.TimerHandle | None = None
        self._connection: _ControlConnection | None = None
        self._has_snapshot = asyncio.Event()
        self._refused = ""
        self._failures = 0
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        state = "connected" if self._connection else "not connected"
        return f"<WorkerChannel of row {self._hello.row}: {state}, {self._outbox!r}>"

    def start(self) -> None:
        """Begin to dial and to measure, in the running loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._dial_forever()), loop.create_task(self._measure_forever())]

    async def first_snapshot(self, stored: Path, within: float = 0.2) -> None:
        """
        Return when a snapshot was applied: the control process', or after `within` seconds the stored one.

        When there is no stored one either, it waits for the control process: nothing was published yet.
        """
        try:
            await asyncio.wait_for(self._has_snapshot.wait(), within)
        except TimeoutError:
            snapshot = load_snapshot(stored)
            if snapshot is None:
                await self._has_snapshot.wait()
            elif not self._has_snapshot.is_set():
                self._log.warning("snapshot_from_file", version=snapshot.version)
                self._handler.on_snapshot(snapshot)
                self._has_snapshot.set()

    def report(self, entry: EvidenceEntry) -> None:
        """Send evidence, together with what else comes within the next 10 ms."""
        self._evidence.append(entry)
        if self._evidence_timer is None:
            loop = asyncio.get_running_loop()
            self._evidence_timer = loop.call_later(EVIDENCE_DELAY, self._send_evidence)

    async def close(self, patience: float = 0.5) -> None:
        """Hand over the last delta, if the control process takes it in `patience` seconds, and hang up."""
        self._outbox.add(self._take_delta())
        self._send_measurements()
        self._send_evidence()
        deadline = self._clock.monotonic() + patience
        while self._connection and not self._outbox.is_empty and self._clock.monotonic() < deadline:
            await self._clock.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()

    async def _dial_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                with reachable(self._path) as name:
                    _, connection = await loop.create_unix_connection(lambda: _ControlConnection(self), name)
            except OSError:
                pass  # the control process is away, which is no event of ours: it is replaced and comes back
            else:
                await connection.lost
            pause = min(REDIAL_FIRST * 2**self._failures, REDIAL_LAST)
            self._failures = min(self._failures + 1, 10)
            await self._clock.sleep(pause * self._random.uniform(0.5, 1.0))

    async def _measure_forever(self) -> None:
        while True:
            await self._clock.sleep(MEASURE_EVERY)
            self._outbox.add(self._take_delta())
            self._send_measurements()

    def _send_measurements(self) -> None:
        """Send what waits, unless something is under way already."""
        if self._connection is not None and (message := self._outbox.send_next()) is not None:
            self._connection.send(message)

    def _send_evidence(self) -> None:
        """Send all evidence; or keep it, when nobody reads."""
        if self._evidence_timer is not None:
            self._evidence_timer.cancel()
            self._evidence_timer = None
        if self._evidence and self._connection is not None and self._connection.is_read():
            self._connection.send(Evidence(tuple(self._evidence)))
            self._evidence.clear()

    # What the connection calls.

    def connected(self, connection: _ControlConnection) -> None:
        """Say who we are, and repeat the delta of which nobody knows whether it arrived."""
        self._connection = connection
        connection.send(self._hello)
        if self._outbox.under_way is not None:
            connection.send(self._outbox.under_way)
        self._send_measurements()
        self._send_evidence()

    def disconnected(self, connection: _ControlConnection) -> None:
        """Go on without; the dialling task notices by itself."""
        if self._connection is connection:
            self._connection = None

    def receive(self, message: ControlMessage) -> None:
        """Take one message of the control process."""
        match message:
            case Snapshot():
                if self._apply(message.version, lambda: self._handler.on_snapshot(message)):
                    self._has_snapshot.set()
                    self._failures = 0
            case PoolUpdate():
                self._apply(message.version, lambda: self._handler.on_pool_update(message))
            case Verdict():
                self._handler.on_verdict(message)
            case HedgeDelays():
                self._handler.on_hedge_delays(message)
            case MeasurementsAdded(sequence):
                self._outbox.acknowledge(sequence)
                self._send_measurements()
                self._send_evidence()
            case Refused(reason):
                self._tell_refused(reason)

    def not_understood(self, error: Exception) -> None:
        """Say that the control process speaks another language; dialling again may find a better one."""
        self._log.error("channel_not_understood", error=str(error))

    def _apply(self, version: int, apply: Callable[[], None]) -> bool:
        """Apply and acknowledge; what cannot be applied is told and never acknowledged, the old one stays."""
        try:
            apply()
        except Exception as error:  # noqa: BLE001 (a snapshot that we cannot use must not stop traffic)
            self._log.error("snapshot_not_applied", version=version, error=f"{type(error).__name__}: {error}")
            return False
        if self._connection is not None:
            self._connection.send(Acknowledged(version))
        return True

    def _tell_refused(self, reason: str) -> None:
        """Once for each reason, not with each dialling."""
        if reason != self._refused:
            self._log.error("channel_refused", reason=reason)
            self._refused = reason


class _ControlConnection(asyncio.Protocol):
    """
    One connection at the worker's end.

    Attributes:
        lost: Done when the connection is closed.
    """

    def __init__(self, channel: WorkerChannel) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._channel = channel
        self._frames = FrameBuffer()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is not of asyncio's classes
        self._channel.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._channel.disconnected(self)
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                self._channel.receive(_from_control.decode(body))
        except (FrameError, msgspec.MsgspecError) as error:
            self._channel.not_understood(error)
            self.close()

    def is_read(self) -> bool:
        """Whether the control process keeps up with what it is sent."""
        return self._transport is not None and self._transport.get_write_buffer_size() < MAX_UNSENT_BYTES

    def send(self, message: msgspec.Struct) -> None:
        """Send without waiting."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(message))

    def close(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()
