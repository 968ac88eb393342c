"""A gateway of real processes, with stand-ins where the real control process and workers would be."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pcs_gateway.processes.plan import SUPERVISOR_VARIABLE, ListenPlan, Patience, SupervisorPlan
from pcs_gateway.processes.scoreboard import Scoreboard

REPOSITORY = Path(__file__).parents[3]
CONTROL = "tests.fakes.processes.control"
WORKER = "tests.fakes.processes.worker"
DYING = "tests.fakes.processes.dying"

QUICK = Patience(early_death=0.0)
"""Whoever dies is replaced at once, however young."""

T = TypeVar("T")


def eventually(find: Callable[[], T | None], what: str, within: float = 20.0) -> T:
    """Look until something true is found, and return that; fail after so many seconds."""
    deadline = time.monotonic() + within
    while True:
        try:
            found = find()
        except (OSError, http.client.HTTPException):
            found = None
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"within {within} s there was never: {what}")
        time.sleep(0.01)


def ask(address: str, path: str = "/", body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """One request on a connection of its own; return status and JSON."""
    connection = http.client.HTTPConnection(address, timeout=15)
    try:
        payload = None if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        connection.request(method, path, payload, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def plan_for(directory: Path, **changes: Any) -> SupervisorPlan:
    """A plan on free ports of loopback, with its state in `directory`."""
    values: dict[str, Any] = {
        "config": str(directory / "gateway.yaml"),
        "listen": (ListenPlan("127.0.0.1:0"),),
        "admin": "127.0.0.1:0",
        "workers": 2,
        "state_directory": str(directory / "state"),
        "drain_timeout": 5.0,
        "control_module": CONTROL,
        "worker_module": WORKER,
        "patience": QUICK,
    }
    return SupervisorPlan(**(values | changes))


class Gateway:
    """
    A running supervisor and all it started.

    Attributes:
        process: The supervisor.
        plan: What it runs.
    """

    def __init__(self, plan: SupervisorPlan, log: Path) -> None:
        self.plan = plan
        self._log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pcs_gateway.processes.supervisor"],
                env={**os.environ, SUPERVISOR_VARIABLE: plan.to_json(), "PYTHONPATH": str(REPOSITORY)},
                stdout=stderr,
                stderr=stderr,
            )

    def listeners(self) -> dict[str, Any]:
        """What the supervisor says of itself; empty before it does."""
        try:
            found: dict[str, Any] = json.loads(Path(self.plan.state_directory, "listeners.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    @property
    def address(self) -> str:
        """Where the first listener really is."""
        bound: str = eventually(self.listeners, "listeners.json")["listen"][0]["bound"]
        return bound

    @property
    def admin(self) -> str:
        """Where the admin API really is."""
        bound: str = eventually(self.listeners, "listeners.json")["admin"]
        return bound

    def control(self) -> dict[str, Any]:
        """What the control process was told."""
        return ask(self.admin, "/plan")[1]

    def change(self, listen: list[str], workers: int = 2) -> tuple[int, dict[str, Any]]:
        """Ask for a new generation."""
        body = {"listen": [{"address": one, "tls": False} for one in listen], "workers": workers}
        return ask(self.admin, "/generation", body)

    def scoreboard(self) -> Scoreboard:
        """The gateway's own."""
        plan = eventually(self.control, "an answer of the control process")
        return Scoreboard.attach(os.open(f"/proc/{self.process.pid}/fd/{plan['scoreboard_fd']}", os.O_RDWR))

    def accepting(self, scoreboard: Scoreboard) -> dict[int, int]:
        """The workers that accept connections, pid by row."""
        rows = [scoreboard.row(row) for row in scoreboard.rows_in_use()]
        return {row.index: row.pid for row in rows if row.accepting}

    def wait_for_workers(self, scoreboard: Scoreboard) -> dict[int, int]:
        """Return when all workers accept connections: pid by row."""
        return eventually(
            lambda: rows if len(rows := self.accepting(scoreboard)) == self.plan.workers else None,
            "all workers accept",
        )

    def text(self) -> str:
        """All that the processes wrote."""
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of this name that the supervisor logged."""
        lines = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def children(self) -> list[int]:
        """Every process that the supervisor started and that still runs."""
        return [pid for event in self.events("process_started") if is_alive(pid := event["pid"])]

    def stop(self) -> None:
        """End the supervisor as a crash does, and whatever does not follow it."""
        self.process.kill()
        self.process.wait()
        for pid in self.children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        eventually(lambda: not self.children(), "all processes gone")
