"""
Generations: sets of workers that serve the same listening sockets, one after another without a gap.

The law of this file, phase by phase:

    STARTING → SERVING    all its workers accept: the generation before it begins CLOSING
    STARTING → CLOSING    one of its workers died, or its time ran out: it is abandoned, the old one serves on
    SERVING  → CLOSING    a newer one serves, or the gateway stops: on sockets that nobody else serves SYN
                          segments are dropped, while its workers still accept
    CLOSING  → DRAINING   handshakes under way have ended: its workers get SIGTERM; they accept what is
                          queued, close their listeners and finish what is in flight
    DRAINING → gone       its last worker ended; what is left at the deadline is killed

An address that stays is the same socket in both generations, so no connect is refused. Who dies while its
generation starts or serves is replaced; who dies later is not.

It uses the standard library only, since the supervisor imports it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any

from pcs_gateway.clock import Clock
from pcs_gateway.errors import CommandError
from pcs_gateway.processes.event_log import Log
from pcs_gateway.processes.listeners import OpenListener, open_listener, refuse_new_connections
from pcs_gateway.processes.plan import ListenPlan, Patience, WorkerPlan
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.processes.staff import Seat, Staff

Answer = Callable[[dict[str, Any]], None]
"""Tells who asked for a generation what became of it."""


class Phase(Enum):
    """Where a generation is in its life."""

    STARTING = auto()
    SERVING = auto()
    CLOSING = auto()
    DRAINING = auto()


@dataclass(eq=False)
class Generation:
    """
    One set of workers.

    Attributes:
        number: From 1.
        listeners: What it serves.
        seats: Its workers.
        deadline: Monotonic seconds at which its phase ends by itself; SERVING has none.
        dropped: Sockets that end with it.
        answer: Tells who asked for it.
    """

    number: int
    listeners: tuple[OpenListener, ...]
    seats: list[Seat]
    phase: Phase
    deadline: float = 0.0
    dropped: tuple[OpenListener, ...] = ()
    answer: Answer | None = None

    def __repr__(self) -> str:
        bound = ", ".join(listener.bound for listener in self.listeners)
        return f"<Generation {self.number}: {self.phase.name.lower()}, {len(self.seats)} workers, {bound}>"

    @property
    def is_empty(self) -> bool:
        """Whether no process of it is left."""
        return all(seat.child is None for seat in self.seats)


@dataclass(frozen=True)
class WorkerKind:
    """
    How workers are made.

    Attributes:
        module: Started with `python -m`.
        make_plan: Makes a worker's plan from generation, listeners, row and incarnation.
    """

    module: str
    make_plan: Callable[[int, tuple[OpenListener, ...], int, int], WorkerPlan]


class Generations:
    """
    All generations of one gateway.

    Attributes:
        current: The one that serves.
        starting: The one that is about to.
        leaving: Those that end.
        drain_timeout: What a leaving one gives exchanges in flight, in seconds.
    """

    def __init__(
        self,
        staff: Staff,
        scoreboard: Scoreboard,
        kind: WorkerKind,
        patience: Patience,
        clock: Clock,
        log: Log,
    ) -> None:
        self.current: Generation | None = None
        self.starting: Generation | None = None
        self.leaving: list[Generation] = []
        self.drain_timeout = 0.0
        self._farewell = patience.farewell
        self._numbers = 0
        self._staff = staff
        self._scoreboard = scoreboard
        self._kind = kind
        self._patience = patience
        self._clock = clock
        self._log = log

    def __repr__(self) -> str:
        return f"<Generations: {self.current!r}, starting {self.starting!r}, leaving {self.leaving}>"

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that must be looked at often."""
        return self.starting is not None or bool(self.leaving)

    @property
    def is_gone(self) -> bool:
        """Whether nothing serves and nothing is left."""
        return self.current is None and not self.is_busy

    def begin(self, listeners: Sequence[OpenListener], workers: int) -> None:
        """Let the first generation serve; what dies in it is replaced, however early."""
        self.current = self._make(tuple(listeners), workers, Phase.SERVING)
        self._scoreboard.generation = self.current.number

    def change(self, listen: Sequence[ListenPlan], workers: int, answer: Answer) -> None:
        """Start a generation that serves these addresses; `answer` is called when it serves, or will not."""
        try:
            self._check_room(workers)
            listeners = self._open(listen)
        except CommandError as error:
            answer({"error": str(error)})
            return
        self.starting = self._make(listeners, workers, Phase.STARTING)
        self.starting.deadline = self._clock.monotonic() + self._patience.generation_start
        self.starting.answer = answer

    def step(self) -> bool:
        """Move every generation on as far as it goes; return whether another one serves now."""
        now = self._clock.monotonic()
        for generation in self.leaving:
            self._step_leaving(generation, now)
        self.leaving = [one for one in self.leaving if one.phase is Phase.CLOSING or not one.is_empty]
        return self._step_starting(now)

    def close(self) -> None:
        """Let every generation end: the gateway stops."""
        if self.starting is not None:
            self._abandon(self.starting, "the gateway stops")
        if self.current is not None:
            ending, self.current = self.current, None
            self._retire(ending)

    def hurry(self, patience: float) -> None:
        """Let those that leave do so within so many seconds from now."""
        now = self._clock.monotonic()
        for generation in self.leaving:
            if generation.phase is Phase.DRAINING:
                generation.deadline = min(generation.deadline, now + patience)
                self._signal(generation, signal.SIGTERM)
        self.drain_timeout = 0.0
        self._farewell = patience

    def _make(self, listeners: tuple[OpenListener, ...], workers: int, phase: Phase) -> Generation:
        self._numbers += 1
        number = self._numbers
        make_plan = partial(self._kind.make_plan, number, listeners)
        seats = [Seat(Role.WORKER, self._kind.module, number, make_plan) for _ in range(workers)]
        self._staff.seats += seats
        return Generation(number, listeners, seats, phase)

    def _check_room(self, workers: int) -> None:
        if self.current is None:
            raise CommandError("the gateway stops")
        if self.starting is not None:
            raise CommandError("another change of generation is under way")
        if not 0 < workers <= self._staff.free_rows():
            raise CommandError(
                f"cannot start {workers} workers beside those that serve or drain: "
                f"there is room for {self._staff.free_rows()} more"
            )

    def _open(self, listen: Sequence[ListenPlan]) -> tuple[OpenListener, ...]:
        """Sockets for all addresses: those that serve already, and new ones, or none of them."""
        serving = {one.plan.address: one for one in self.current.listeners} if self.current else {}
        listeners: list[OpenListener] = []
        try:
            for plan in listen:
                old = serving.get(plan.address)
                listeners.append(old.planned_as(plan) if old else open_listener(plan))
        except CommandError:
            for listener in listeners:
                if listener.plan.address not in serving:
                    listener.socket.close()
            raise
        return tuple(listeners)

    def _step_starting(self, now: float) -> bool:
        generation = self.starting
        if generation is None:
            return False
        if any(seat.deaths or seat.early_deaths for seat in generation.seats):
            self._abandon(generation, "a worker ended before it accepted connections; the log says how")
        elif all(self._accepts(seat) for seat in generation.seats):
            self._promote(generation)
            return True
        elif now > generation.deadline:
            seconds = f"{self._patience.generation_start:g}"
            self._abandon(generation, f"its workers did not accept connections within {seconds} s")
        return False

    def _accepts(self, seat: Seat) -> bool:
        return seat.child is not None and self._scoreboard.row(seat.child.row).accepting == 1

    def _promote(self, generation: Generation) -> None:
        before, self.current, self.starting = self.current, generation, None
        generation.phase = Phase.SERVING
        self._scoreboard.generation = generation.number
        if before is not None:
            self._retire(before)
        if generation.answer is not None:
            generation.answer({"generation": generation.number})

    def _abandon(self, generation: Generation, reason: str) -> None:
        self._log.error("generation_abandoned", generation=generation.number, reason=reason)
        self.starting = None
        self._retire(generation)
        if generation.answer is not None:
            generation.answer({"error": f"the new generation of workers did not come up: {reason}"})

    def _retire(self, generation: Generation) -> None:
        """Begin CLOSING: nobody new on sockets that no other generation serves."""
        for seat in generation.seats:
            seat.is_open = False
        serving = {one.socket for one in self.current.listeners} if self.current else set()
        generation.dropped = tuple(one for one in generation.listeners if one.socket not in serving)
        for listener in generation.dropped:
            try:
                refuse_new_connections(listener.socket)
            except OSError as error:
                self._log.warning("syn_filter_failed", address=listener.bound, error=str(error))
        settle = self._patience.settle if generation.dropped else 0.0
        generation.phase = Phase.CLOSING
        generation.deadline = self._clock.monotonic() + settle
        self.leaving.append(generation)

    def _step_leaving(self, generation: Generation, now: float) -> None:
        if now < generation.deadline:
            return
        if generation.phase is Phase.CLOSING:
            generation.phase = Phase.DRAINING
            generation.deadline = now + self.drain_timeout + self._farewell
            for listener in generation.dropped:
                listener.socket.close()
            self._log.info("generation_drains", generation=generation.number)
            self._signal(generation, signal.SIGTERM)
        else:
            self._signal(generation, signal.SIGKILL)

    def _signal(self, generation: Generation, number: signal.Signals) -> None:
        for seat in generation.seats:
            if seat.child is not None and not seat.child.killed:
                self._log.info("process_signalled", pid=seat.child.pid, signal=number.name)
                self._staff.signal(seat, number)
