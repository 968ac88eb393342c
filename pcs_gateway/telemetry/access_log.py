"""
The access log of a worker: one JSON object on a line for each exchange.

On the data path an exchange costs one append. Lines are made from batches of records, on the loop, and
written by the thread of a `LineWriter`. The fields are those of `AccessLine`; no header field is among them,
and secrets in the query are masked (see `redaction`).

With `sample` below 1 that share of the plain exchanges is logged, chosen by chance; what was refused, was
answered with 500 or more, broke off, or took more than one attempt is always logged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import floor
from random import Random
from typing import Final

import msgspec

from pcs_gateway.telemetry.delta import Event
from pcs_gateway.telemetry.line_writer import STANDARD_OUTPUT, LineWriter
from pcs_gateway.telemetry.record import ExchangeRecord
from pcs_gateway.telemetry.redaction import ALWAYS_SHORT, MAXIMUM_TARGET, shown_target

BATCH: Final = 128
"""Records that are encoded at once, which holds the loop for about 0.15 ms."""
HAND_OVER_BATCHES: Final = 4
"""So many are handed over without waiting for `flush`: each time wakes the thread, which wants the GIL."""

ROOM: Final = 2900
"""
Bytes of a line for target and outcomes: the rest, names of 64 and 128 characters and a request id of 128
that may all be escaped, fits into the other 1195. A pipe takes a line of up to 4096 bytes in one piece.
"""

_MILLISECONDS: Final = tuple(f"{number:03d}Z" for number in range(1000))


class AccessLine(msgspec.Struct, omit_defaults=True, gc=False):
    """
    One line of the access log. Times are in seconds, with microseconds.

    Attributes:
        time: When the request's head was complete: RFC 3339, UTC, with milliseconds.
        target: As received, secrets in the query masked; cut when it is very long.
        time_to_first_byte: From then to the first byte of the response head.
        upstream_time: The part of `duration` that the backend took.
        gateway_time: The gateway's own share.
        status: 0 when no response was sent.
        outcomes: Absent in the plain case; else every attempt as [backend, outcome].
        reason: Absent in the plain case; else why it was refused or broke off.
    """

    time: str
    request_id: str
    client: str
    method: str
    target: str
    route: str
    status: int
    duration: float
    time_to_first_byte: float
    upstream_time: float
    gateway_time: float
    attempts: int
    pool: str
    backend: str
    request_bytes: int
    response_bytes: int
    reason: str = ""
    outcomes: tuple[tuple[str, str], ...] = ()


_ENCODER: Final = msgspec.json.Encoder()


def encode_lines(records: Sequence[ExchangeRecord]) -> bytes:
    """Return one line of JSON for each record."""
    lines = []
    second = limit = 0.0
    prefix = ""
    for record in records:
        started = record.started
        if not second <= started < limit:
            second = floor(started)
            limit = second + 1.0
            prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        target = record.target.decode("latin-1")
        if "?" in target or "@" in target or len(target) > ALWAYS_SHORT:
            target = shown_target(target, _room(record.outcomes) if record.outcomes else MAXIMUM_TARGET)
        lines.append(
            AccessLine(
                prefix + _MILLISECONDS[floor((started - second) * 1000.0)],
                record.request_id.decode("latin-1"),
                record.client,
                record.method.decode("latin-1"),
                target,
                record.route,
                record.status,
                # microseconds by floor: a fifth of the time of round, a half of that of int
                floor(record.duration * 1e6) / 1e6,
                floor(record.time_to_first_byte * 1e6) / 1e6,
                floor(record.upstream_time * 1e6) / 1e6,
                floor(record.gateway_time * 1e6) / 1e6,
                record.attempts,
                record.pool,
                record.backend,
                record.request_bytes,
                record.response_bytes,
                record.reason,
                record.outcomes,
            )
        )
    return _ENCODER.encode_lines(lines)


def _room(outcomes: Sequence[tuple[str, str]]) -> int:
    """Return how many bytes of JSON are left for the target."""
    taken = sum(len(backend) + len(outcome) + len('["",""],') for backend, outcome in outcomes)
    return min(MAXIMUM_TARGET, ROOM - taken)


class AccessLog:
    """
    Collects records and hands them over as lines.

    Call `flush` about every 100 ms, and `close` at the end.
    """

    def __init__(
        self,
        writer: LineWriter,
        sample: float,
        random: Random,
        count: Callable[[str, int], None],
    ) -> None:
        """
        Begin a log.

        Args:
            writer: Where the lines go.
            sample: Share of the plain exchanges that is logged, 0 to 1.
            random: Chooses them.
            count: Told how many lines were written, dropped and left out (`Recorder.count`).
        """
        self._writer = writer
        self._sample = sample
        self._random = random.random
        self._count = count
        self._pending: list[ExchangeRecord] = []
        self._encoded: list[bytes] = []
        self._unsampled = 0
        self._written = 0
        self._dropped = 0

    def __repr__(self) -> str:
        return f"<AccessLog {len(self._pending)} records pending, {self._writer}>"

    @property
    def error(self) -> str:
        """Why lines cannot be written at present; "" while they can."""
        return self._writer.error

    @property
    def waiting_bytes(self) -> int:
        """What was handed over and is neither written nor lost yet."""
        return self._writer.waiting_bytes

    def append(self, record: ExchangeRecord) -> None:
        """Log an exchange that is over; its record must not change any more."""
        if self._sample < 1.0 and not is_noteworthy(record) and self._random() >= self._sample:
            self._unsampled += 1
            return
        pending = self._pending
        pending.append(record)
        if len(pending) >= BATCH:
            self._encode()
            if len(self._encoded) >= HAND_OVER_BATCHES:
                self.flush()

    def flush(self) -> None:
        """Hand over what is pending, and count what has become of the lines before."""
        if self._pending:
            self._encode()
        if self._encoded:
            self._writer.put(b"".join(self._encoded))
            self._encoded.clear()
        self._count_lines()

    def reopen(self) -> None:
        """Open the file anew, as after its rotation."""
        self._writer.reopen()

    def close(self, timeout: float) -> bool:
        """Write everything, for at most `timeout` seconds; return whether it is done (`LineWriter.close`)."""
        self.flush()
        is_done = self._writer.close(timeout)
        self._count_lines()
        return is_done

    def _encode(self) -> None:
        pending, self._pending = self._pending, []
        self._encoded.append(encode_lines(pending))

    def _count_lines(self) -> None:
        written, dropped = self._writer.written, self._writer.dropped
        self._tell(Event.ACCESS_LOG_WRITTEN, written - self._written)
        self._tell(Event.ACCESS_LOG_DROPPED, dropped - self._dropped)
        self._tell(Event.ACCESS_LOG_UNSAMPLED, self._unsampled)
        self._written, self._dropped, self._unsampled = written, dropped, 0

    def _tell(self, event: Event, amount: int) -> None:
        if amount:
            self._count(event, amount)


def is_noteworthy(record: ExchangeRecord) -> bool:
    """Return whether an exchange did not go as usual, so that no sample may leave it out."""
    return record.status >= 500 or record.attempts > 1 or bool(record.reason)


def destination_of(file: str) -> str | int:
    """Return where the `file` of the configuration leads: "-" is standard output."""
    return STANDARD_OUTPUT if file == "-" else file
