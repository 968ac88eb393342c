"""The faults: how each strikes, how it is healed, and what clients may lose by it."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.scene import Scene
from tests.fakes.processes.gateway import eventually, is_alive

LOST_WITH_A_WORKER = frozenset({"connection_reset", "connection_closed", "http_response_incomplete"})
"""How clients see the end of the process that carried their exchange."""

BROKEN_OFF = frozenset({"connection_reset", "connection_closed", "http_response_incomplete"})
"""How they see a response that the backend does not end."""

TIMED_OUT = frozenset({"504"})

FEW = 40
"""Requests that a bad backend may cost: 20 until it is out, and as many when it is tried again."""

GREEDY = 60
"""Connections of each kind of slow clients."""


@dataclass(frozen=True)
class Fault:
    """
    One thing that goes wrong.

    Attributes:
        strike: Lets it go wrong.
        heal: Ends it.
        answers: Answers that have to come while it lasts: the others do not suffer.
        losses: The outcomes that clients may see besides good answers.
        most: Of them, so many at most.
        least_workers: With fewer nobody is left to answer before the one that it strikes is replaced: that is
            another fault.
    """

    name: str
    strike: Callable[[Scene], None]
    heal: Callable[[Scene], None]
    answers: int = 80
    losses: frozenset[str] = frozenset()
    most: int = 0
    least_workers: int = 1

    def __str__(self) -> str:
        return self.name


# instances


def _kill_instance(scene: Scene) -> None:
    scene.struck.kill()


def _start_instance(scene: Scene) -> None:
    scene.struck.start()


def _to_instance(number: signal.Signals) -> Callable[[Scene], None]:
    return lambda scene: scene.struck.process.send_signal(number)


def _deed(deed: str) -> Callable[[Scene], None]:
    return lambda scene: scene.struck.order("deed", deed)


def _misdeed(deed: str, losses: frozenset[str] = frozenset(), most: int = FEW) -> Fault:
    return Fault(f"instance-{deed}", _deed(deed), _deed("answer"), losses=losses, most=most if losses else 0)


# processes of the gateway


def _to_worker(number: signal.Signals) -> Callable[[Scene], None]:
    def send(scene: Scene) -> None:
        scene.notes["worker"] = pid = scene.gateway.workers[0]
        os.kill(pid, number)

    return send


def _replaced(scene: Scene) -> None:
    eventually(lambda: not is_alive(scene.notes["worker"]), "the worker is gone")


def _continue_worker(scene: Scene) -> None:
    _continue(scene.notes["worker"])


def _to_control(number: signal.Signals) -> Callable[[Scene], None]:
    def send(scene: Scene) -> None:
        scene.notes["control"] = pid = scene.gateway.control
        os.kill(pid, number)

    return send


def _new_control(scene: Scene) -> None:
    eventually(lambda: scene.gateway.control != scene.notes["control"], "another control process")


def _continue_control(scene: Scene) -> None:
    _continue(scene.notes["control"])


def _continue(pid: int) -> None:
    """Let a process go on, unless it was silent for so long that it was replaced."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


# clients


def _slow_clients(scene: Scene) -> None:
    """Heads and bodies that do not end, and readers that do not read; they leave as `heal` lets them."""
    host, _, port = scene.gateway.address.partition(":")
    beginnings = (
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf",
        b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" * 8,
    )
    scene.notes["clients"] = clients = []
    for beginning in beginnings:
        for _ in range(GREEDY):
            client = socket.create_connection((host, int(port)))
            client.sendall(beginning)
            clients.append(client)


def _slow_clients_leave(scene: Scene) -> None:
    for client in scene.notes["clients"]:
        client.close()


# the host


def _exhaust_descriptors(scene: Scene) -> None:
    """Leave every worker no descriptor beyond those it has."""
    scene.notes["limits"] = {}
    for pid in scene.gateway.workers:
        scene.notes["limits"][pid] = limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        highest = max(int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, limits[1]))


def _free_descriptors(scene: Scene) -> None:
    for pid, limits in scene.notes["limits"].items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


FAULTS: tuple[Fault, ...] = (
    Fault("instance-killed", _kill_instance, _start_instance),
    Fault(
        "instance-stopped",
        _to_instance(signal.SIGSTOP),
        _to_instance(signal.SIGCONT),
        losses=TIMED_OUT,
        most=FEW,
    ),
    _misdeed("reset"),
    _misdeed("close"),
    _misdeed("garbage", frozenset({"502"})),
    _misdeed("refuse"),
    _misdeed("exceed"),
    _misdeed("hang", TIMED_OUT),
    _misdeed("hang-in-head", TIMED_OUT),
    _misdeed("hang-in-body", BROKEN_OFF),
    _misdeed("truncate", BROKEN_OFF),
    _misdeed("truncate-chunks", BROKEN_OFF),
    Fault("worker-killed", _to_worker(signal.SIGKILL), _replaced, losses=LOST_WITH_A_WORKER, most=10),
    Fault("worker-stopped", _to_worker(signal.SIGSTOP), _continue_worker, least_workers=2),
    Fault("worker-hangs", _to_worker(signal.SIGSTOP), _replaced, losses=LOST_WITH_A_WORKER, most=200),
    Fault("control-killed", _to_control(signal.SIGKILL), _new_control),
    Fault("control-stopped", _to_control(signal.SIGSTOP), _continue_control, answers=200),
    Fault("slow-clients", _slow_clients, _slow_clients_leave),
    Fault("no-descriptors", _exhaust_descriptors, _free_descriptors),
)
