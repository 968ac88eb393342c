"""
What a tree of processes costs: CPU time, memory and context switches, read from /proc.

CPU time is utime + stime of every live process of the tree plus what their ended children left
them (cutime + cstime), so that nothing is lost when a process ends between two readings. The live
part is read from the kernel's per-process CPU clock, which counts nanoseconds where
/proc/PID/stat counts hundredths of a second.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2  # linux/posix-timers.h: clock id = (~pid << 3) | which


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree of processes has used up to now."""

    cpu: float
    """Seconds of user and system time."""
    context_switches: int
    processes: int

    def since(self, earlier: "Usage") -> "Usage":
        """Return what was used between an earlier reading and this one."""
        return Usage(
            self.cpu - earlier.cpu,
            self.context_switches - earlier.context_switches,
            self.processes,
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a tree of processes holds."""

    rss: int
    """Resident bytes, shared pages counted once per process."""
    pss: int
    """Resident bytes, shared pages divided among those who share them."""


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that we need."""

    pid: int
    parent: int
    own_ticks: int
    children_ticks: int


def parse_stat(text: str) -> Stat:
    """Read one line of /proc/PID/stat; the command's name may hold spaces and brackets."""
    pid, _, rest = text.partition(" (")
    fields = rest.rpartition(")")[2].split()
    return Stat(
        pid=int(pid),
        parent=int(fields[1]),
        own_ticks=int(fields[11]) + int(fields[12]),
        children_ticks=int(fields[13]) + int(fields[14]),
    )


def descendants(stats: list[Stat], root: int) -> list[Stat]:
    """Return the root and all below it."""
    children: dict[int, list[Stat]] = {}
    for stat in stats:
        children.setdefault(stat.parent, []).append(stat)
    found = [stat for stat in stats if stat.pid == root]
    for stat in found:
        found.extend(children.get(stat.pid, ()))
    return found


def read_stats() -> list[Stat]:
    """Read the stat line of every process that there is."""
    return [
        parse_stat(text)
        for entry in PROC.iterdir()
        if entry.name.isdigit() and (text := _read(entry / "stat"))
    ]


def tree(root: int) -> list[Stat]:
    """Return the processes of the tree that begins at the pid `root`."""
    return descendants(read_stats(), root)


def usage(root: int) -> Usage:
    """
    Read what the tree has used so far.

    Raises:
        ProcessLookupError: the root process is gone.

    """
    stats = tree(root)
    if not stats:
        raise ProcessLookupError(root)
    return Usage(
        cpu=sum(_own_seconds(stat) + stat.children_ticks / _TICK for stat in stats),
        context_switches=sum(_context_switches(stat.pid) for stat in stats),
        processes=len(stats),
    )


def memory(root: int) -> Memory:
    """Read what the tree holds now."""
    return memory_of(stat.pid for stat in tree(root))


def memory_of(pids: Iterable[int]) -> Memory:
    """Sum the memory of processes; those that are gone count nothing."""
    totals = {"Rss": 0, "Pss": 0}
    for pid in pids:
        for line in _read(PROC / str(pid) / "smaps_rollup").splitlines():
            name, _, value = line.partition(":")
            if name in totals:
                totals[name] += int(value.split()[0]) * 1024
    return Memory(rss=totals["Rss"], pss=totals["Pss"])


def reset_peak(pid: int) -> None:
    """Let the peak resident size of a process begin anew at what it holds now (needs its owner or root)."""
    with contextlib.suppress(OSError):
        (PROC / str(pid) / "clear_refs").write_text("5")


def peak_resident(pid: int) -> int:
    """Return the largest resident size of a process so far; 0 when it is gone."""
    for line in _read(PROC / str(pid) / "status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _own_seconds(stat: Stat) -> float:
    try:
        return time.clock_gettime((~stat.pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return stat.own_ticks / _TICK


def _context_switches(pid: int) -> int:
    return sum(
        int(line.split()[1])
        for task in _tasks(pid)
        for line in _read(task / "status").splitlines()
        if "ctxt_switches" in line
    )


def _tasks(pid: int) -> list[Path]:
    try:
        return list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
