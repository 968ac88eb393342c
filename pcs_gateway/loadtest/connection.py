"""One connection of the load tester: requests out, answers in, read by llhttp."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

from pcs_gateway.clock import Clock
from pcs_gateway.loadtest.config import TestScenario
from pcs_gateway.loadtest.outcomes import Failure


@dataclass(slots=True)
class LoadRequest:
    """
    One request of a load test.

    Attributes:
        scenario: What is requested.
        message: Its bytes.
        intended: Monotonic second at which it should have left.
        sent: Monotonic second at which it left; 0.0 before.
        user: The user of a closed loop who waits for it; -1 in an open loop.
    """

    scenario: TestScenario
    message: bytes
    intended: float
    sent: float = 0.0
    user: int = -1


@dataclass(frozen=True, slots=True)
class LoadResponse:
    """
    A complete answer.

    Attributes:
        status: Its status.
        instance: Who answered, by the field that names it; "" where it is missing.
        body_bytes: Bytes of the body.
        at: Monotonic second of its last byte.
    """

    status: int
    instance: str
    body_bytes: int
    at: float


class ConnectionOwner(Protocol):
    """Whoever is told what comes of the requests; every request given is answered or failed exactly once."""

    def request_answered(self, request: LoadRequest, response: LoadResponse) -> None: ...

    def request_failed(self, request: LoadRequest, failure: Failure, detail: str) -> None: ...

    def connection_idle(self, connection: LoadConnection) -> None: ...

    def connection_ended(self, connection: LoadConnection) -> None: ...


class LoadConnection(asyncio.Protocol):
    """
    A connection that carries one batch of requests at a time.

    Args:
        owner: Whom it tells.
        clock: Time.
        instance_header: The field that names who answered.
    """

    __slots__ = (
        "_body_bytes", "_clock", "_instance", "_instance_header", "_is_delimited", "_is_reusable", "_owner",
        "_parser", "_response_started", "_transport", "pending",
    )  # fmt: skip

    def __init__(self, owner: ConnectionOwner, clock: Clock, instance_header: str) -> None:
        self._owner = owner
        self._clock = clock
        self._instance_header = instance_header.lower().encode()
        self._is_reusable = True
        self.pending: deque[LoadRequest] = deque()
        self._begin_response()
        self._parser = httptools.HttpResponseParser(self)

    def __repr__(self) -> str:
        return f"<LoadConnection {len(self.pending)} pending>"

    def send(self, batch: list[LoadRequest]) -> None:
        """Send all requests at once; the connection must be idle."""
        now = self._clock.monotonic()
        for request in batch:
            request.sent = now
        self.pending.extend(batch)
        self._transport.write(batch[0].message if len(batch) == 1 else b"".join(one.message for one in batch))

    def give_up(self, failure: Failure, detail: str = "") -> None:
        """Fail what is pending and end the connection."""
        self._fail_pending(failure, detail)
        self._transport.abort()

    def close(self) -> None:
        self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self.pending:
            self._transport.abort()  # an answer to nothing; the owner hears of the end
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self.pending:
                self.give_up(Failure.MALFORMED_RESPONSE, str(error))
            else:
                self._transport.abort()

    def eof_received(self) -> bool | None:
        if self._response_started and self.pending and not self._is_delimited:
            self._is_reusable = False
            self._finish_response()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._fail_pending(Failure.CONNECTION_RESET, str(exc))
        elif self._response_started:
            self._fail_pending(
                Failure.INCOMPLETE_RESPONSE, f"ended after {self._body_bytes} bytes of the body"
            )
        self._fail_pending(Failure.CONNECTION_CLOSED, "ended before an answer")
        self._owner.connection_ended(self)

    # httptools' callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == self._instance_header:
            self._instance = value.decode("latin-1")
        elif name in {b"content-length", b"transfer-encoding"}:
            self._is_delimited = True

    def on_headers_complete(self) -> None:
        self._response_started = True
        status = self._parser.get_status_code()
        if status in {204, 304}:
            self._is_delimited = True
        if status >= 200 and self.pending and self.pending[0].scenario.method == "HEAD":
            # llhttp would take the Content-Length of an answer to HEAD for that of a body
            self._is_reusable = self._is_reusable and self._parser.should_keep_alive()
            self._finish_response()
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        if not self._response_started:
            return  # the answer to HEAD, finished at its head
        if 100 <= self._parser.get_status_code() < 200:
            self._begin_response()
            return
        self._is_reusable = self._is_reusable and self._parser.should_keep_alive()
        self._finish_response()

    def _begin_response(self) -> None:
        self._response_started = False
        self._is_delimited = False
        self._instance = ""
        self._body_bytes = 0

    def _finish_response(self) -> None:
        response = LoadResponse(
            status=self._parser.get_status_code(),
            instance=self._instance,
            body_bytes=self._body_bytes,
            at=self._clock.monotonic(),
        )
        self._begin_response()
        if not self.pending:
            self._transport.abort()
            return
        request = self.pending.popleft()
        if not self.pending:
            if self._is_reusable:
                self._owner.connection_idle(self)
            else:
                self._transport.close()
        # only now: a user of a closed loop sends on at once, and finds this connection idle
        self._owner.request_answered(request, response)

    def _fail_pending(self, failure: Failure, detail: str) -> None:
        while self.pending:
            self._owner.request_failed(self.pending.popleft(), failure, detail)
