"""
The scoreboard: what every process of one gateway shows to the others, in shared memory.

A table of process incarnations (rows) by backends (columns), in one memfd that the supervisor makes and
all processes inherit. The law of this file:

- a process writes only its own row, so there are no locks and nothing to recover when one dies;
- every cell is eight bytes, aligned, read and written by one machine instruction, never seen half written;
- the supervisor writes the head of the table, and of a row what identifies its process; it zeroes a row
  before it starts a process in it and after it has reaped that process;
- what all rows say together (in flight of a backend, waiters of a pool) is their sum, computed by who reads.

It uses the standard library only, since the supervisor imports it.
"""

from __future__ import annotations

import mmap
import os
from enum import IntEnum
from typing import Final, Literal

from pcs_gateway.processes import client_cells

ROWS: Final = 64
"""Process incarnations at one time: the control process, and the workers of all generations."""

COLUMNS: Final = 1024
"""Backends of all pools at one time, those that still drain included."""

POOLS: Final = 64
"""Pools at one time; also the number of ticket counters."""

BUDGET_CELLS: Final = 40
"""Cells of one pool's budgets in one row; see `balancing.budget`."""

CONTROL_ROW: Final = 0
"""The row of the control process; every other row is a worker's."""

CHANGES: Final = 6
"""The cell of the head that is unlike before when a process came or went."""

Kind = Literal["in_flight", "connections", "waiters"]
"""The arrays whose sum over all rows means something."""

_CELL = 8
_HEAD_BYTES = 4096
_CELLS = 512
"""Cells at the start of a row before its arrays: one page."""

_COLUMN_BYTES = COLUMNS * _CELL
_WAITER_BYTES = 4096
_BUDGET_BYTES = POOLS * BUDGET_CELLS * _CELL
_ROW_BYTES = _CELLS * _CELL + 4 * _COLUMN_BYTES + _WAITER_BYTES + _BUDGET_BYTES
_CLIENTS_AT = -(-(_HEAD_BYTES + ROWS * _ROW_BYTES) // 2**16) * 2**16
"""Where the cells of clients begin; on a page's edge, whatever the machine's pages are."""
_TABLE_BYTES = _CLIENTS_AT + ROWS * client_cells.ROW_BYTES
_SECRET_AT = 8 * _CELL

LAYOUT: Final = 6
"""
Number of the layout below, first cell of the table; another one means other code: raise it with each change.

A gateway that was upgraded in place starts new processes on the table of its old supervisor.
"""


class Role(IntEnum):
    """What kind of process a row belongs to."""

    NONE = 0
    CONTROL = 1
    WORKER = 2


class ScoreboardMismatchError(Exception):
    """The inherited table was made by code with another layout; the gateway must be restarted as a whole."""


class _Cell:
    """One whole number in a row or in the head, as an attribute."""

    def __init__(self, index: int, meaning: str) -> None:
        self.index = index
        self.__doc__ = meaning

    def __get__(self, owner: Row | Scoreboard, _: type) -> int:
        return owner.cells[self.index]

    def __set__(self, owner: Row | Scoreboard, value: int) -> None:
        owner.cells[self.index] = value


class Row:
    """
    One process incarnation's part of the table.

    Attributes:
        in_flight: Attempts this process has leased, by column.
        connections: Connections this process holds to backends, pooled and leased, by column.
        latency_counts: Attempts whose time to first byte this process has measured, by column.
        latency_sums: Of these times, in seconds, by column.
        waiters: Exchanges that wait for a lease, by slot of their pool.
        limits: The limit on attempts in flight to a pool, by its slot; 0: none. A worker shows the one that
            it applies, the control process the one that it found.
        overloads: 1 where this process' queue for a pool is overloaded, by its slot.
        budgets: Requests, retries and hedges of the last seconds, `BUDGET_CELLS` for each slot of a pool.
        cells: The whole numbers below, as stored.
    """

    __slots__ = (
        "_beat",
        "_bytes",
        "budgets",
        "cells",
        "connections",
        "in_flight",
        "index",
        "latency_counts",
        "latency_sums",
        "limits",
        "overloads",
        "waiters",
    )

    pid = _Cell(0, "Process id; 0 when the row is free. Written by the supervisor.")
    incarnation = _Cell(1, "Unlike that of any other process, of other gateways too. By the supervisor.")
    role = _Cell(2, "A `Role`. Written by the supervisor.")
    generation = _Cell(3, "Which set of listening sockets it serves, from 1. Written by the supervisor.")
    accepting = _Cell(5, "1 from the first accept() on, 0 again when it drains.")
    client_connections = _Cell(6, "Connections of clients that it holds.")
    client_connections_limit = _Cell(8, "How many it holds at most.")
    snapshot_version = _Cell(7, "Version of the snapshot that it applies.")

    def __init__(self, index: int, view: memoryview) -> None:
        self.index = index
        self._bytes = view
        head = _CELLS * _CELL
        self.cells = view[:head].cast("q")
        self._beat = view[4 * _CELL : 5 * _CELL].cast("d")
        self.in_flight = view[head : head + _COLUMN_BYTES].cast("q")
        self.connections = view[head + _COLUMN_BYTES : head + 2 * _COLUMN_BYTES].cast("q")
        self.latency_sums = view[head + 2 * _COLUMN_BYTES : head + 3 * _COLUMN_BYTES].cast("d")
        self.latency_counts = view[head + 3 * _COLUMN_BYTES : head + 4 * _COLUMN_BYTES].cast("q")
        waiters = head + 4 * _COLUMN_BYTES
        of_pools = [
            view[at : at + POOLS * _CELL].cast("q")
            for at in range(waiters, waiters + 3 * POOLS * _CELL, POOLS * _CELL)
        ]
        self.waiters, self.limits, self.overloads = of_pools
        budgets = waiters + _WAITER_BYTES
        self.budgets = view[budgets : budgets + _BUDGET_BYTES].cast("q")

    def __repr__(self) -> str:
        role = Role(self.role).name.lower()
        return (
            f"<Row {self.index}: {role} {self.pid}, generation {self.generation}, accepting {self.accepting}>"
        )

    @property
    def heartbeat(self) -> float:
        """Monotonic seconds of the last sign of life; 0.0 before the first."""
        value: float = self._beat[0]
        return value

    @heartbeat.setter
    def heartbeat(self, now: float) -> None:
        self._beat[0] = now

    def budget(self, slot: int) -> memoryview[int]:
        """Give the cells of one pool's budgets."""
        return self.budgets[slot * BUDGET_CELLS : (slot + 1) * BUDGET_CELLS]

    def zero(self) -> None:
        """Forget everything. Only the supervisor may, while no process lives in the row."""
        self._bytes[:] = bytes(_ROW_BYTES)


class Scoreboard:
    """
    The whole table; made once by the supervisor, attached to by every other process.

    Attributes:
        fd: The memfd, to be inherited.
        cells: The whole numbers of the head, as stored.
    """

    _layout = _Cell(0, "The layout's number.")
    draining = _Cell(1, "1 as soon as the gateway was told to stop. Written by the supervisor.")
    worker_restarts = _Cell(2, "Workers replaced since the supervisor started. Written by the supervisor.")
    control_restarts = _Cell(3, "Control processes replaced since then. Written by the supervisor.")
    generation = _Cell(4, "The newest generation that serves. Written by the supervisor.")
    started = _Cell(5, "Unix time when the supervisor started, in whole seconds.")
    changes = _Cell(
        CHANGES, "How often a row was occupied or freed; tells readers when to look for rows anew."
    )

    def __init__(self, fd: int) -> None:
        """Map the table behind `fd`; use `create` or `attach`."""
        self.fd = fd
        self._map = mmap.mmap(fd, _TABLE_BYTES)
        view = memoryview(self._map)
        self.cells = view[:_HEAD_BYTES].cast("q")
        self._view = view
        bounds = range(_HEAD_BYTES, _HEAD_BYTES + ROWS * _ROW_BYTES, _ROW_BYTES)
        self._rows = tuple(Row(i, view[start : start + _ROW_BYTES]) for i, start in enumerate(bounds))
        self._seen = -1
        self._workers: list[int] = []

    def __repr__(self) -> str:
        return f"<Scoreboard: workers in rows {self.rows_in_use()}>"

    @classmethod
    def create(cls) -> Scoreboard:
        """Make an empty table in memory that only inheriting processes can reach."""
        fd = os.memfd_create("pcs-gateway-scoreboard")
        os.ftruncate(fd, _TABLE_BYTES)
        scoreboard = cls(fd)
        secret = slice(_SECRET_AT, _SECRET_AT + client_cells.SECRET_BYTES)
        scoreboard._view[secret] = os.urandom(client_cells.SECRET_BYTES)
        scoreboard._layout = LAYOUT
        return scoreboard

    @classmethod
    def attach(cls, fd: int) -> Scoreboard:
        """
        Map the table that was inherited as `fd`.

        Raises:
            ScoreboardMismatchError: It was made by other code.
        """
        size = os.fstat(fd).st_size
        if size != _TABLE_BYTES:
            raise ScoreboardMismatchError(f"the scoreboard has {size} bytes, this code needs {_TABLE_BYTES}")
        scoreboard = cls(fd)
        found = scoreboard._layout
        if found != LAYOUT:
            raise ScoreboardMismatchError(f"the scoreboard has layout {found}, this code needs {LAYOUT}")
        return scoreboard

    def row(self, index: int) -> Row:
        return self._rows[index]

    # cells of clients; see `client_cells`

    @property
    def secret(self) -> bytes:
        """What the hash of clients' keys is keyed with; drawn when the table was made."""
        return bytes(self._view[_SECRET_AT : _SECRET_AT + client_cells.SECRET_BYTES])

    def rate_cells(self, index: int) -> memoryview:
        """
        What a row's worker admitted of each key, as `rate_table` writes it.

        They are not zeroed with their row: what a worker admitted counts on after its death, and is void by
        itself when its time is over.
        """
        start = _CLIENTS_AT + index * client_cells.ROW_BYTES
        return self._view[start : start + client_cells.RATE_BYTES].cast("Q")

    def connection_cells(self, index: int) -> memoryview:
        """How many connections of clients a row's worker holds, by the hash of their address."""
        start = _CLIENTS_AT + index * client_cells.ROW_BYTES + client_cells.RATE_BYTES
        return self._view[start : start + client_cells.CONNECTION_BYTES].cast("i")

    def _forget_connections(self, index: int) -> None:
        start = _CLIENTS_AT + index * client_cells.ROW_BYTES + client_cells.RATE_BYTES
        self._map.madvise(mmap.MADV_REMOVE, start, client_cells.CONNECTION_BYTES)

    # rows

    def occupy(self, index: int, role: Role, generation: int, incarnation: int) -> Row:
        """Prepare a row for a process about to start. Only the supervisor may; it writes `pid` after."""
        row = self._rows[index]
        row.zero()
        self._forget_connections(index)
        row.generation = generation
        row.incarnation = incarnation
        row.role = role
        self.changes += 1
        return row

    def free(self, index: int) -> None:
        """Zero the row of a process that was reaped. Only the supervisor may."""
        self._rows[index].zero()
        self._forget_connections(index)
        self.changes += 1

    def rows_in_use(self) -> list[int]:
        """
        The rows in which a worker lives, of any generation; the control process is not among them.

        The list is kept until the next process comes or goes: do not change it.
        """
        changes = self.cells[CHANGES]
        if changes != self._seen:
            self._workers = [row.index for row in self._rows if row.role == Role.WORKER]
            self._seen = changes
        return self._workers

    def in_flight(self, column: int) -> int:
        """Attempts in flight on one backend, over all workers."""
        rows = self._rows
        return sum([rows[index].in_flight[column] for index in self.rows_in_use()])

    def column_is_zero(self, column: int) -> bool:
        """Whether nobody has an attempt in flight on, or a connection to, the backend of this column."""
        return not any(row.in_flight[column] or row.connections[column] for row in self._rows)

    def totals(self, kind: Kind, count: int) -> list[int]:
        """Sum the first `count` cells of one array over all rows in use."""
        rows = [getattr(self._rows[index], kind)[:count].tolist() for index in self.rows_in_use()]
        if len(rows) == 1:
            only: list[int] = rows[0]
            return only
        return list(map(sum, zip(*rows, strict=True))) if rows else [0] * count

    def close(self) -> None:
        """Give back the descriptor; the mapping lasts until its rows are collected."""
        os.close(self.fd)
