"""
A gateway's data plane inside the test's own loop: the real protocols on real sockets, no processes.

It is made of the parts a worker is made of; the test plays the control process. On leaving, it asserts that
nothing is left behind: no lease, no waiter, no connection, no task, and no error in a callback.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, NamedTuple, Self

from pcs_gateway.backends.backend import Backend, Health, HealthStatus
from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.balancing.budget import Spending, add
from pcs_gateway.clock import SystemClock
from pcs_gateway.config.files import named_files
from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.processes.columns import Columns
from pcs_gateway.processes.messages import EvidenceEntry
from pcs_gateway.processes.plan import Listener
from pcs_gateway.processes.scoreboard import Role, Row, Scoreboard
from pcs_gateway.processes.tickets import Tickets
from pcs_gateway.proxy.accepting import Acceptor
from pcs_gateway.proxy.data_plane import DataPlane
from pcs_gateway.proxy.tls_listening import TlsListeners
from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.record import ExchangeRecord
from pcs_gateway.telemetry.recorder import Recorder
from pcs_gateway.tls.config import subject_names
from tests.fakes.backend import Script, ScriptedBackend
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

SWEEP_SECONDS = 0.1
WORKER_ROW = 1


class JumpingClock(SystemClock):
    """The machine's clock, some seconds ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.wall_ahead = 0.0

    def time(self) -> float:
        return time.time() + self.wall_ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


class RecordingRecorder(Recorder):
    """Keeps the records too, as values of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[ExchangeRecord] = []

    def record(self, record: ExchangeRecord) -> None:
        super().record(record)
        kept = ExchangeRecord()
        for name in _RECORDED:
            setattr(kept, name, getattr(record, name))
        self.records.append(kept)


_RECORDED = tuple(ExchangeRecord.__slots__)


def one_pool(*urls: str, pool: Mapping[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """Give a configuration with the pool `pcs`, its backends named b0, b1 and so on."""
    backends = [{"url": url, "name": f"b{number}"} for number, url in enumerate(urls)]
    return {"pools": {"pcs": {"backends": backends, **(pool or {})}}, **sections}


def _files(config: GatewayConfig) -> dict[str, bytes]:
    """Read what the configuration names for TLS, as the control process does."""
    return {path: Path(path).read_bytes() for path in named_files(config)}


class OtherWorker:
    """What another worker shows on the scoreboard."""

    def __init__(self, scoreboard: Scoreboard, clock: JumpingClock) -> None:
        self.row = scoreboard.occupy(WORKER_ROW + 1, Role.WORKER, 1, 2)
        self._clock = clock

    def spend_retry(self, slot: int = 0) -> None:
        """Spend from the budget of a pool."""
        add(self.row.budget(slot), Spending.RETRIES, int(self._clock.monotonic()), 1)


class Gateway:
    """
    One worker's data plane, used as `async with Gateway(config) as gateway:`.

    Args:
        configuration: As in a file.
        patience: Seconds that what is going on gets to end when the context is left.
        beside: Another one, whose scoreboard this one shares, as a second worker does.

    Attributes:
        port: Where it listens on 127.0.0.1.
        plane: The data plane.
        recorder: What it records into; `records` are all exchanges that are over and settled.
        evidence: What it reported to the control process.
        addresses: Of every backend; call `publish` after a change.
        unready: Names of backends that are published as not ready; call `publish` after a change.
        errors: What the loop's exception handler was told.
    """

    def __init__(
        self, configuration: Mapping[str, Any], patience: float = 5.0, beside: Gateway | None = None
    ) -> None:
        self._beside = beside
        self._patience = patience
        self._configuration = GatewayConfig.model_validate(configuration)
        self.recorder = RecordingRecorder()
        self.evidence: list[EvidenceEntry] = []
        self.addresses: tuple[str, ...] = ("127.0.0.1",)
        self.unready: set[str] = set()
        self.errors: list[dict[str, Any]] = []
        self.columns = Columns()
        self.version = 0
        self.port = 0
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        self._loop = loop = asyncio.get_running_loop()
        self._scoreboard: Scoreboard = self._beside._scoreboard if self._beside else Scoreboard.create()
        self._tickets = Tickets.create()
        row = WORKER_ROW + len(self._scoreboard.rows_in_use())
        self.row = self._scoreboard.occupy(row, Role.WORKER, 1, row)
        self._clock = clock = JumpingClock()
        self.plane = DataPlane(
            loop,
            clock,
            Random(1),
            os.urandom,
            self._scoreboard,
            self.row,
            self._tickets,
            self.recorder,
            self.evidence.append,
        )
        loop.set_exception_handler(lambda _, context: self.errors.append(context))
        loop.set_task_factory(self._make_task)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        first = self._configuration.listen[0]
        self.tls = TlsListeners([Listener(first.address, first.tls is not None, "", listener.fileno())])
        self.reload()
        self.acceptor = Acceptor(
            loop,
            self.plane,
            self._scoreboard,
            self.row,
            [listener],
            lambda error: self.errors.append({"exception": error}),
            self.tls,
        )
        self.acceptor.start()
        self._sweep()
        return self

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, /, **options: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        if "pcs_gateway" in coroutine.cr_code.co_filename:
            self._tasks.append(task)
        return task

    def _sweep(self) -> None:
        self.plane.sweep()
        self._sweeping = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def jump(self, seconds: float) -> None:
        """Let time pass at once, as the data plane sees it: a sweep, then whatever short delay is due."""
        self._clock.ahead += seconds
        self.plane.sweep()
        self.plane.delays.run_due()

    def set_wall_clock(self, ahead: float) -> None:
        """Let the time of day be so many seconds ahead of the machine's; durations do not notice."""
        self._clock.wall_ahead = ahead

    def another_row(self, index: int = WORKER_ROW + 1, role: Role = Role.WORKER) -> Row:
        """The row of another process, for a test to write what that one would show."""
        return self._scoreboard.occupy(index, role, 1, index)

    def client(self, tls: ssl.SSLContext | None = None, server_name: str = "localhost") -> RawClient:
        """A client of this gateway."""
        return RawClient(self.port, tls, server_name)

    # the control process

    def reload(self, configuration: Mapping[str, Any] | None = None) -> None:
        """Apply a configuration, as a worker does with a snapshot."""
        if configuration is not None:
            self._configuration = GatewayConfig.model_validate(configuration)
        config = self._configuration
        self.version += 1
        urls = [(name, backend.url) for name, pool in config.pools.items() for backend in pool.backends]
        self.columns = self.columns.allot(urls, self.version)
        files = _files(config)
        self.tls.configure(config.listen, files)
        self.plane.replace_pools(self.snapshots(), config.pools, files)
        self.plane.configure(
            config.routes,
            config.limits,
            config.timeouts,
            config.forwarding,
            config.rate_limits,
            subject_names(one.tls for one in config.listen),
        )
        self.row.snapshot_version = self.version

    def publish(self) -> None:
        """Publish changed readiness, as a pool update."""
        for snapshot in self.snapshots():
            self.plane.replace_pool(snapshot)

    def reclaim(self) -> None:
        """Free the columns that nobody counts in any more."""
        self.columns = self.columns.reclaim(self._scoreboard.column_is_zero, self.row.snapshot_version)

    def snapshots(self) -> Sequence[PoolSnapshot]:
        """Give the pools as the control process would publish them: all ready but `unready`."""
        return [
            PoolSnapshot(name, slot, tuple(self._backend(name, backend) for backend in pool.backends))
            for slot, (name, pool) in enumerate(self._configuration.pools.items())
        ]

    def _backend(self, pool: str, config: Any) -> Backend:
        host, _, port = config.url.partition("://")[2].rpartition(":")
        column = self.columns.column(pool, config.url)
        ready = config.name not in self.unready
        return Backend(
            pool,
            config.name,
            config.url,
            config.url.partition(":")[0],
            host,
            int(port),
            self.addresses,
            config.weight,
            column.index,
            column.generation,
            health=Health(HealthStatus.HEALTHY, 1.0, "200 in 1 ms")
            if ready
            else Health(HealthStatus.UNHEALTHY, 1.0, "connection refused"),
            ready=ready,
            reason="" if ready else "unhealthy",
            priority=config.priority,
        )

    def other_worker(self) -> OtherWorker:
        """Play another worker of the same gateway, as far as the scoreboard shows it."""
        return OtherWorker(self._scoreboard, self._clock)

    # what it shows

    @property
    def in_flight(self) -> int:
        """Attempts in flight, on all backends."""
        return sum(self.row.in_flight[: self.columns.width])

    @property
    def upstream_connections(self) -> int:
        """Connections to backends, idle ones included."""
        return sum(self.row.connections[: self.columns.width])

    @property
    def waiting(self) -> int:
        """Exchanges that wait for a lease."""
        return sum(self.row.waiters)

    @property
    def records(self) -> list[ExchangeRecord]:
        """What was recorded so far."""
        self.plane.settle()
        return self.recorder.records

    async def record(self, number: int = 0) -> ExchangeRecord:
        """Wait for a record."""
        await until(lambda: len(self.records) > number)
        return self.records[number]

    @property
    def delta(self) -> Delta:
        """What was counted since it was last asked for."""
        self.plane.settle()
        return self.recorder.take_delta()

    # the end

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._assert_nothing_is_left()
        finally:
            self._sweeping.cancel()
            self.acceptor.close()
            self.plane.cut_all()
            self.plane.replace_pools((), {})
            await asyncio.sleep(0)
            self._loop.set_exception_handler(None)
            self._loop.set_task_factory(None)
            self._tickets.close()
            if self._beside is None:
                self._scoreboard.close()

    async def _assert_nothing_is_left(self) -> None:
        self.acceptor.close()
        try:
            await until(self.is_quiet, self._patience)
            self.plane.replace_pools((), {})
            await until(lambda: not self.upstream_connections, self._patience)
        except TimeoutError:
            pass
        done = [task for task in self._tasks if task.done() and not task.cancelled()]
        left = {
            "errors": self.errors,
            "tasks": [task for task in self._tasks if not task.done()],
            "errors of tasks": [task.exception() for task in done if task.exception()],
            "connections of clients": len(self.plane.connections) or self.row.client_connections,
            "abandoned exchanges": len(self.plane.abandoned),
            "leases": sum(map(abs, self.row.in_flight)),
            "waiters": sum(map(abs, self.row.waiters)),
            "connections to backends": sum(map(abs, self.row.connections)),
        }
        left = {name: what for name, what in left.items() if what}
        assert not left, f"left behind: {left}"

    def is_quiet(self) -> bool:
        """Nothing is going on: no client, no exchange, nothing in flight."""
        return (
            self.plane.is_empty()
            and not self.in_flight
            and not self.waiting
            and not self.acceptor.under_way
            and not any(pool.connecting for pool in self.plane.pools.values())
        )


class Conversation(NamedTuple):
    """A client, the gateway it is connected to, and the only backend behind that."""

    client: RawClient
    gateway: Gateway
    backend: ScriptedBackend


@asynccontextmanager
async def talking(
    script: Script,
    pool: Mapping[str, Any] | None = None,
    receive_buffer: int | None = None,
    **sections: Any,
) -> AsyncIterator[Conversation]:
    """Connect a client through a gateway to a backend that follows a script."""
    async with (
        ScriptedBackend(script, receive_buffer) as backend,
        Gateway(one_pool(backend.url, pool=pool, **sections)) as gateway,
        gateway.client() as client,
    ):
        yield Conversation(client, gateway, backend)


@asynccontextmanager
async def balancing(
    *scripts: Script, pool: Mapping[str, Any] | None = None, **sections: Any
) -> AsyncIterator[tuple[RawClient, Gateway, list[ScriptedBackend]]]:
    """The same with several backends, named b0, b1 and so on."""
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(ScriptedBackend(script)) for script in scripts]
        configuration = one_pool(*[backend.url for backend in backends], pool=pool, **sections)
        gateway = await stack.enter_async_context(Gateway(configuration))
        yield await stack.enter_async_context(gateway.client()), gateway, backends
