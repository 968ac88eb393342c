"""Leases are never lost and never doubled, whatever happens in whatever order."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pcs_gateway.backends.backend import Backend
from pcs_gateway.backends.config import PoolConfig
from pcs_gateway.backends.member import Lease
from pcs_gateway.backends.pool import PoolSnapshot
from pcs_gateway.errors import NoHealthyInstances
from pcs_gateway.processes.columns import Columns
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.processes.tickets import Tickets
from pcs_gateway.proxy.data_plane import DataPlane
from pcs_gateway.telemetry.recorder import Recorder
from tests.fakes.clock import FakeClock

WORKERS = 2
URLS = [f"http://127.0.0.1:{port}" for port in (8001, 8002, 8003, 8004)]
COLUMNS = 3
"""Fewer than there are backends, so that columns are used again."""

LIMIT = 3
"""Attempts that a backend takes at a time, so that some leases are refused."""

Numbers = st.integers(0, WORKERS - 1)


@dataclass
class Worker:
    """One worker, as far as it counts."""

    plane: DataPlane
    leases: list[tuple[str, Lease]] = field(default_factory=list)


class Leases(RuleBasedStateMachine):
    """Leases, reloads, late workers, deaths and columns used again."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.scoreboard = Scoreboard.create()
        self.tickets = Tickets.create()
        self.columns = Columns(size=COLUMNS)
        self.version = 0
        self.reload(URLS[:2])
        self.workers = [self.begin(number) for number in range(WORKERS)]

    def teardown(self) -> None:
        for worker in self.workers:
            while worker.leases:
                worker.leases.pop()[1].end()
        cells = [self.scoreboard.row(1 + n).in_flight[c] for n in range(WORKERS) for c in range(COLUMNS)]
        self.tickets.close()
        self.scoreboard.close()
        self.loop.close()
        assert not any(cells)

    def begin(self, number: int) -> Worker:
        """Start a worker with the newest snapshot."""
        row = self.scoreboard.occupy(1 + number, Role.WORKER, 1, 1)
        plane = DataPlane(
            self.loop,
            self.clock,
            Random(1),
            os.urandom,
            self.scoreboard,
            row,
            self.tickets,
            Recorder(),
            print,
        )
        plane.replace_pools([self.snapshot], {"pcs": self.config})
        row.snapshot_version = self.version
        return Worker(plane)

    # what happens

    @rule(urls=st.lists(st.sampled_from(URLS), min_size=1, max_size=3, unique=True))
    def reload(self, urls: Sequence[str]) -> None:
        """A file with these backends comes into force; no worker has heard of it yet."""
        known = {(column.pool, column.url) for column in self.columns.columns}
        if len(known | {("pcs", url) for url in urls}) > COLUMNS:
            return
        self.version += 1
        self.columns = self.columns.allot([("pcs", url) for url in urls], self.version)
        self.config = PoolConfig.model_validate(
            {"backends": [{"url": url} for url in urls], "connections": {"max_per_backend": LIMIT, "idle": 1}}
        )
        self.snapshot = PoolSnapshot("pcs", 0, tuple(map(self.backend, urls)))

    def backend(self, url: str) -> Backend:
        """A ready backend in its column."""
        column, port = self.columns.column("pcs", url), int(url[-4:])
        place = (column.index, column.generation)
        return Backend("pcs", url, url, "http", "127.0.0.1", port, ("127.0.0.1",), 1, *place, ready=True)

    @rule(number=Numbers)
    def hear(self, number: int) -> None:
        """A worker applies the newest snapshot and acknowledges it."""
        worker = self.workers[number]
        worker.plane.replace_pools([self.snapshot], {"pcs": self.config})
        self.scoreboard.row(1 + number).snapshot_version = self.version

    @rule()
    def reclaim(self) -> None:
        """The control process frees the columns that it may free."""
        heard = min(self.scoreboard.row(1 + number).snapshot_version for number in range(WORKERS))
        self.columns = self.columns.reclaim(self.scoreboard.column_is_zero, heard)

    @rule(number=Numbers)
    def lease(self, number: int) -> None:
        """An attempt begins, unless all backends are at their limit."""
        worker = self.workers[number]
        self.clock.advance(1.0)
        try:
            lease = worker.plane.pools["pcs"].balancer.route_request(None, self.clock.monotonic())
        except NoHealthyInstances:
            return
        if lease is not None and lease.member is not None:
            worker.leases.append((lease.member.backend.url, lease))

    @rule(number=Numbers, position=st.integers(0, 20), times=st.integers(1, 2))
    def end(self, number: int, position: int, times: int) -> None:
        """An attempt ends; whoever ends it again changes nothing."""
        leases = self.workers[number].leases
        if leases:
            _, lease = leases.pop(position % len(leases))
            for _ in range(times):
                lease.end()

    @rule(number=Numbers)
    def die(self, number: int) -> None:
        """A worker dies with all its leases, and another takes its row."""
        self.scoreboard.free(1 + number)
        self.workers[number] = self.begin(number)

    # what holds

    @invariant()
    def counts_are_the_leases(self) -> None:
        """What a worker's row shows of a backend is how many leases of it live there."""
        for number, worker in enumerate(self.workers):
            row, living = self.scoreboard.row(1 + number), Counter(url for url, _ in worker.leases)
            shown = {c.url: row.in_flight[c.index] for c in self.columns.columns if row.in_flight[c.index]}
            assert dict(living) == shown

    @invariant()
    def limit_is_exceeded_by_the_other_worker_at_most(self) -> None:
        """`max_per_backend` holds over all workers."""
        living = Counter(url for worker in self.workers for url, _ in worker.leases)
        assert max(living.values(), default=0) <= LIMIT + WORKERS - 1


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
