"""
The driver of a load test: it sends when the pacing says so, and hands what comes back to the counters.

No task, future or timer is made for a request; one task paces, one sweeps timeouts, and each connection's
making is a task.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from random import Random
from typing import ClassVar

from pcs_gateway.clock import Clock
from pcs_gateway.loadtest.config import LoadTestConfig
from pcs_gateway.loadtest.connection import LoadConnection, LoadRequest, LoadResponse
from pcs_gateway.loadtest.measurements import Measurements
from pcs_gateway.loadtest.outcomes import Failure
from pcs_gateway.loadtest.pacing import ConstantArrivals, Pacer, PoissonArrivals, RatePacer, UserPacer
from pcs_gateway.loadtest.target import Target, encode_request

EARLIEST = 0.001
"""Seconds before its time at which a request may leave: the loop's timers are no finer."""

SWEEP = 0.05
"""Seconds between two looks for timeouts; also how the tester notices that its loop was held up."""

UNYIELDING = 64
"""Requests that are begun before the loop gets its turn, when many are late."""

RETREAT = 0.05
"""Seconds that a user of a closed loop pauses after he got no connection."""

PARTING = 1.0
"""Seconds that connections have for closing in order (TLS takes a round trip)."""

Batch = list[LoadRequest]


class TestRunner:
    """
    One test on its way. It is the owner of its connections.

    Args:
        config: What to do.
        clock: Time.
        random: Chance.
    """

    __test__: ClassVar[bool] = False  # the specification's name begins as pytest's classes do

    def __init__(self, config: LoadTestConfig, clock: Clock, random: Random) -> None:
        self._config = config
        self._clock = clock
        self._random = random
        self._target = Target.parse(config.base_url)
        self._messages = [
            (scenario, encode_request(scenario, config, self._target)) for scenario in config.test_scenarios
        ]
        self._weights = [scenario.weight for scenario in config.test_scenarios]
        self._idle: list[LoadConnection] = []
        self._open: set[LoadConnection] = set()
        self._waiting: deque[Batch] = deque()
        self._unanswered: dict[int, int] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._thinking: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._finished = asyncio.Event()
        self._pacing: asyncio.Task[None] | None = None
        self.measurements = Measurements()

    async def execute(self) -> None:
        """Run the whole test, until all that was begun has ended."""
        self._addresses = await self._resolve()
        self._tls = self._tls_context()
        self.measurements.started = self._clock.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                sweeping = group.create_task(self._sweep(), name="load test: sweep")
                self._pacing = group.create_task(self._pace(), name="load test: pace")
                if self._is_stopping:
                    self._pacing.cancel()
                await asyncio.wait({self._pacing})
                await self._drain()
                sweeping.cancel()
        finally:
            await self._close()

    def stop(self) -> None:
        """Send nothing more; `execute` returns when all that was sent has ended."""
        self._is_stopping = True
        if self._pacing is not None:
            self._pacing.cancel()

    # sending

    def _pacer(self) -> Pacer:
        config = self._config
        if not config.is_open_loop:
            return UserPacer(config.concurrent_users, config.ramp_up_time)
        arrivals = PoissonArrivals(self._random) if config.arrivals == "poisson" else ConstantArrivals()
        return RatePacer(arrivals, config.target_rps, config.duration, config.ramp_up_time)

    async def _pace(self) -> None:
        """Begin each request, or each user, at its time; then wait for the duration's end."""
        pacer = self._pacer()
        started = self.measurements.started
        hits = 0
        while True:
            elapsed = self._clock.monotonic() - started
            pace = pacer.pace(elapsed, hits)
            if pace.stop:
                break
            if pace.wait > EARLIEST:
                await self._clock.sleep(max(pace.wait - EARLIEST, EARLIEST))
                continue
            self.measurements.lateness.record(max(-pace.wait, 0.0))
            due = started + elapsed + pace.wait
            if self._config.is_open_loop:
                self._begin([self._request(due)])
            else:
                self._begin_user(hits, due)
            hits += 1
            if hits % UNYIELDING == 0:
                await self._clock.sleep(0)
        await self._clock.sleep(started + self._config.duration - self._clock.monotonic())

    def _request(self, intended: float, user: int = -1) -> LoadRequest:
        messages = self._messages
        scenario, message = (
            messages[0] if len(messages) == 1 else self._random.choices(messages, self._weights)[0]
        )
        return LoadRequest(scenario, message, intended, user=user)

    def _begin_user(self, user: int, intended: float) -> None:
        batch = [self._request(intended, user) for _ in range(self._config.pipelined_requests)]
        self._unanswered[user] = len(batch)
        self._begin(batch)

    def _begin(self, batch: Batch) -> None:
        self.measurements.begun += len(batch)
        self.measurements.last_due = batch[0].intended - self.measurements.started
        if self._idle:
            self._send(self._idle.pop(), batch)
            return
        if len(self._open) + len(self._connecting) >= self._config.concurrent_users:
            self.measurements.waited += len(batch)
        self._waiting.append(batch)
        self._connect_for_waiting()

    def _send(self, connection: LoadConnection, batch: Batch) -> None:
        self.measurements.sent(len(batch))
        connection.send(batch)

    # connections

    def _connect_for_waiting(self) -> None:
        most = self._config.concurrent_users
        while len(self._connecting) < len(self._waiting) and len(self._open) + len(self._connecting) < most:
            task = asyncio.create_task(self._connect(), name="load test: connect")
            self._connecting.add(task)
            task.add_done_callback(self._connect_ended)

    def _connect_ended(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        if not task.cancelled():
            self._connect_for_waiting()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._config.connect_timeout):
                connection = await self._dial()
        except ConnectionRefusedError as error:
            self._fail_waiting(Failure.CONNECTION_REFUSED, error)
        except TimeoutError as error:
            self._fail_waiting(Failure.CONNECTION_TIMEOUT, error)
        except OSError as error:
            self._fail_waiting(Failure.CONNECTION_FAILED, error)
        else:
            self.measurements.connections += 1
            self._open.add(connection)
            self.connection_idle(connection)

    async def _dial(self) -> LoadConnection:
        """Connect to the first address that takes a connection; next time it is tried first."""
        failure = OSError(f"{self._target.host} has no address")
        for address in self._addresses:
            try:
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: LoadConnection(self, self._clock, self._config.instance_header),
                    address,
                    self._target.port,
                    ssl=self._tls,
                    server_hostname=self._target.host if self._tls else None,
                )
            except OSError as error:
                failure = error
            else:
                self._addresses = sorted(self._addresses, key=lambda other: other != address)
                return connection
        raise failure

    def _fail_waiting(self, failure: Failure, error: OSError) -> None:
        """Fail the request that has waited longest: the attempt was made for it."""
        if self._waiting:
            for request in self._waiting.popleft():
                self.request_failed(request, failure, str(error) or failure.value)

    async def _resolve(self) -> list[str]:
        found = await asyncio.get_running_loop().getaddrinfo(self._target.host, self._target.port)
        return list(dict.fromkeys(str(address[4][0]) for address in found))

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._target.scheme != "https":
            return None
        context = ssl.create_default_context()
        if not self._config.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    # what the connections tell

    def connection_idle(self, connection: LoadConnection) -> None:
        """Give the connection the oldest waiting batch, or keep it."""
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def connection_ended(self, connection: LoadConnection) -> None:
        """Forget the connection; another may be made for what waits."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._connect_for_waiting()

    def request_answered(self, request: LoadRequest, response: LoadResponse) -> None:
        """Count it; the user of a closed loop goes on."""
        self.measurements.answered(request, response)
        self._continue(request, self._config.think_time)

    def request_failed(self, request: LoadRequest, failure: Failure, detail: str) -> None:
        """Count it; the user of a closed loop goes on, after a pause."""
        self.measurements.gave_up(request, failure, detail, self._clock.monotonic())
        self._continue(request, max(self._config.think_time, RETREAT))

    def _continue(self, request: LoadRequest, pause: float) -> None:
        if request.user >= 0:
            self._unanswered[request.user] -= 1
            if self._unanswered[request.user] == 0 and not self._is_over():
                self._begin_again(request.user, pause)
        if self._is_over() and self.measurements.outstanding == 0:
            self._finished.set()

    def _begin_again(self, user: int, pause: float) -> None:
        if pause <= 0:
            self._begin_user(user, self._clock.monotonic())
            return
        task = asyncio.create_task(self._think(user, pause), name="load test: think")
        self._thinking.add(task)
        task.add_done_callback(self._thinking.discard)

    async def _think(self, user: int, pause: float) -> None:
        await self._clock.sleep(pause)
        if not self._is_over():
            self._begin_user(user, self._clock.monotonic())

    def _is_over(self) -> bool:
        elapsed = self._clock.monotonic() - self.measurements.started
        return self._is_stopping or elapsed >= self._config.duration

    # the end

    async def _sweep(self) -> None:
        """Give up what takes too long, and notice when the loop was held up."""
        while True:
            due = self._clock.monotonic() + SWEEP
            await self._clock.sleep(SWEEP)
            now = self._clock.monotonic()
            self.measurements.lateness.record(max(now - due - EARLIEST, 0.0))
            self._give_up_overdue(now - self._config.timeout)

    def _give_up_overdue(self, latest: float) -> None:
        for connection in [one for one in self._open if one.pending and one.pending[0].sent <= latest]:
            connection.give_up(Failure.RESPONSE_TIMEOUT, f"no complete answer in {self._config.timeout:g} s")
        while self._waiting and self._waiting[0][0].intended <= latest:
            for request in self._waiting.popleft():
                self.request_failed(request, Failure.NO_CONNECTION, "all connections were busy")

    async def _drain(self) -> None:
        self._is_stopping = True
        if self.measurements.outstanding:
            await self._finished.wait()
        self.measurements.ended = self._clock.monotonic()

    async def _close(self) -> None:
        for task in [*self._connecting, *self._thinking]:
            task.cancel()
        for connection in self._open:
            connection.close()
        deadline = self._clock.monotonic() + PARTING
        while self._open and self._clock.monotonic() < deadline:
            await self._clock.sleep(EARLIEST)
        for connection in list(self._open):
            connection.give_up(Failure.RESPONSE_TIMEOUT)
