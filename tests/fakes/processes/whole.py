"""
The whole gateway as an operator runs it, and instances behind it: real processes, real sockets.

Everything that was started is gone when its context ends, whatever happened in it.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.processes.gateway import REPOSITORY, eventually, is_alive

ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY)}


class Instance:
    """
    One instance, as a process.

    Attributes:
        name: What it calls itself.
        port: On 127.0.0.1; kept when it is started again.
        process: Of its last start.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and return when it listens."""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", *self.command()],
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        with self.process.stdout as told:
            self.port = self.port_in(told.readline())

    def command(self) -> list[str]:
        """Give the module that it runs, and its arguments."""
        return ["tests.fakes.processes.instance", self.name, str(self.port)]

    def port_in(self, told: str) -> int:
        """Read its port from the first line that it prints."""
        return int(told)

    def kill(self) -> None:
        """End it as a crash does; it may have ended already."""
        self.process.kill()
        self.process.wait()

    def order(self, what: str, status: int | str) -> None:
        """Let its `status`, its `health` or its `deed` be another one from now on."""
        assert self._ask(f"/order/{what}/{status}") == ""

    def counts(self) -> dict[str, int]:
        """How often each path was asked for."""
        found: dict[str, int] = json.loads(self._ask("/counts"))
        return found

    def _ask(self, path: str) -> str:
        return get(f"127.0.0.1:{self.port}", path).body


@dataclass(frozen=True)
class Answer:
    """
    One answer.

    Attributes:
        instance: Who gave it; empty when no instance did.
        duration: Seconds from the connect to the last byte.
    """

    status: int
    instance: str
    body: str
    fields: dict[str, str]
    duration: float


def get(address: str, path: str = "/", timeout: float = 30.0) -> Answer:
    """Send one GET on a connection of its own."""
    started = time.monotonic()
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read().decode()
    finally:
        connection.close()
    fields = {name.lower(): value for name, value in response.getheaders()}
    instance = fields.get("x-pcs-instance", "")
    return Answer(response.status, instance, body, fields, time.monotonic() - started)


@contextmanager
def instances(count: int, kind: Callable[[str], Instance] = Instance) -> Iterator[list[Instance]]:
    """Run so many instances, named i0, i1 and so on."""
    started: list[Instance] = []
    try:
        started += (kind(f"i{number}") for number in range(count))
        yield started
    finally:
        for instance in started:
            instance.kill()


def backends(these: list[Instance]) -> list[dict[str, Any]]:
    """The instances as a pool's `backends`."""
    return [{"url": instance.url, "name": instance.name} for instance in these]


class WholeGateway:
    """
    A gateway started by `pcs-gateway serve`.

    Args:
        directory: For its configuration file, its state and its log.
        configuration: The file's content; listens on free ports of loopback unless it says otherwise.
        descriptors: The limit that each of its processes has; None: as this process.

    Attributes:
        process: The supervisor.
        file: The configuration file.
    """

    def __init__(
        self, directory: Path, configuration: Mapping[str, Any], descriptors: int | None = None
    ) -> None:
        self._directory = directory
        self._log = directory / "log"
        self.file = directory / "gateway.yaml"
        self.write(configuration)
        limited = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(descriptors)] if descriptors else []
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*limited, sys.executable, "-P", "-m", "pcs_gateway", "serve", "--config", str(self.file)],
                env={**os.environ, **ENVIRONMENT},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def write(self, configuration: Mapping[str, Any]) -> None:
        """Replace the configuration file, as an editor does."""
        defaults = {
            "listen": [{"address": "127.0.0.1:0"}],
            "admin": {"address": "127.0.0.1:0"},
            "state": {"directory": str(self._directory / "state")},
            "logging": {"format": "json", "access": {"enabled": False}},
        }
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps({**defaults, **configuration}))
        new.rename(self.file)

    # where it is

    def listeners(self) -> dict[str, Any]:
        """What the supervisor says of itself. Raises FileNotFoundError before it does."""
        found: dict[str, Any] = json.loads((self._directory / "state" / "listeners.json").read_text())
        return found if found["supervisor"] == self.process.pid else {}

    @property
    def address(self) -> str:
        """Where clients connect."""
        bound: str = eventually(self.listeners, "listeners.json")["listen"][0]["bound"]
        return bound

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    # its processes

    def processes(self, module: str) -> list[int]:
        """The pids of its children that run this module and are alive."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [pid for pid in map(int, children.split()) if is_alive(pid) and module in _command(pid)]

    @property
    def workers(self) -> list[int]:
        """The workers' pids."""
        return self.processes("pcs_gateway.worker_process")

    @property
    def control(self) -> int:
        """The control process' pid."""
        return eventually(lambda: self.processes("pcs_gateway.control_process"), "a control process")[0]

    # its admin API

    def ask(self, path: str, body: Mapping[str, Any] | None = None, timeout: float = 30.0) -> tuple[int, Any]:
        """GET from the admin API, or POST a body; return status and JSON."""
        admin: str = eventually(self.listeners, "listeners.json")["admin"]
        connection = http.client.HTTPConnection(admin, timeout=timeout)
        try:
            method = "GET" if body is None else "POST"
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        """GET /api/v1/status."""
        found: dict[str, Any] = self.ask("/api/v1/status")[1]
        return found

    def backend(self, name: str, pool: str = "pcs") -> dict[str, Any]:
        """One backend as the admin API shows it."""
        found: dict[str, Any] = self.ask(f"/api/v1/backends/{pool}/{name}")[1]
        return found

    def order(self, name: str, action: str, pool: str = "pcs", **parameters: Any) -> tuple[int, Any]:
        """Give an order about a backend."""
        return self.ask(f"/api/v1/backends/{pool}/{name}/{action}", parameters)

    def wait_until_ready(self, workers: int, ready: int) -> dict[str, Any]:
        """Return the status once so many workers, and no others, know of so many ready backends."""

        def is_ready() -> dict[str, Any] | None:
            status = self.status()
            version = status["configuration"]["snapshot_version"]
            known = [one["up"] and one["snapshot_version"] == version for one in status["workers"]]
            members = [one["ready"] for pool in status["pools"].values() for one in pool["backends"]]
            return status if all(known) and (len(known), sum(members)) == (workers, ready) else None

        return eventually(is_ready, f"{workers} workers and {ready} ready backends", 30.0)

    # its log

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of this name that its processes logged."""
        lines = [line for line in self.text().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def text(self) -> str:
        """All that its processes wrote."""
        return self._log.read_text()

    # its end

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def started(self) -> list[int]:
        """Every process that the supervisor ever started and that is alive."""
        return [pid for event in self.events("process_started") if is_alive(pid := event["pid"])]

    def stop(self) -> None:
        """End the supervisor as a crash does, and whatever does not follow it."""
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + 10
        while left := self.started():
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            assert time.monotonic() < deadline, f"still there: {left}"
            time.sleep(0.01)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
