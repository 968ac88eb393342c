"""
The supervisor: the process that `serve` becomes. It opens what all processes share, starts and keeps them.

It does next to nothing, so that next to nothing can go wrong in it: no traffic, no configuration file, no
thread, the standard library only. Everything it waits for ends one call of `select`: a signal, a packet of
the control process, or a quarter of a second.

    SIGTERM, SIGINT   drain: readiness turns 503 at once, accepting goes on for `drain_delay`, then the
                      listeners close and exchanges in flight get `drain_timeout`; a second one hurries
    SIGHUP            the control process reloads the configuration
    SIGCHLD           a process ended: it is replaced
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

from pcs_gateway.clock import Clock, SystemClock
from pcs_gateway.errors import CommandError
from pcs_gateway.processes.event_log import EventLog, Log
from pcs_gateway.processes.generations import Generation, Generations, WorkerKind
from pcs_gateway.processes.link import link_pair, receive_packet, send_packet
from pcs_gateway.processes.listeners import OpenListener, open_listener
from pcs_gateway.processes.plan import (
    SUPERVISOR_VARIABLE,
    ControlPlan,
    Listener,
    ListenPlan,
    SupervisorPlan,
    WorkerPlan,
)
from pcs_gateway.processes.scoreboard import ROWS, Role, Scoreboard
from pcs_gateway.processes.staff import Seat, Staff
from pcs_gateway.processes.state_directory import StateDirectory
from pcs_gateway.processes.tickets import Tickets

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the staff when nothing happens."""

LOOK_OFTEN_EVERY: Final = 0.02
"""The same while a generation starts or ends."""

MAX_WORKERS: Final = ROWS - 1

STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


class Supervisor:
    """
    One gateway.

    Args:
        plan: What to run.

    Raises:
        CommandError: A listening socket or the state directory cannot be had; the text says which and why.
    """

    def __init__(self, plan: SupervisorPlan, clock: Clock, log: Log) -> None:
        if not 0 < plan.workers <= MAX_WORKERS:
            raise CommandError(f"workers: found {plan.workers}, allowed: 1 to {MAX_WORKERS}")
        self._plan = plan
        self._clock = clock
        self._log = log
        self._drain_delay = plan.drain_delay
        self._state = StateDirectory.open(Path(plan.state_directory))
        self._admin = open_listener(ListenPlan(plan.admin)) if plan.admin else None
        listeners = [open_listener(one) for one in plan.listen]
        self._scoreboard = Scoreboard.create()
        self._scoreboard.started = int(clock.time())
        self._tickets = Tickets.create()
        self._lifeline, self._lifeline_kept = os.pipe()
        self._staff = Staff(self._scoreboard, plan.patience, clock, log)
        kind = WorkerKind(plan.worker_module, self._worker_plan)
        self._generations = Generations(self._staff, self._scoreboard, kind, plan.patience, clock, log)
        self._generations.drain_timeout = plan.drain_timeout
        self._generations.begin(listeners, plan.workers)
        self._control = Seat(Role.CONTROL, plan.control_module, 0, self._control_plan)
        self._staff.seats.insert(0, self._control)
        self._selector = selectors.DefaultSelector()
        self._link: socket.socket | None = None
        self._handed_over: socket.socket | None = None
        self._close_at: float | None = None
        self._control_deadline: float | None = None

    def __repr__(self) -> str:
        return f"<Supervisor: {self._staff!r}>"

    def run(self) -> int:
        """Serve until told to stop; return the exit status."""
        self._listen_to_signals()
        self._announce()
        while not self._is_done():
            self._staff.fill()
            self._close_handed_over()
            for key, _ in self._selector.select(LOOK_OFTEN_EVERY if self._is_busy() else LOOK_EVERY):
                key.data()
            self._staff.reap()
            self._advance()
            self._staff.watch()
        self._state.close()
        self._log.info("stopped")
        return 0

    def _is_busy(self) -> bool:
        return self._generations.is_busy or self._close_at is not None

    def _is_done(self) -> bool:
        return self._generations.is_gone and self._control.child is None

    def _advance(self) -> None:
        """Move what is under way on: generations, and the end of the gateway."""
        now = self._clock.monotonic()
        if self._close_at is not None and now >= self._close_at:
            self._generations.close()
        if self._generations.step():
            self._announce()
        if self._generations.is_gone:
            self._end_control(now)

    def _end_control(self, now: float) -> None:
        """The control process leaves last: it collects what the workers measured to their end."""
        if self._control_deadline is None:
            self._control.is_open = False
            self._control_deadline = now + self._plan.patience.farewell
            self._staff.signal(self._control, signal.SIGTERM)
        elif now >= self._control_deadline and self._control.child and not self._control.child.killed:
            self._staff.signal(self._control, signal.SIGKILL)

    # Signals.

    def _listen_to_signals(self) -> None:
        """Let each signal end `select`: Python writes its number to a pipe."""
        readable, writable = os.pipe()
        os.set_blocking(readable, False)
        os.set_blocking(writable, False)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._selector.register(readable, selectors.EVENT_READ, lambda: self._take_signals(readable))

    def _take_signals(self, pipe: int) -> None:
        for number in os.read(pipe, 256):
            if number in STOP_SIGNALS:
                self._stop(signal.Signals(number))
            elif number == signal.SIGHUP:
                self._tell_control({"reload": True})

    def _stop(self, number: signal.Signals) -> None:
        now = self._clock.monotonic()
        if self._close_at is None:
            self._log.info("draining", signal=number.name, delay=self._drain_delay)
            self._scoreboard.draining = 1
            self._tell_control({"draining": True})
            self._close_at = now + self._drain_delay
        else:
            self._log.info("hurrying", signal=number.name)
            self._close_at = now
            self._generations.close()
            self._generations.hurry(self._plan.patience.hurry)

    # The control process.

    def _tell_control(self, message: dict[str, Any]) -> None:
        """Send without waiting. A control process that starts learns of a drain from the scoreboard."""
        if self._link is not None and not send_packet(self._link, message):
            self._log.warning("control_not_told", message=message)

    def _take_packet(self) -> None:
        if self._link is None:
            return
        try:
            message = receive_packet(self._link)
            if message is None:
                self._hang_up()
            else:
                self._obey(message)
        except BlockingIOError:
            pass
        except (ValueError, KeyError, TypeError) as error:
            self._log.error("link_not_understood", error=f"{type(error).__name__}: {error}")

    def _obey(self, message: dict[str, Any]) -> None:
        if drain := message.get("drain"):
            self._drain_delay = float(drain["delay"])
            self._generations.drain_timeout = float(drain["timeout"])
        if request := message.get("new_generation"):
            listen = [ListenPlan(one["address"], bool(one["tls"])) for one in request["listen"]]
            number, link = request["request"], self._link
            self._generations.change(
                listen,
                int(request["workers"]),
                lambda answer: self._answer(link, {"request": number, **answer}),
            )

    def _answer(self, link: socket.socket | None, answer: dict[str, Any]) -> None:
        """Answer who asked; a control process that replaced it never asked."""
        if link is self._link:
            self._tell_control(answer)

    def _hang_up(self) -> None:
        if self._link is not None:
            self._selector.unregister(self._link)
            self._link.close()
            self._link = None

    def _control_plan(self, row: int, incarnation: int) -> ControlPlan:
        """A new link for each control process, so that nothing meant for the one before reaches it."""
        self._hang_up()
        self._link, self._handed_over = link_pair()
        self._selector.register(self._link, selectors.EVENT_READ, self._take_packet)
        serving = self._serving()
        listeners = tuple(
            Listener(one.plan.address, one.plan.tls, one.bound, -1) for one in serving.listeners
        )
        return ControlPlan(
            row=row,
            incarnation=incarnation,
            generation=serving.number,
            scoreboard_fd=self._scoreboard.fd,
            ticket_fds=self._tickets.fds,
            lifeline_fd=self._lifeline,
            listeners=listeners,
            state_directory=self._plan.state_directory,
            drain_delay=self._drain_delay,
            drain_timeout=self._generations.drain_timeout,
            config=self._plan.config,
            workers=len(serving.seats),
            workers_fixed=self._plan.workers_fixed,
            link_fd=self._handed_over.fileno(),
            admin=self._plan.admin,
            admin_bound=self._admin.bound if self._admin else "",
            admin_fd=self._admin.socket.fileno() if self._admin else -1,
        )

    def _close_handed_over(self) -> None:
        """Our copy of the control process' end, or we would never see that it hung up."""
        if self._handed_over is not None:
            self._handed_over.close()
            self._handed_over = None

    # Workers.

    def _serving(self) -> Generation:
        """The generation that serves; while the gateway ends, the one that served last."""
        return self._generations.current or self._generations.leaving[-1]

    def _worker_plan(
        self, generation: int, listeners: tuple[OpenListener, ...], row: int, incarnation: int
    ) -> WorkerPlan:
        return WorkerPlan(
            row=row,
            incarnation=incarnation,
            generation=generation,
            scoreboard_fd=self._scoreboard.fd,
            ticket_fds=self._tickets.fds,
            lifeline_fd=self._lifeline,
            listeners=tuple(one.inherited() for one in listeners),
            state_directory=self._plan.state_directory,
            drain_delay=self._drain_delay,
            drain_timeout=self._generations.drain_timeout,
        )

    def _announce(self) -> None:
        """Say where the gateway listens: in the log, and in a file for `status`."""
        serving = self._serving()
        listen = [
            {"address": one.plan.address, "bound": one.bound, "tls": one.plan.tls}
            for one in serving.listeners
        ]
        facts = {
            "supervisor": os.getpid(),
            "generation": serving.number,
            "workers": len(serving.seats),
            "listen": listen,
            "admin": self._admin.bound if self._admin else "",
        }
        self._log.info("listening", **facts)
        try:
            self._state.write_listeners(facts)
        except OSError as error:
            self._log.error("listeners_not_written", error=str(error))


def raise_descriptor_limit() -> None:
    """Allow ourselves, and so every process we start, as many open descriptors as the system permits."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Run the gateway whose plan is in the environment."""
    clock = SystemClock()
    plan = SupervisorPlan.from_json(os.environ.pop(SUPERVISOR_VARIABLE))
    raise_descriptor_limit()
    try:
        supervisor = Supervisor(plan, clock, EventLog("supervisor", clock, plan.log_level, plan.log_format))
    except CommandError as error:
        sys.stderr.write(f"pcs-gateway: {error}\n")
        return error.status
    return supervisor.run()


if __name__ == "__main__":
    raise SystemExit(main())
