"""
Everything that the exchanges of one worker share: the snapshot as compiled, the pools, the sweep.

A snapshot is applied by building the new routes and pools and then assigning them; members are kept by
column and generation, so health, leases and connections outlive every reload.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from email.utils import formatdate
from random import Random
from typing import TYPE_CHECKING

from pcs_gateway.balancing import LoadBalancer, Rules, choice, make_strategy
from pcs_gateway.http.forwarding import Forwarding, Identities
from pcs_gateway.http.refusals import Refusal
from pcs_gateway.http.request_fields import RequestFieldsReader
from pcs_gateway.processes.pool_cells import PoolCells
from pcs_gateway.processes.rate_table import RateTable
from pcs_gateway.proxy.admission import admissions, key_names
from pcs_gateway.proxy.client_connections import ClientConnections
from pcs_gateway.proxy.config import ForwardingConfig, LimitsConfig, RouteConfig, TimeoutsConfig
from pcs_gateway.proxy.delays import Delays
from pcs_gateway.proxy.endings import break_off, look_after, refuse_or_break_off
from pcs_gateway.proxy.evidence import Evidence
from pcs_gateway.proxy.failing import holds_back
from pcs_gateway.proxy.hedge import hedge_is_due
from pcs_gateway.proxy.latencies import Latencies
from pcs_gateway.proxy.other_workers import OtherWorkers
from pcs_gateway.proxy.routing import Route, Router
from pcs_gateway.proxy.upstream_pool import UpstreamMember, UpstreamPool
from pcs_gateway.telemetry.record import ExchangeRecord
from pcs_gateway.tls.contexts import NO_FILES, Files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pcs_gateway.backends.config import PoolConfig
    from pcs_gateway.backends.pool import PoolSnapshot
    from pcs_gateway.clock import Clock
    from pcs_gateway.processes.messages import EvidenceEntry
    from pcs_gateway.processes.scoreboard import Row, Scoreboard
    from pcs_gateway.processes.tickets import Tickets
    from pcs_gateway.proxy.admission_config import RateLimitConfig
    from pcs_gateway.proxy.exchange import Exchange
    from pcs_gateway.telemetry.access_log import AccessLog
    from pcs_gateway.telemetry.recorder import Recorder

FORGET_AFTER = 5.0
"""Seconds of idleness after which a connection gives up what it keeps for speed."""

DRAIN_IDLE_SECONDS = 2.0
"""Seconds of idleness after which a draining worker half-closes a connection."""

SETTLED_TOGETHER = 128
"""Exchanges that are recorded in one go; a loop over many costs less than as many single calls."""


def _raise(error: Exception) -> None:
    raise error


class DataPlane:
    """
    The data plane of one worker.

    Attributes:
        router: The routes of the current snapshot.
        connections: All connections of clients.
        tell_fault: Takes an exception that nobody expected, after its exchange was ended.
        holds_back: What exchanges ask of a response that another attempt may better; here, since it makes
            exchanges of its own.
        hedge: The same for an attempt that lasts longer than `hedge.after`.
        random: For what is left to chance.
        abandoned: Exchanges whose client left and whose response is still awaited.
        is_draining: An answer says that the connection closes, unless more requests have come on it already.
        wall_offset: Unix time less monotonic time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a worker consists of, named once
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        random: Random,
        random_bytes: Callable[[int], bytes],
        scoreboard: Scoreboard,
        row: Row,
        tickets: Tickets,
        recorder: Recorder,
        report: Callable[[EvidenceEntry], None],
    ) -> None:
        self.loop = loop
        self.monotonic = clock.monotonic
        self._time = clock.time
        self.random = random
        self._scoreboard = scoreboard
        self._others = OtherWorkers(scoreboard, row)
        self._row = row
        self._rate_table = RateTable(scoreboard, row.index)
        self._tickets = tickets
        self._latencies = Latencies(scoreboard, row)
        self.recorder = recorder
        self.access_log: AccessLog | None = None
        self.tell_fault: Callable[[Exception], None] = _raise
        self._over: list[Exchange] = []
        self.evidence = Evidence(report, recorder.count, self._count_workers)
        self.holds_back = holds_back
        self.hedge = hedge_is_due
        self._hedge_delays: Mapping[str, float] = {}
        self.delays = Delays(loop, clock.monotonic)
        self.identities = Identities(random_bytes)
        self.connections = ClientConnections(self, scoreboard, row)
        self.abandoned: set[Exchange] = set()
        self.pools: dict[str, UpstreamPool] = {}
        self._members: dict[tuple[int, int], UpstreamMember] = {}
        self._leaving: dict[tuple[int, int], UpstreamMember] = {}
        self._second = -1
        self._trusted_proxies: tuple[str, ...] = ()
        self.date_line = b""
        self.wall_offset = 0.0
        self.is_draining = False
        self._closes_idle = False
        self.router = Router(())
        self.configure((), LimitsConfig(), TimeoutsConfig(), ForwardingConfig())
        self._tell_time(clock.monotonic())

    def __repr__(self) -> str:
        return f"<DataPlane: {len(self.connections)} connections, {list(self.pools.values())}>"

    def _count_workers(self) -> int:
        return len(self._scoreboard.rows_in_use())

    # the snapshot

    def configure(
        self,
        routes: Iterable[RouteConfig],
        limits: LimitsConfig,
        timeouts: TimeoutsConfig,
        forwarding: ForwardingConfig,
        rate_limits: Sequence[RateLimitConfig] = (),
        own_names: frozenset[bytes] = frozenset(),
    ) -> None:
        """
        Take over the sections that steer the data plane, after its pools.

        Args:
            own_names: Lower-cased names of further fields that only the gateway may set.
        """
        self.limits = limits
        self.timeouts = timeouts
        self.header_bytes = limits.header_bytes
        self.client_idle = timeouts.client_idle
        is_trust_new = forwarding.trusted_proxies != self._trusted_proxies
        self._trusted_proxies = forwarding.trusted_proxies
        self.forwarding = Forwarding(forwarding.trusted_proxies, forwarding.forwarded)
        self.writes_server_timing = forwarding.server_timing
        name = forwarding.request_id_header.encode("latin-1")
        self.request_id_name = name.lower()
        self.request_id_start = name + b": "
        self.is_request_id_usual = name == b"X-Request-ID"
        routes = tuple(routes)
        self.known_sections = RequestFieldsReader(
            self.request_id_name, limits.headers, own_names, key_names(rate_limits, routes)
        ).known
        admission = admissions(self._rate_table, rate_limits, routes)
        self.router = Router(
            Route(
                route,
                self.pools[route.pool] if route.pool else None,
                limits,
                timeouts,
                admission.get(route.name),
                self._hedge_delays.get(route.name, 0.0),
            )
            for route in routes
        )
        for connection in self.connections:
            if is_trust_new:
                connection.client = self.forwarding.client(connection.client, connection.client.address)
            connection.forget_written()
        self.connections.cap(limits.connections_per_client or 0)
        self.connections.bound(limits.connections, [pool.config for pool in self.pools.values()])

    def hedge_after(self, delays: Mapping[str, float]) -> None:
        """Take over the routes' percentiles after which they are hedged; the last value holds."""
        self._hedge_delays = {**self._hedge_delays, **delays}
        for route in self.router.routes:
            if route.hedge is not None and route.name in delays:
                route.hedge.publish(delays[route.name])

    def log_to(self, access_log: AccessLog | None) -> None:
        """Write an access log beside the counters, or none."""
        self.settle()
        self.access_log = access_log

    def over(self, exchange: Exchange) -> None:
        """Take an exchange that is over; it is recorded with others, at the latest by the next sweep."""
        if exchange.outcomes:
            self.evidence.settle(exchange, exchange.ended)
        over = self._over
        over.append(exchange)
        if len(over) >= SETTLED_TOGETHER:
            self.settle()

    def settle(self) -> None:
        """Record the exchanges that are over."""
        over, self._over = self._over, []
        record, wall_offset = self.recorder.record, self.wall_offset
        for exchange in over:
            exchange.settle(wall_offset)
            record(exchange)
        if self.access_log is not None:
            for exchange in over:
                self.access_log.append(exchange)

    def replace_pools(
        self, snapshots: Sequence[PoolSnapshot], configs: Mapping[str, PoolConfig], files: Files = NO_FILES
    ) -> None:
        """Take over all pools; members of the same column and generation keep what they have."""
        pools: dict[str, UpstreamPool] = {}
        for snapshot in snapshots:
            known = self.pools.get(snapshot.name)
            config = configs[snapshot.name]
            if known is not None and known.slot == snapshot.slot:
                if choice(known.config) != choice(config):
                    known.balancer = self._new_balancer(snapshot, config)
                known.configure(config, files)
                pools[snapshot.name] = known
            else:
                pools[snapshot.name] = self._new_pool(snapshot, config, files)
        gone = [pool for name, pool in self.pools.items() if pools.get(name) is not pool]
        self.pools = pools
        for snapshot in snapshots:
            self.replace_pool(snapshot)
        current = {(b.column, b.generation) for snapshot in snapshots for b in snapshot.backends}
        for key in [key for key in self._members if key not in current]:
            self._remove(key)
        self._leaving = {key: member for key, member in self._leaving.items() if member.is_counted}
        for pool in gone:
            # an exchange that came before the change may still hold it: nobody is left to lease there
            pool.balancer.replace((), 0)
            pool.serve_waiters()
            pool.queue.close()

    def replace_pool(self, snapshot: PoolSnapshot) -> None:
        """Take over one pool: readiness, weights, addresses, members."""
        pool = self.pools.get(snapshot.name)
        if pool is None:
            return
        before = {(m.backend.column, m.backend.generation) for m in pool.balancer.members}
        members = [self._member(backend) for backend in snapshot.backends]
        after = {(b.column, b.generation) for b in snapshot.backends}
        rules = Rules(pool.config.panic_threshold, pool.config.slow_start)
        pool.balancer.replace(members, pool.config.connections.max_per_backend, rules, self.monotonic())
        for key in before - after:
            self._remove(key)
        pool.serve_waiters()

    def _member(self, backend) -> UpstreamMember:  # type: ignore[no-untyped-def]
        key = (backend.column, backend.generation)
        member = self._members.get(key)
        if member is None:
            member = self._leaving.pop(key) if key in self._leaving else UpstreamMember(backend, self._row)
            member.is_removed = False
            self._members[key] = member
        if backend.ready and not member.backend.ready:
            member.skipped_until = 0.0
            member.consecutive_failures = 0
            member.own.is_suspended = False
        if not backend.addresses or backend.addresses != member.backend.addresses:
            idle, member.idle = member.idle, []
            for connection in idle:
                connection.close()
        member.backend = backend
        member.name = backend.name
        return member

    def _remove(self, key: tuple[int, int]) -> None:
        """Let go of a member; should it come back, what it still has in flight counts on."""
        member = self._leaving[key] = self._members.pop(key)
        member.is_removed = True
        idle, member.idle = member.idle, []
        for connection in idle:
            connection.close()

    def _new_pool(self, snapshot: PoolSnapshot, config: PoolConfig, files: Files) -> UpstreamPool:
        return UpstreamPool(
            snapshot.name,
            config,
            self._new_balancer(snapshot, config),
            PoolCells(self._scoreboard, self._row, snapshot.slot),
            self.delays,
            self.loop,
            self.monotonic,
            self.random,
            self.recorder,
            files,
        )

    def _new_balancer(self, snapshot: PoolSnapshot, config: PoolConfig) -> LoadBalancer:
        slot = snapshot.slot
        strategy = make_strategy(config, lambda: self._tickets.take(slot), self.random)
        return LoadBalancer(snapshot.name, strategy, config.connections.max_per_backend, self._others)

    def unskip(self, pool_name: str, backend_name: str) -> None:
        """The control process denied this worker's evidence: use the backend again."""
        pool = self.pools.get(pool_name)
        for member in pool.balancer.members if pool is not None else ():
            if member.backend.name == backend_name and pool is not None:
                self.evidence.unskip(pool, member, self.monotonic())

    def record_refusal(
        self, client: str, refusal: Refusal, status: int, line: bytes, request_id: bytes, now: float
    ) -> None:
        """Record a connection, or bytes, refused before there was an exchange; status 0: unanswered."""
        record = ExchangeRecord()
        method, _, rest = line.partition(b" ")
        record.method = method[:32]
        record.target = rest.partition(b" ")[0]
        record.status = status
        record.reason = refusal.reason
        record.started = self.wall_offset + now
        record.duration = record.gateway_time = self.monotonic() - now
        record.client = client
        record.request_id = request_id
        self.recorder.record(record)
        if self.access_log is not None:
            self.access_log.append(record)

    # time

    def sweep(self) -> None:
        """Each 100 ms: end what has waited too long, close what was idle for long enough."""
        now = self.monotonic()
        self._tell_time(now)
        self.settle()
        for connection in list(self.connections):
            exchange = connection.exchange
            if exchange is not None:
                look_after(exchange, now)
                if connection.is_reading_paused and connection.is_lost():
                    connection.transport.abort()
            elif connection.deadline < now:
                connection.expired(now)
            elif now - connection.idle_since > FORGET_AFTER and connection.forwarding_host is not None:
                connection.forget_written()
        for exchange in list(self.abandoned):
            look_after(exchange, now)
        for pool in self.pools.values():
            if pool.uses_latency:
                self._latencies.observe(self.evidence.hangs, pool.balancer.members, now)
            pool.tick(now)
            self.evidence.tick(pool, now)
        self.evidence.end_tick(now)
        if self._closes_idle:
            self._close_idle(now)

    def _tell_time(self, now: float) -> None:
        wall = self._time()
        self.wall_offset = wall - now
        if int(wall) != self._second:
            self._second = int(wall)
            self.date_line = b"Date: %b\r\n" % formatdate(wall, usegmt=True).encode("ascii")

    # draining

    def begin_drain(self) -> None:
        """From now on every response head says that its connection ends."""
        self.is_draining = True

    def close_idle(self) -> None:
        """The listeners are closed: half-close connections as they become idle for two seconds."""
        self._closes_idle = True
        now = self.monotonic()
        for connection in self.connections:
            if connection.is_idle:
                connection.idle_since = now

    def _close_idle(self, now: float) -> None:
        for connection in list(self.connections):
            is_over = connection.is_idle and now - connection.idle_since > DRAIN_IDLE_SECONDS
            if is_over and not connection.has_more():
                connection.close()

    def is_empty(self) -> bool:
        """No connection of a client and no exchange is left."""
        return not self.connections and not self.abandoned

    def cut_all(self) -> None:
        """End what is left: drain_timeout is over. Who has nothing of a response yet is told so."""
        for connection in list(self.connections):
            if connection.exchange is not None:
                refuse_or_break_off(connection.exchange, Refusal.DRAIN_TIMEOUT)
            else:
                connection.abort()
        for exchange in list(self.abandoned):
            break_off(exchange, Refusal.DRAIN_TIMEOUT)
