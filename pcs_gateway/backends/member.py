"""
A backend as one worker uses it: the published value, and the live load of this worker on it.

The load that strategies compare is `(in flight + bias) × scale`. It is kept in the list `loads` of the
pool's `Instances`, at the member's position, and brought up to date whenever a lease begins or ends, so
that the least loaded of a hundred backends is one `min()` in C.

In flight is this worker's own count plus what all other workers last showed on the scoreboard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from pcs_gateway.backends.backend import Backend, Health
from pcs_gateway.backends.outlier.own import OwnEvidence

FAILURE_SECONDS = 1.0
"""What a failed attempt counts as, at least, in the latency average: a fast failure is not a fast backend."""

LATENCY_SHARE = 0.05
"""Share of the newest observation in the latency average (nginx's least_time uses the same)."""

LATENCY_HALF_LIFE = 10.0
"""Seconds without an observation after which the average is halved: an avoided backend is tried again."""


class Cells(Protocol):
    """One array of this worker's row of the scoreboard."""

    def __setitem__(self, index: int, value: int, /) -> None: ...


class FloatCells(Protocol):
    """The same for fractions."""

    def __setitem__(self, index: int, value: float, /) -> None: ...


class Member:
    """
    One backend of a pool in one worker (the specification's `PCSInstance`).

    Attributes:
        in_flight: This worker's attempts that have not ended.
        others: All other workers' attempts, as last read from the scoreboard.
        latency: Average time to first byte in seconds; 0.0 before the first. Where the strategy uses it.
        waiting: Mean age in seconds of this worker's attempts that wait for a connection or a first byte; the
            same.
        measured: Attempts of this worker that are in the average, and `measured_seconds` their sum.
        consecutive_failures: Gateway failures in a row that this worker saw.
        successes: Attempts of this worker that succeeded, ever.
        skipped_until: Monotonic seconds until which this worker avoids the backend on its own evidence.
        own: The rest of that evidence.
        connections: This worker's open connections to it.
        returned: Monotonic seconds at which this worker ceased to avoid it, unrefuted; 0.0: never.
        ramp: The part of its weight that it has in slow start; 1.0 when it has all of it.
        credit: Attempts that it may take in slow start.
    """

    __slots__ = (
        "__weakref__",
        "backend",
        "bias",
        "cells",
        "column",
        "connections",
        "consecutive_failures",
        "credit",
        "in_flight",
        "latency",
        "latency_cells",
        "loads",
        "measured",
        "measured_seconds",
        "name",
        "observed",
        "others",
        "own",
        "position",
        "ramp",
        "returned",
        "scale",
        "skipped_until",
        "successes",
        "waiting",
    )

    def __init__(
        self, backend: Backend, cells: Cells, latency_cells: tuple[FloatCells, Cells] | None = None
    ) -> None:
        self.backend = backend
        self.column = backend.column
        self.name = backend.name
        self.cells = cells
        self.latency_cells = latency_cells
        self.in_flight = 0
        self.others = 0
        self.latency = self.waiting = 0.0
        self.observed = self.measured_seconds = 0.0
        self.measured = 0
        self.consecutive_failures = 0
        self.successes = 0
        self.skipped_until = 0.0
        self.own = OwnEvidence()
        self.connections = 0
        self.returned = 0.0
        self.ramp = 1.0
        self.credit = 0.0
        self.bias = 0.0
        self.scale = 1.0 / backend.weight
        self.loads: list[float] = [0.0]
        self.position = 0

    def __repr__(self) -> str:
        backend = self.backend
        ready = "ready" if backend.ready else f"not ready: {backend.reason}"
        counts = f"{self.in_flight} in flight here, {self.others} elsewhere"
        return f"<Member {backend.pool}/{backend.name}: {counts}, {ready}>"

    @property
    def weight(self) -> int:
        """The backend's share."""
        return self.backend.weight

    @property
    def health(self) -> Health:
        """What the checks found, as published."""
        return self.backend.health

    @property
    def active_connections(self) -> int:
        """In-flight attempts of all workers (the specification's name)."""
        return self.in_flight + self.others

    def refresh(self, others: int) -> None:
        """Take over what the other workers show."""
        if others != self.others:
            self.others = others
            self.loads[self.position] = (self.in_flight + others + self.bias) * self.scale

    def observe_latency(self, seconds: float, now: float) -> None:
        """Add the time to first byte of one attempt of this worker, or the cost of a failed one."""
        self.learn_latency(seconds, 1, now)
        self.measured += 1
        self.measured_seconds += seconds
        if self.latency_cells is not None:
            sums, counts = self.latency_cells
            sums[self.column] = self.measured_seconds
            counts[self.column] = self.measured

    def learn_latency(self, mean: float, count: int, now: float) -> None:
        """Add `count` attempts, of this worker or another one, to the average."""
        self.observed = now
        if not self.latency:
            self.latency = mean
        elif count == 1:
            self.latency += (mean - self.latency) * LATENCY_SHARE
        else:
            self.latency += (mean - self.latency) * (1.0 - (1.0 - LATENCY_SHARE) ** count)

    def decay_latency(self, now: float) -> None:
        """Halve the average of a backend that nobody tried for a while."""
        if self.latency and now - self.observed > LATENCY_HALF_LIFE and not self.active_connections:
            self.latency *= 0.5
            self.observed = now

    def weigh(self, scale: float, bias: float) -> None:
        """Set what turns in flight into load."""
        self.scale = scale
        self.bias = bias
        self.loads[self.position] = (self.in_flight + self.others + bias) * scale


PCSInstance = Member
"""The specification's name, for strategies of one's own; everywhere else it is a member of a pool."""


class Instances(Sequence[Member]):
    """
    The ready members of a pool's level, in configured order, with their loads side by side.

    Attributes:
        members: The same as a tuple, for fast indexing.
        weights: Their weights.
        loads: Load of each member at its position, always current.
        prepared: What the strategy derived from these members and their weights; None until it has.
        weight: Of all together; who is in slow start counts with what it has.
    """

    __slots__ = ("loads", "members", "prepared", "weight", "weights")

    def __init__(self, members: Iterable[Member]) -> None:
        self.members = tuple(members)
        self.weights = tuple([member.weight for member in self.members])
        self.weight = float(sum(self.weights))
        self.prepared: Any = None
        self.loads = [(m.in_flight + m.others + m.bias) * m.scale for m in self.members]
        for position, member in enumerate(self.members):
            member.loads = self.loads
            member.position = position

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self.members[index]


class Lease:
    """
    The guard that counts one attempt as in flight, until its last byte has come from the backend.

    It ends once, whoever ends it, into the cell in which it began.
    """

    __slots__ = ("member",)

    def __init__(self, member: Member) -> None:
        self.member: Member | None = member
        member.in_flight = count = member.in_flight + 1
        member.cells[member.column] = count
        member.loads[member.position] = (count + member.others + member.bias) * member.scale

    def end(self) -> None:
        """End the lease; ending it again does nothing."""
        member = self.member
        if member is not None:
            self.member = None
            member.in_flight = count = member.in_flight - 1
            member.cells[member.column] = count
            member.loads[member.position] = (count + member.others + member.bias) * member.scale
