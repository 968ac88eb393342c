"""
The processes of the gateway as the supervisor keeps them: seats that are filled, watched and filled again.

It uses the standard library only, since the supervisor imports it.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from pcs_gateway.clock import Clock
from pcs_gateway.processes.event_log import Log
from pcs_gateway.processes.judgement import Vigil, restart_delay
from pcs_gateway.processes.plan import PROCESS_VARIABLE, ControlPlan, Patience, WorkerPlan
from pcs_gateway.processes.scoreboard import CONTROL_ROW, ROWS, Role, Scoreboard

PlanMaker = Callable[[int, int], ControlPlan | WorkerPlan]
"""Makes the plan of a process from its row and its incarnation, just before it starts."""


@dataclass
class Child:
    """
    A process that runs.

    Attributes:
        started: Monotonic seconds.
        killed: It was sent SIGKILL, so no more is to be done than to wait.
    """

    pid: int
    row: int
    started: float
    killed: bool = False


@dataclass(eq=False)
class Seat:
    """
    One place that is to be filled by a process.

    Attributes:
        module: Started with `python -m`.
        generation: Number of the generation that it belongs to; 0 for the control process, which has none.
        is_open: Who leaves it is replaced.
        child: Who sits in it.
        early_deaths: How many died soon after their start, in a row; the first does not count when it was
            up before: back-off is for what does not come up.
        is_forgiven: That first one was.
        not_before: Monotonic seconds of the earliest next start.
        deaths: How many left it while it was open.
    """

    role: Role
    module: str
    generation: int
    make_plan: PlanMaker
    is_open: bool = True
    child: Child | None = None
    early_deaths: int = 0
    is_forgiven: bool = False
    not_before: float = 0.0
    deaths: int = 0

    def count_death(self, *, is_early: bool, was_up: bool) -> float:
        """Count the end of who sat there while it was open; return the seconds until the next start."""
        self.deaths += 1
        if not is_early:
            self.early_deaths, self.is_forgiven = 0, False
        elif was_up and not self.is_forgiven and self.early_deaths == 0:
            self.is_forgiven = True
        else:
            self.early_deaths += 1
        return restart_delay(self.early_deaths)

    def __repr__(self) -> str:
        who = f"pid {self.child.pid} in row {self.child.row}" if self.child else "nobody"
        return f"<Seat of a {self.role.name.lower()} of generation {self.generation}: {who}>"


class Staff:
    """
    All seats.

    Attributes:
        seats: In the order in which they were made.
    """

    def __init__(self, scoreboard: Scoreboard, patience: Patience, clock: Clock, log: Log) -> None:
        self.seats: list[Seat] = []
        self._scoreboard = scoreboard
        self._patience = patience
        self._clock = clock
        self._log = log
        self._vigil = Vigil(clock.monotonic())
        # Random, since a worker of an earlier gateway may still drain and dial our control process.
        self._incarnations = itertools.count(secrets.randbits(40) << 20)

    def __repr__(self) -> str:
        return f"<Staff: {self.seats}>"

    def free_rows(self) -> int:
        """How many more workers the scoreboard has rows for."""
        return ROWS - 1 - sum(1 for seat in self.seats if seat.role is Role.WORKER)

    def fill(self) -> None:
        """Start whoever is missing and may start now; forget seats that are closed and empty."""
        now = self._clock.monotonic()
        self.seats = [seat for seat in self.seats if seat.is_open or seat.child is not None]
        for seat in self.seats:
            if seat.is_open and seat.child is None and seat.not_before <= now:
                self._start(seat, now)

    def reap(self) -> None:
        """Collect those that died and empty their rows."""
        for pid, status in _dead_children():
            for seat in self.seats:
                if seat.child is not None and seat.child.pid == pid:
                    self._leave(seat, seat.child, os.waitstatus_to_exitcode(status))

    def watch(self) -> None:
        """End those that show no life."""
        now = self._clock.monotonic()
        if self._vigil.look(now):
            self._log.warning("supervisor_was_away")
        for seat in self.seats:
            if seat.child is not None and not seat.child.killed:
                self._judge(seat, seat.child, now)

    def signal(self, seat: Seat, number: signal.Signals) -> None:
        """Send a signal to whoever sits there; a process that we have not reaped keeps its pid."""
        if seat.child is not None:
            os.kill(seat.child.pid, number)
            seat.child.killed |= number is signal.SIGKILL

    def _judge(self, seat: Seat, child: Child, now: float) -> None:
        beat = self._scoreboard.row(child.row).heartbeat
        silence = (
            self._patience.control_silence if seat.role is Role.CONTROL else self._patience.worker_silence
        )
        allowed = silence if beat else self._patience.first_heartbeat
        if self._vigil.is_silent(now, beat or child.started, allowed):
            self._log.error(
                "process_silent", **_facts(seat, child), seconds=round(now - (beat or child.started), 1)
            )
            self.signal(seat, signal.SIGKILL)

    def _start(self, seat: Seat, now: float) -> None:
        row = CONTROL_ROW if seat.role is Role.CONTROL else self._free_row()
        incarnation = next(self._incarnations)
        self._scoreboard.occupy(row, seat.role, seat.generation, incarnation)
        try:
            pid = _spawn(seat.module, seat.make_plan(row, incarnation))
        except OSError as error:
            self._scoreboard.free(row)
            self._log.error("process_not_started", role=seat.role.name.lower(), error=str(error))
            seat.early_deaths += 1
            seat.not_before = now + restart_delay(seat.early_deaths)
            return
        self._scoreboard.row(row).pid = pid
        seat.child = Child(pid, row, now)
        if seat.deaths:
            self._count_restart(seat.role)
        self._log.info("process_started", **_facts(seat, seat.child))

    def _leave(self, seat: Seat, child: Child, status: int) -> None:
        was_up = self._scoreboard.row(child.row).accepting == 1
        self._scoreboard.free(child.row)
        seat.child = None
        now = self._clock.monotonic()
        lived = now - child.started
        if not seat.is_open:
            self._log.info("process_ended", **_facts(seat, child), **_ending(status))
            return
        delay = seat.count_death(is_early=lived < self._patience.early_death, was_up=was_up)
        seat.not_before = now + delay
        facts = {**_facts(seat, child), **_ending(status), "lived": round(lived, 3), "restart_in": delay}
        self._log.error("process_died", **facts)

    def _count_restart(self, role: Role) -> None:
        if role is Role.CONTROL:
            self._scoreboard.control_restarts += 1
        else:
            self._scoreboard.worker_restarts += 1

    def _free_row(self) -> int:
        taken = {seat.child.row for seat in self.seats if seat.child is not None}
        return next(row for row in range(ROWS) if row != CONTROL_ROW and row not in taken)


def _dead_children() -> list[tuple[int, int]]:
    """Every child that died as pid and status; also orphans, which a container's first process is given."""
    dead: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return dead
        if pid == 0:
            return dead
        dead.append((pid, status))


def _spawn(module: str, plan: ControlPlan | WorkerPlan) -> int:
    """
    Start a module by exec, with the descriptors of its plan and no others.

    It leads a process group of its own: Ctrl-C in a terminal reaches the supervisor only, which drains.
    SIGTERM is blocked in it until it can obey (`liveness.heed`).
    `-P`: a module that happens to lie in the current directory must not be taken for one of ours.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.DEVNULL,
            pass_fds=plan.descriptors(),
            env={**os.environ, PROCESS_VARIABLE: plan.to_json()},
            process_group=0,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    process.returncode = 0  # we reap it ourselves, together with the pids that Popen does not know
    return process.pid


def _facts(seat: Seat, child: Child) -> dict[str, object]:
    facts = {"role": seat.role.name.lower(), "pid": child.pid, "row": child.row}
    return facts if seat.role is Role.CONTROL else {**facts, "generation": seat.generation}


def _ending(status: int) -> dict[str, object]:
    """How a process ended, for the log."""
    if status >= 0:
        return {"status": status}
    known = {one.value: one.name for one in signal.Signals}
    return {"signal": known.get(-status, str(-status))}
