"""
Leases, reloads, deaths of workers and columns used again, in any order: what is counted is what lives.

Each worker is a data plane with a row of its own; the test is the supervisor, who zeroes rows, and the
control process, which allots columns and hands out snapshots that workers apply when they get to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from pcs_gateway.backends.backend import Backend
from pcs_gateway.backends.config import PoolConfig
from pcs_gateway.backends.member import Lease
from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.clock import SystemClock
from pcs_gateway.errors import NoHealthyInstances
from pcs_gateway.processes.columns import Columns
from pcs_gateway.processes.messages import EvidenceEntry
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.processes.tickets import Tickets
from pcs_gateway.proxy.data_plane import DataPlane
from pcs_gateway.proxy.upstream_pool import UpstreamMember
from pcs_gateway.telemetry.recorder import Recorder

WORKERS = (1, 2)
POOL = "pcs"
URLS = [f"http://127.0.0.1:{port}" for port in range(1, 5)]
SIZE = 3
"""Columns there are: fewer than backends come and go, so that they are used again."""


LIMIT = 3
"""Attempts that a backend takes at a time, so that some leases are refused."""


class IdleLoop:
    """A loop in which nothing happens."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Any:
        raise AssertionError("nothing waits here")

    create_task = call_later


class Leases(RuleBasedStateMachine):
    """The whole gateway as far as leases go."""

    leases: Bundle[tuple[int, Lease]] = Bundle("leases")
    connections: Bundle[tuple[int, UpstreamMember]] = Bundle("connections")

    def __init__(self) -> None:
        super().__init__()
        self.scoreboard = Scoreboard.create()
        self.tickets = Tickets.create(1)
        self.columns = Columns(size=SIZE)
        self.version = 0
        self.snapshot = PoolSnapshot(POOL, 0, ())
        self.incarnations = 0
        self.now = 0.0
        self.lives: dict[int, int] = {}
        self.acknowledged: dict[int, int] = {}
        self.planes: dict[int, DataPlane] = {}
        limits = {"max_per_backend": LIMIT, "idle": 1}
        self.configs = {
            POOL: PoolConfig.model_validate({"backends": [{"url": URLS[0]}], "connections": limits})
        }
        self.evidence: list[EvidenceEntry] = []
        self.held: dict[int, list[Lease]] = {}
        self.open: dict[int, list[UpstreamMember]] = {}
        self._publish(set(URLS[:2]))
        for worker in WORKERS:
            self._start(worker)

    def _publish(self, urls: set[str]) -> None:
        self.version += 1
        self.columns = self.columns.allot([(POOL, url) for url in sorted(urls)], self.version)
        backends = []
        for url in sorted(urls):
            column = self.columns.column(POOL, url)
            port = int(url.rpartition(":")[2])
            one = Backend(
                POOL,
                url,
                url,
                "http",
                "127.0.0.1",
                port,
                ("127.0.0.1",),
                1,
                column.index,
                column.generation,
                ready=True,
            )
            backends.append(one)
        self.snapshot = PoolSnapshot(POOL, 0, tuple(backends))

    def _start(self, worker: int) -> None:
        self.incarnations += 1
        row = self.scoreboard.occupy(worker, Role.WORKER, 1, self.incarnations)
        self.lives[worker] = self.incarnations
        self.held[worker] = []
        self.open[worker] = []
        self.planes[worker] = DataPlane(
            IdleLoop(),  # type: ignore[arg-type]
            SystemClock(),
            Random(worker),
            os.urandom,
            self.scoreboard,
            row,
            self.tickets,
            Recorder(),
            self.evidence.append,
        )
        self._apply(worker)

    def _apply(self, worker: int) -> None:
        self.planes[worker].replace_pools((self.snapshot,), self.configs)
        self.acknowledged[worker] = self.version

    # what happens

    @rule(target=leases, worker=st.sampled_from(WORKERS))
    def begin(self, worker: int) -> Any:
        """A worker leases a backend."""
        balancer = self.planes[worker].pools[POOL].balancer
        try:
            self.now += 1.0
            lease = balancer.route_request(None, self.now)
        except NoHealthyInstances:
            lease = None
        if lease is not None:
            self.held[worker].append(lease)
        return self.lives[worker], worker, lease

    @rule(held=consumes(leases), times=st.integers(1, 2))
    def end(self, held: Any, times: int) -> None:
        """A lease ends, perhaps told so twice; one of a dead worker ends with its process."""
        life, worker, lease = held
        if lease is None or self.lives[worker] != life:
            return
        for _ in range(times):
            lease.end()
        self.held[worker].remove(lease)

    @rule(target=connections, worker=st.sampled_from(WORKERS), which=st.integers(0, 4))
    def connect(self, worker: int, which: int) -> Any:
        """A worker opens a connection to a backend."""
        pool = self.planes[worker].pools[POOL]
        members = pool.balancer.members
        if not members:
            return self.lives[worker], worker, None
        member = members[which % len(members)]
        assert isinstance(member, UpstreamMember)
        pool.opened(member)
        self.open[worker].append(member)
        return self.lives[worker], worker, _Connection(member)

    @rule(connection=consumes(connections))
    def disconnect(self, connection: Any) -> None:
        """A connection ends, perhaps long after its backend was removed."""
        life, worker, one = connection
        if one is None or self.lives[worker] != life:
            return
        self.planes[worker].pools[POOL].closed(one)
        self.open[worker].remove(one.member)

    @rule(urls=st.sets(st.sampled_from(URLS), max_size=3))
    def reload(self, urls: set[str]) -> None:
        """The configuration changes; no worker knows yet."""
        wanted = {(POOL, url) for url in urls} | {(one.pool, one.url) for one in self.columns.columns}
        if len(wanted) <= SIZE:
            self._publish(urls)

    @rule(worker=st.sampled_from(WORKERS))
    def apply(self, worker: int) -> None:
        """A worker applies the newest snapshot."""
        self._apply(worker)

    @rule(urls=st.sets(st.sampled_from(URLS), max_size=2), worker=st.sampled_from(WORKERS))
    def reload_at_once(self, urls: set[str], worker: int) -> None:
        """The configuration changes, and one worker applies it before anything else happens."""
        self.reload(urls)
        self._apply(worker)

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: int) -> None:
        """A worker dies with all it holds; the supervisor zeroes its row and starts another."""
        self.scoreboard.free(worker)
        self._start(worker)

    @rule()
    def reclaim(self) -> None:
        """The control process takes back the columns that nobody can count in."""
        self.columns = self.columns.reclaim(self.scoreboard.column_is_zero, min(self.acknowledged.values()))

    # what must hold

    @invariant()
    def counted_is_what_lives(self) -> None:
        """Every row reads, column by column, what its worker holds, in flight and connected."""
        for worker in WORKERS:
            row = self.scoreboard.row(worker)
            held = [lease.member.column for lease in self.held[worker] if lease.member is not None]
            connected = [member.column for member in self.open[worker]]
            for column in range(SIZE):
                assert row.in_flight[column] == held.count(column)
                assert row.connections[column] == connected.count(column)

    @invariant()
    def column_in_use_has_its_owner(self) -> None:
        """Whatever is held counts in a column whose generation is still the one it began in."""
        generations = {(one.index, one.generation) for one in self.columns.columns}
        for worker in WORKERS:
            members = [lease.member for lease in self.held[worker]] + list(self.open[worker])
            for member in members:
                assert member is not None
                assert (member.column, member.backend.generation) in generations

    @invariant()
    def sums_agree(self) -> None:
        """What the balancers of all workers see is the sum over all rows, and within the limit."""
        for column in range(SIZE):
            live = sum(
                lease.member.column == column
                for worker in WORKERS
                for lease in self.held[worker]
                if lease.member is not None
            )
            assert self.scoreboard.in_flight(column) == live
            assert live <= LIMIT + len(WORKERS) - 1

    @precondition(lambda self: any(self.held.values()))
    @rule(worker=st.sampled_from(WORKERS))
    def own_count_is_shown(self, worker: int) -> None:
        """A member's own count is its row's, and its load follows from it."""
        plane = self.planes[worker]
        for member in plane.pools[POOL].balancer.members:
            assert member.in_flight == self.scoreboard.row(worker).in_flight[member.column]

    def teardown(self) -> None:
        """Everything ends: all rows read zero, and every column is free."""
        for worker in WORKERS:
            for lease in self.held[worker]:
                lease.end()
            for member in self.open[worker]:
                self.planes[worker].pools[POOL].closed(_Connection(member))  # type: ignore[arg-type]
        self._publish(set())
        for worker in WORKERS:
            self._apply(worker)
        for worker in WORKERS:
            row = self.scoreboard.row(worker)
            assert not any((*row.in_flight, *row.connections, *row.waiters))
        self.reclaim()
        assert self.columns.columns == ()
        self.tickets.close()
        self.scoreboard.close()


class _Connection:
    """As much of a connection as a pool looks at when it is closed."""

    def __init__(self, member: UpstreamMember) -> None:
        self.member = member


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
