"""Where everything of a demo is: ports, files and commands, decided before anything is started."""

from __future__ import annotations

import shlex
import shutil
import socket
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pcs_gateway.errors import CommandError

INSTANCES = {"one": 8001, "two": 8002, "three": 8003}
"""The instances' names, and the ports that are theirs unless taken."""

LOOPBACK = "127.0.0.1"
PORTS_TRIED = 200
LATENCY = "lognormal 8ms 0.5"
"""Of the instances: with it three of them answer as one with a database would."""


@dataclass(frozen=True, slots=True)
class Layout:
    """
    One demo's places.

    Attributes:
        directory: Its own, for all files; removed at the end.
        host: The address that traffic is taken on.
        port: The port of the traffic.
        admin_port: The port of the admin API, always on loopback.
        instance_ports: By the instances' names.
    """

    directory: Path
    host: str
    port: int
    admin_port: int
    instance_ports: Mapping[str, int]

    @property
    def configuration(self) -> Path:
        return self.directory / "gateway.yaml"

    @property
    def database(self) -> Path:
        return self.directory / "pcs.db"

    @property
    def gateway_log(self) -> Path:
        return self.directory / "gateway.log"

    @property
    def url(self) -> str:
        """Where clients on this machine find the gateway."""
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://{authority(host, self.port)}"

    @property
    def admin_url(self) -> str:
        return f"http://{LOOPBACK}:{self.admin_port}"

    def log_of(self, instance: str) -> Path:
        return self.directory / f"{instance}.log"

    def configuration_text(self) -> str:
        """Return the gateway's configuration: the template with this demo's places."""
        values = {
            f"{LOOPBACK}:8080": authority(self.host, self.port),
            f"{LOOPBACK}:9901": f"{LOOPBACK}:{self.admin_port}",
            "var/lib/pcs-gateway-demo": str(self.directory / "state"),
        }
        for name, preferred in INSTANCES.items():
            values[f"{LOOPBACK}:{preferred}"] = f"{LOOPBACK}:{self.instance_ports[name]}"
        return fill(template(), values)

    def instance_command(self, instance: str) -> list[str]:
        """Return what starts an instance."""
        module = [sys.executable, "-P", "-m", "pcs_gateway.sample"]
        port = str(self.instance_ports[instance])
        return [
            *module, "--port", port, "--instance", instance,
            "--database", str(self.database), "--latency", LATENCY,
        ]  # fmt: skip

    def gateway_command(self) -> list[str]:
        return [sys.executable, "-P", "-m", "pcs_gateway", "serve", "--config", str(self.configuration)]


def plan(directory: Path, host: str, port: int, admin_port: int) -> Layout:
    """
    Find a free port for everything, from the one that was wished for upwards.

    Raises:
        CommandError: `host` cannot be listened on, or no port near the wish is free.
    """
    taken: set[int] = set()

    def take(address: str, wish: int) -> int:
        found = free_port(address, wish, taken)
        taken.add(found)
        return found

    return Layout(
        directory=directory,
        host=host,
        port=take(host, port),
        admin_port=take(LOOPBACK, admin_port),
        instance_ports={name: take(LOOPBACK, wish) for name, wish in INSTANCES.items()},
    )


def free_port(host: str, wish: int, taken: Collection[int] = ()) -> int:
    """
    Return the first port from `wish` upwards that can be listened on.

    Raises:
        CommandError: There is none, or `host` is no address of this machine.
    """
    problem: OSError | None = None
    for port in range(wish, min(wish + PORTS_TRIED, 65536)):
        if port in taken:
            continue
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.create_server((host, port), family=family):
                return port
        except OSError as error:
            problem = error
    reason = problem.strerror if problem else "all are taken"
    raise CommandError(f"no port from {wish} upwards can be listened on at {host}: {reason}")


def authority(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def template() -> str:
    """Return config/demo.yaml."""
    return files("pcs_gateway.cli.demonstration").joinpath("demo.yaml").read_text(encoding="utf-8")


def fill(text: str, values: Mapping[str, str]) -> str:
    """
    Return `text` with each key replaced by its value.

    Raises:
        ValueError: A key does not stand in the text exactly once.
    """
    for key in values:
        if text.count(key) != 1:
            raise ValueError(f"{key} stands {text.count(key)} times in the template, allowed: once")
    # in two steps, so that a value is never taken for a key
    for position, key in enumerate(values):
        text = text.replace(key, f"\0{position}\0")
    for position, value in enumerate(values.values()):
        text = text.replace(f"\0{position}\0", value)
    return text


def gateway_program() -> str:
    """Return what to type for `pcs-gateway`, from any directory."""
    installed = Path(sys.executable).with_name("pcs-gateway")
    found = shutil.which("pcs-gateway")
    if found and Path(found).resolve() == installed.resolve():
        return "pcs-gateway"
    if installed.exists():
        return shlex.quote(str(installed))
    return f"{shlex.quote(sys.executable)} -m pcs_gateway"
