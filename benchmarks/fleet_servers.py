"""A fleet of backends and the proxies before it, under equal rules."""

import contextlib
import json
import re
import shlex
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.fleet import Counts, Fault
from benchmarks.service_times import ServiceTimes

READY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Proxy:
    """
    One row of a table: a program and how it is told to balance.

    Attributes:
        name: The row's name.
        program: gateway, nginx or haproxy.
        strategy: In the program's own words; empty: its default.
        hedge: The gateway's `hedge` section as flow YAML; empty: off. The peers have none.
        retries: Most attempts after the first.
        timeout: Whole seconds for a response head.
        workers: Processes, or threads of HAProxy.
        max_per_backend: The gateway's; the peers have none.
        pool: One more key of the gateway's pool, as YAML.
        routes: The gateway's `routes` section, as YAML.
    """

    name: str
    program: str
    strategy: str = ""
    hedge: str = ""
    retries: int = 2
    timeout: int = 30
    workers: int = 2
    max_per_backend: int = 1024
    pool: str = ""
    routes: str = ""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """
    The backends of one cell.

    Attributes:
        size: How many.
        times: How long they take.
        slow: Factor of those that are slow all the time, by position.
        slots: Requests that one works on at a time, the others wait there; 0: any number.
    """

    size: int
    times: ServiceTimes
    slow: dict[int, float] = field(default_factory=dict)
    slots: int = 0


class RunningFleet:
    """A fleet's ports and its control port."""

    def __init__(self, server: servers.Server, ports: list[int]) -> None:
        self.server = server
        self.ports = ports

    def counts(self) -> list[Counts]:
        """What each backend has counted since the last reset."""
        return self._ask("/counts")

    def reset(self) -> list[Counts]:
        """Count from 0 again; return what was counted before."""
        return self._ask("/reset")

    def slow_down(self, factor: float) -> list[Counts]:
        """Let every backend take so much longer from now on; return the counts up to now."""
        return self._ask(f"/factor/{factor}")

    def fault(self, position: int, kind: Fault) -> list[Counts]:
        """Let one backend be faulty from now on; return the counts up to now."""
        return self._ask(f"/fault/{position}/{kind}")

    def _ask(self, path: str) -> list[Counts]:
        return [Counts(**one) for one in _read_json(f"{self.server.url}{path}")]


@contextlib.contextmanager
def fleet(directory: Path, plan: FleetPlan) -> Iterator[RunningFleet]:
    """Run the backends."""
    first = servers.free_port_range(plan.size + 1)
    ports = list(range(first + 1, first + 1 + plan.size))
    command = [
        *(sys.executable, "-m", "benchmarks.fleet", str(first), ",".join(map(str, ports))),
        *(json.dumps(asdict(plan.times)), json.dumps(plan.slow), str(plan.slots)),
    ]
    with servers.run("fleet", command, first, directory) as server:
        yield RunningFleet(server, ports)


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """A proxy that is ready for all backends."""

    server: servers.Server
    admin_port: int = 0
    """The gateway's; the peers have none."""

    def metric(self, name: str) -> float | None:
        """Return the sum of one metric over its labels; None for a proxy that does not tell."""
        if not self.admin_port:
            return None
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=10) as answer:
            return sum_metric(answer.read().decode(), name)

    def wait_until_ready(self, backends: int) -> None:
        """Return when every backend is ready, where the proxy tells. Raises StartError after a while."""
        deadline = time.monotonic() + READY_SECONDS
        while self.admin_port and self._ready() < backends:
            if time.monotonic() > deadline:
                message = f"{self.server.name}: {self._ready()} of {backends} backends are ready"
                raise servers.StartError(message)
            time.sleep(0.1)

    def _ready(self) -> int:
        status = _read_json(f"http://127.0.0.1:{self.admin_port}/api/v1/status")
        return sum(one["ready"] for pool in status["pools"].values() for one in pool["backends"])


@contextlib.contextmanager
def proxy(
    which: Proxy,
    directory: Path,
    ports: list[int],
    gateway_command: tuple[str, ...] = servers.GATEWAY_COMMAND,
) -> Iterator[RunningProxy]:
    """
    Run a proxy before these backends.

    Raises:
        NotInstalledError: its program is not on this machine.
        StartError: it did not become ready in time.

    """
    port, admin_port = servers.free_port(), servers.free_port()
    name = re.sub(r"\W+", "-", which.name)
    values = {
        "NAME": name,
        "PORT": port,
        "ADMIN_PORT": admin_port,
        "DIRECTORY": directory,
        "WORKERS": which.workers,
        "TIMEOUT": which.timeout,
    }
    match which.program:
        case "gateway":
            config = servers.fill(
                "gateway_fleet.yaml", directory / f"{name}.yaml", values | gateway_values(which, ports)
            )
            command = [part.format(config=config) for part in gateway_command]
        case "nginx":
            command = servers.nginx_command(directory, "fleet", values | nginx_values(which, ports), name)
        case _:
            program = servers.require("haproxy")
            config = servers.fill(
                "haproxy_fleet.cfg", directory / f"{name}.cfg", values | haproxy_values(which, ports)
            )
            command = [program, "-db", "-f", str(config)]
    with servers.run(name, command, port, directory) as server:
        running = RunningProxy(server, admin_port if which.program == "gateway" else 0)
        running.wait_until_ready(len(ports))
        yield running


def gateway_values(which: Proxy, ports: list[int]) -> dict[str, object]:
    """Return what the gateway's template needs besides what is common."""
    return {
        "STRATEGY": which.strategy or "least_connections",
        "BACKENDS": "\n".join(f'      - {{url: "http://127.0.0.1:{port}"}}' for port in ports),
        "RETRIES": which.retries,
        "HEDGE": f"    hedge: {which.hedge}" if which.hedge else "",
        "MAX_PER_BACKEND": which.max_per_backend,
        "IDLE": min(256, which.max_per_backend),
        "POOL": f"    {which.pool}" if which.pool else "",
        "ROUTES": which.routes,
    }


def nginx_values(which: Proxy, ports: list[int]) -> dict[str, object]:
    """Return the same for nginx, whose default is round robin."""
    next_upstream = (
        "proxy_next_upstream error timeout http_502 http_503 http_504; "
        f"proxy_next_upstream_tries {which.retries + 1};"
        if which.retries
        else "proxy_next_upstream off;"
    )
    return {
        "STRATEGY": f"{which.strategy};" if which.strategy else "",
        "BACKENDS": "\n".join(
            f"        server 127.0.0.1:{port} max_fails=5 fail_timeout=30s;" for port in ports
        ),
        "NEXT": next_upstream,
    }


def haproxy_values(which: Proxy, ports: list[int]) -> dict[str, object]:
    """Return the same for HAProxy."""
    retry = [
        "retry-on conn-failure empty-response response-timeout 502 503 504",
        f"retries {which.retries}",
        "option redispatch 1",
        "http-request disable-l7-retry if METH_POST",
    ]
    lines = retry if which.retries else ["retries 0"]
    return {
        "STRATEGY": which.strategy or "leastconn",
        "BACKENDS": "\n".join(f"    server b{port} 127.0.0.1:{port}" for port in ports),
        "NEXT": "\n".join(f"    {line}" for line in lines),
    }


def sum_metric(exposition: str, name: str) -> float:
    """Return the sum of all samples of one metric in Prometheus' text format; 0 when there are none."""
    pattern = re.compile(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)", re.MULTILINE)
    return sum(float(value) for value in pattern.findall(exposition))


def split_command(text: str) -> tuple[str, ...]:
    """Return a command line's words."""
    return tuple(shlex.split(text))


def _read_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())
