"""
Tickets: one counter per pool, shared by all workers, for strategies that must take turns across processes.

A counter is the file offset of a memfd. All processes inherit the same open file description, and the
kernel serialises a relative seek on it (the position lock of `struct file`), so `lseek(fd, 1, SEEK_CUR)` is
an atomic fetch-and-add: no lock of ours, and nothing to recover when a worker dies in the middle.

The trap: only a file that was opened has that lock. Straight from memfd_create it has none, and new kernels
then let two processes draw the same number (seen on Linux 6.18, a thousand in a million draws by three
processes that do nothing else). So each counter is opened again by its name in /proc.

It uses the standard library only, since the supervisor imports it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pcs_gateway.processes.scoreboard import POOLS


class Tickets:
    """
    The counters of all pools.

    Attributes:
        fds: One descriptor for each slot of a pool, to be inherited.
    """

    __slots__ = ("fds",)

    def __init__(self, fds: Sequence[int]) -> None:
        self.fds = tuple(fds)

    def __repr__(self) -> str:
        return f"<Tickets: {len(self.fds)} pools>"

    @classmethod
    def create(cls, pools: int = POOLS) -> Tickets:
        """Make the counters, all at zero."""
        return cls([_counter(slot) for slot in range(pools)])

    def take(self, slot: int) -> int:
        """Draw the next number of a pool: 1, 2, 3 … over all processes, none of them twice."""
        return os.lseek(self.fds[slot], 1, os.SEEK_CUR)

    def close(self) -> None:
        """Give back the descriptors."""
        for fd in self.fds:
            os.close(fd)


def _counter(slot: int) -> int:
    memory = os.memfd_create(f"pcs-gateway-tickets-{slot}")
    try:
        return os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(memory)
