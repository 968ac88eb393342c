"""
One pool in one worker: its members with their connections. Who waits for a lease is in its `queue`.

Connections are reused last in, first out, so that the ones which are not needed grow old together and are
closed before the backend closes them.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from pcs_gateway.backends.backend import Backend
from pcs_gateway.backends.member import Member
from pcs_gateway.balancing import LoadBalancer
from pcs_gateway.balancing.budget import AttemptBudget
from pcs_gateway.http.messages import ResponseHead, read_response_head
from pcs_gateway.processes import shortage
from pcs_gateway.proxy.attempts import Failure
from pcs_gateway.proxy.endings import own_fault
from pcs_gateway.proxy.failing import attempt_failed
from pcs_gateway.proxy.queue import Queue
from pcs_gateway.proxy.tls_backends import BackendTls, TlsHandshakeFailed, backend_tls, open_tls
from pcs_gateway.proxy.upstream import UpstreamConnection
from pcs_gateway.tls.contexts import NO_FILES, Files

if TYPE_CHECKING:
    from pcs_gateway.backends.config import PoolConfig
    from pcs_gateway.backends.member import Lease
    from pcs_gateway.processes.pool_cells import PoolCells
    from pcs_gateway.processes.scoreboard import Row
    from pcs_gateway.proxy.delays import Delays
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.telemetry.recorder import Recorder

REST_SECONDS = 0.01
"""How long a connection is not used after an answer without a body: a body that is sent all the same follows
its head closely. It costs a few connections more while such answers come fast, and no new one for each."""


MEMO_HEADS = 256
MEMO_HEAD_BYTES = 2048
MISSES_BEFORE_PAUSE = 32
PAUSE_RESPONSES = 1024


class UpstreamMember(Member):
    """
    A member with this worker's idle connections to it, the most recently used last.

    Some backends repeat their response heads to the byte within a second, others (PCS tells its processing
    time) never do. So heads are kept, and for those that never repeat the memo pauses.
    """

    __slots__ = ("_heads", "_misses", "connection_cells", "idle", "is_removed", "next_address", "tls_session")

    def __init__(self, backend: Backend, row: Row) -> None:
        super().__init__(backend, row.in_flight, (row.latency_sums, row.latency_counts))
        self.connection_cells = row.connections
        self.idle: list[UpstreamConnection] = []
        self.is_removed = False
        self.next_address = 0
        self.tls_session: tuple[ssl.SSLContext, ssl.SSLSession] | None = None
        self._heads: dict[bytes, ResponseHead] = {}
        self._misses = 0

    @property
    def is_counted(self) -> bool:
        """Its cells are not zero: an attempt is in flight, or a connection open."""
        return bool(self.in_flight or self.connections)

    def read_response_head(self, head_bytes: bytes) -> ResponseHead:
        """
        Read a complete response head.

        Raises:
            MalformedResponse: It is not one.
        """
        misses = self._misses
        if misses < 0:
            self._misses = misses + 1
            return read_response_head(head_bytes)
        head = self._heads.get(head_bytes)
        if head is not None:
            self._misses = 0
            return head
        head = read_response_head(head_bytes)
        if len(self._heads) >= MEMO_HEADS:
            self._heads = {}
        if len(head_bytes) <= MEMO_HEAD_BYTES:
            self._heads[head_bytes] = head
        self._misses = misses + 1 if misses < MISSES_BEFORE_PAUSE else -PAUSE_RESPONSES
        return head


class UpstreamPool:
    """
    A pool as the data path uses it.

    Attributes:
        slot: Index of the pool's cells in the scoreboard.
        queue: The exchanges that wait for a lease.
        waiters: How many these are.
        is_gated: Somebody waits or a limit on the whole pool holds: leases are given by the queue.
        budget: Of its retries and hedges.
        swept: Monotonic seconds of the last sweep; precise enough for idle connections.
        tls: For `https://` backends; None when there are none.
    """

    __slots__ = (
        "_delays",
        "_loop",
        "balancer",
        "budget",
        "config",
        "connecting",
        "is_gated",
        "most_idle",
        "name",
        "queue",
        "slot",
        "swept",
        "tls",
        "uses_latency",
        "waiters",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - what a worker consists of, named once
        self,
        name: str,
        config: PoolConfig,
        balancer: LoadBalancer,
        cells: PoolCells,
        delays: Delays,
        loop: asyncio.AbstractEventLoop,
        monotonic: Callable[[], float],
        random: Random,
        recorder: Recorder,
        files: Files = NO_FILES,
    ) -> None:
        self.name = name
        self.slot = cells.slot
        self.balancer = balancer
        self.swept = monotonic()
        self.waiters = 0
        self.is_gated = False
        self.tls: BackendTls | None = None
        self.budget = AttemptBudget(cells.budget(), cells.budgets_elsewhere)
        self.connecting: set[asyncio.Task[None]] = set()
        self._delays = delays
        self._loop = loop
        self.queue = Queue(self, cells, delays, monotonic, random, recorder)
        self.configure(config, files)

    def __repr__(self) -> str:
        members = " | ".join(map(repr, self.balancer.members))
        return f"<UpstreamPool {self.name}: {self.waiters} waiting, {members}>"

    def configure(self, config: PoolConfig, files: Files = NO_FILES) -> None:
        """Take over the pool's section of the configuration, and the files that it names."""
        self.config = config
        self.tls = backend_tls(config, files, self.tls)
        self.most_idle = config.connections.idle
        self.uses_latency = self.balancer.strategy.uses_latency
        self.queue.configure(config)

    # connections

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose exchange is over."""
        member = connection.member
        idle = member.idle
        if len(idle) >= self.most_idle or member.is_removed:
            connection.close()
        else:
            connection.idle_since = self.swept
            connection.is_reused = True
            idle.append(connection)

    def rest(self, connection: UpstreamConnection) -> None:
        """Keep a connection apart for a while, and take it back if its backend was silent."""
        self._delays.start(REST_SECONDS, connection.rested)

    def connect(self, member: UpstreamMember, exchange: Exchange, lease: Lease) -> None:
        """Open a connection for an exchange that holds a lease of this member."""
        timeout = exchange.matched.timeouts.connect
        task = self._loop.create_task(self._connect(member, exchange, lease, timeout))
        self.connecting.add(task)
        task.add_done_callback(self.connecting.discard)

    async def _connect(
        self, member: UpstreamMember, exchange: Exchange, lease: Lease, timeout: float
    ) -> None:
        try:
            await self._connect_to_any(member, exchange, lease, timeout)
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost one exchange, not its lease
            own_fault(exchange, error)

    async def _connect_to_any(
        self, member: UpstreamMember, exchange: Exchange, lease: Lease, timeout: float
    ) -> None:
        addresses = member.backend.addresses
        failure = Failure.UNRESOLVED
        for _ in range(min(len(addresses), 3)):
            address = addresses[member.next_address % len(addresses)]
            try:
                async with asyncio.timeout(timeout):
                    connection = await self._open(member, address)
            except TimeoutError:
                failure = Failure.CONNECT_TIMEOUT
            except OSError as error:
                failure = _failure(error, failure)
                if shortage.is_of_descriptors(error):
                    exchange.plane.connections.relieve(exchange.plane.monotonic())
            except TlsHandshakeFailed as error:
                failure = error.failure
            else:
                if not connection.is_open:
                    # closed as soon as accepted: nothing was sent
                    failure = Failure.CONNECT_FAILED
                elif exchange.wants_connection(lease):
                    exchange.send(connection)
                    return
                else:
                    self.release(connection)
                    return
            member.next_address += 1
        if exchange.wants_connection(lease):
            attempt_failed(exchange, failure)

    async def _open(self, member: UpstreamMember, address: str) -> UpstreamConnection:
        if self.tls is not None and member.backend.scheme == "https":
            return await open_tls(self, self.tls, member, address)
        _, connection = await self._loop.create_connection(
            lambda: UpstreamConnection(self, member), address, member.backend.port
        )
        return connection

    def opened(self, member: UpstreamMember) -> None:
        """Count a connection."""
        member.connections += 1
        member.connection_cells[member.backend.column] = member.connections

    def closed(self, connection: UpstreamConnection) -> None:
        """Stop counting a connection."""
        member = connection.member
        member.connections -= 1
        member.connection_cells[member.backend.column] = member.connections
        self.forget(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """Lease a connection no longer."""
        idle = connection.member.idle
        if connection in idle:
            idle.remove(connection)

    def drop_idle(self, member: UpstreamMember) -> None:
        """Close a member's idle connections: it restarted, or it was removed."""
        idle, member.idle = member.idle, []
        for connection in idle:
            connection.close()

    def tick(self, now: float) -> None:
        """Close connections that were idle for long enough, and let time end what it ends."""
        self.swept = now
        self.budget.show(now)
        oldest = now - self.config.connections.idle_timeout
        for member in self.balancer.members:
            idle = member.idle  # type: ignore[attr-defined]
            while idle and idle[0].idle_since < oldest:
                idle.pop(0).close()
        self.balancer.tick(now)
        self.queue.tick(now)

    # waiting

    def serve_waiters(self) -> None:
        """A lease ended, or the pool has changed: give leases to those who wait."""
        if self.waiters:
            self.queue.serve()


def _failure(error: OSError, before: Failure) -> Failure:
    """Judge a failed connect; a shortage of ours hides nothing that another address told of the backend."""
    if not shortage.is_ours(error):
        return Failure.CONNECT_FAILED
    return Failure.OUT_OF_RESOURCES if before is Failure.UNRESOLVED else before
