"""
Plans: what a process is told when it starts, as JSON in one environment variable.

`serve` hands a `SupervisorPlan` to the supervisor; the supervisor hands a `ControlPlan` or a `WorkerPlan` to
what it starts, with the numbers of the descriptors that are inherited. A process claims its plan once.

It uses the standard library only, since the supervisor imports it.
"""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

SUPERVISOR_VARIABLE: Final = "PCS_GATEWAY_SUPERVISOR"
"""The environment variable with the supervisor's plan."""

PROCESS_VARIABLE: Final = "PCS_GATEWAY_PROCESS"
"""The environment variable with the plan of a control process or a worker."""


@dataclass(frozen=True)
class ListenPlan:
    """
    One address to listen on.

    Attributes:
        address: As configured: `host:port` or `[ipv6]:port`; port 0 is any free one.
        tls: Whether connections begin with a TLS handshake.
    """

    address: str
    tls: bool = False


@dataclass(frozen=True)
class Listener:
    """
    One listening socket that was inherited.

    Attributes:
        address: As configured.
        bound: Where it really listens, `host:port`; differs from `address` when that has port 0 or a name.
        fd: The descriptor; non-blocking and shared with other processes.
    """

    address: str
    tls: bool
    bound: str
    fd: int


@dataclass(frozen=True)
class Patience:
    """
    How long the supervisor waits for what; all in seconds.

    Attributes:
        first_heartbeat: From the start of a process to its first sign of life, imports included.
        worker_silence: Between two heartbeats of a worker.
        control_silence: Between two heartbeats of the control process.
        generation_start: From the start of a new generation until all its workers accept.
        settle: From the first refused connect until the listeners close: handshakes under way end in it.
        farewell: Beyond `drain_timeout` for idle connections and exit, before SIGKILL.
        hurry: The same after a second signal, counted from that signal.
        early_death: What dies within this time of its start is restarted with a delay.
    """

    first_heartbeat: float = 30.0
    worker_silence: float = 5.0
    control_silence: float = 10.0
    generation_start: float = 20.0
    settle: float = 0.2
    farewell: float = 5.0
    hurry: float = 2.0
    early_death: float = 10.0


@dataclass(frozen=True)
class SupervisorPlan:
    """
    What the supervisor is to run.

    Attributes:
        config: Absolute path of the configuration file; only the control process reads it.
        listen: Where clients connect.
        admin: `host:port` of the admin API, which the control process serves; empty for none.
        workers: How many workers each generation has.
        workers_fixed: The number was given on the command line and a reload does not change it.
        state_directory: Absolute path; made with mode 0700 when missing.
        drain_delay: From SIGTERM until the listeners close, in seconds.
        drain_timeout: What exchanges in flight are given after that, in seconds.
        log_level: debug, info, warning or error; of the supervisor's own log.
        log_format: json or text.
        control_module: Started with `python -m` as the control process.
        worker_module: Started with `python -m` as a worker.
    """

    config: str
    listen: tuple[ListenPlan, ...]
    admin: str
    workers: int
    state_directory: str
    workers_fixed: bool = False
    drain_delay: float = 0.0
    drain_timeout: float = 30.0
    log_level: str = "info"
    log_format: str = "json"
    control_module: str = "pcs_gateway.control_process"
    worker_module: str = "pcs_gateway.worker_process"
    patience: Patience = field(default_factory=Patience)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        values: dict[str, Any] = json.loads(text)
        values["listen"] = tuple(ListenPlan(**one) for one in values["listen"])
        values["patience"] = Patience(**values.get("patience", {}))
        return cls(**values)


@dataclass(frozen=True)
class _ProcessPlan:
    """
    What both the control process and a worker are told.

    Attributes:
        row: Its row of the scoreboard.
        incarnation: Unlike that of any other process; also in its row.
        generation: Number of the generation of listening sockets, from 1.
        scoreboard_fd: For `Scoreboard.attach`.
        ticket_fds: For `Tickets`.
        lifeline_fd: Reads end of file when the supervisor is gone.
        listeners: Where clients connect.
        state_directory: Absolute path.
        drain_delay: From SIGTERM until the listeners close, in seconds.
        drain_timeout: What exchanges in flight are given after that, in seconds.
    """

    row: int
    incarnation: int
    generation: int
    scoreboard_fd: int
    ticket_fds: tuple[int, ...]
    lifeline_fd: int
    listeners: tuple[Listener, ...]
    state_directory: str
    drain_delay: float
    drain_timeout: float

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        values: dict[str, Any] = json.loads(text)
        values["listeners"] = tuple(Listener(**one) for one in values["listeners"])
        values["ticket_fds"] = tuple(values["ticket_fds"])
        return cls(**values)

    @classmethod
    def claim(cls, environ: MutableMapping[str, str]) -> Self:
        """
        Take this process' plan out of its environment; what it starts inherits neither plan nor descriptors.

        Raises:
            KeyError: The process was not started by a supervisor.
        """
        plan = cls.from_json(environ.pop(PROCESS_VARIABLE))
        for fd in plan.descriptors():
            os.set_inheritable(fd, False)
        return plan

    def descriptors(self) -> list[int]:
        """Every descriptor that the process inherits."""
        shared = [self.scoreboard_fd, self.lifeline_fd, *self.ticket_fds]
        return shared + [listener.fd for listener in self.listeners]

    @property
    def channel_path(self) -> Path:
        """The channel's socket."""
        return Path(self.state_directory, "channel.sock")

    @property
    def snapshot_path(self) -> Path:
        """The last published snapshot of this run of the gateway."""
        return Path(self.state_directory, "snapshot.bin")


@dataclass(frozen=True)
class WorkerPlan(_ProcessPlan):
    """What a worker is told; it accepts on `listeners`."""


@dataclass(frozen=True)
class ControlPlan(_ProcessPlan):
    """
    What the control process is told. Its `listeners` have fd -1: it knows where clients connect, no more.

    Attributes:
        config: Absolute path of the configuration file.
        workers: How many workers each generation has now.
        workers_fixed: The number was given on the command line and a reload does not change it.
        link_fd: The socket to the supervisor, for `SupervisorLink`.
        admin: The configured address of the admin API; empty for none.
        admin_bound: Where that socket really listens, `host:port`; empty for none.
        admin_fd: The listening socket of the admin API; -1 for none.
    """

    config: str
    workers: int
    workers_fixed: bool
    link_fd: int
    admin: str
    admin_bound: str
    admin_fd: int

    def descriptors(self) -> list[int]:
        mine = [self.scoreboard_fd, self.lifeline_fd, *self.ticket_fds, self.link_fd]
        return [*mine, self.admin_fd] if self.admin_fd >= 0 else mine


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def same_addresses(before: Sequence[ListenPlan], after: Sequence[ListenPlan]) -> bool:
    """Whether two `listen` sections mean the same sockets, in whatever order."""
    return sorted(map(repr, before)) == sorted(map(repr, after))
