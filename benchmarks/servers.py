"""
Starting and stopping what is measured: the backend, the gateway and its peers.

Every process listens on loopback only, lives in a process group of its own, gets SIGTERM when the
harness ends and SIGKILL when it does not listen to that, and dies with the harness should that be
killed.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import tls

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
GATEWAY_COMMAND = (
    str(Path(sys.executable).parent / "pcs-gateway"),
    "serve",
    "--config",
    "{config}",
)
JSON_BYTES = 1024
START_SECONDS = 15.0
STOP_SECONDS = 5.0
SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class NotInstalledError(Exception):
    """A peer's program is not on this machine; the message names it."""


class StartError(Exception):
    """A server did not begin to answer in time; the message holds what it printed."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: the root of its process tree and where it listens."""

    name: str
    port: int
    pid: int
    tls: bool = False

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Setup:
    """What is common to all proxies of one measurement."""

    directory: Path
    backend_port: int
    workers: int = 1
    access_log: bool = False
    weights: tuple[int, ...] = (1,)
    """One backend each, on as many ports from `backend_port` on; the peers know the first one only."""
    tls: bool = False
    gateway_command: tuple[str, ...] = field(default=GATEWAY_COMMAND)


def find_program(name: str) -> str | None:
    """Return a program's path, also from where Debian puts servers and an ordinary PATH does not look."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_DIRECTORIES])
    return shutil.which(name, path=path)


def json_document(size: int = JSON_BYTES) -> str:
    """Return a JSON object of exactly `size` bytes, like one prompt of PCS."""
    head = '{"id":"5f0c7e52-8a3e-4a44-9f59-0b6f1c3a2d10","name":"summary","version":3,"content":"'
    return head + "x" * (size - len(head) - 2) + '"}'


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_port_range(count: int) -> int:
    """Return the first of `count` neighbouring loopback ports that nobody listens on now."""
    while True:
        first = free_port()
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """Make a directory that servers of another user may read too; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="pcs-benchmark-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@contextlib.contextmanager
def run(name: str, command: list[str], port: int, directory: Path, *, tls: bool = False) -> Iterator[Server]:
    """
    Run a server until the block ends; it listens when the block begins.

    Raises:
        StartError: it ended or did not listen within `START_SECONDS`.

    """
    log = directory / f"{name}.out"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=HERE.parent,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - the harness has no threads
        )
    server = Server(name, port, process.pid, tls)
    try:
        _wait_until_listening(server, process, log)
        yield server
    finally:
        _stop(process)


@contextlib.contextmanager
def backend(directory: Path) -> Iterator[Server]:
    """Run the backend: nginx where installed, otherwise our own one."""
    port = free_port()
    (directory / "files").mkdir(exist_ok=True)
    large = directory / "files" / "1m"
    large.write_bytes(os.urandom(1 << 20))
    if find_program("nginx"):
        values = {"JSON": json_document(), "PORT": port}
        command = nginx_command(directory, "backend", values)
    else:
        command = [sys.executable, "-m", "benchmarks.backend", str(port)]
    with run("backend", command, port, directory) as server:
        yield server


@contextlib.contextmanager
def nginx(setup: Setup, name: str = "nginx") -> Iterator[Server]:
    """Run nginx as a proxy."""
    port = free_port()
    log = f"{setup.directory}/{name}.log json buffer=64k flush=1s"
    values = {
        "NAME": name,
        "PORT": port,
        "BACKEND": setup.backend_port,
        "WORKERS": setup.workers,
        "ACCESS_LOG": log if setup.access_log else "off",
        "SSL": "ssl" if setup.tls else "",
        "CERTIFICATE": _nginx_certificate(setup),
    }
    command = nginx_command(setup.directory, "proxy", values, name)
    with run(name, command, port, setup.directory, tls=setup.tls) as server:
        yield server


@contextlib.contextmanager
def haproxy(setup: Setup, name: str = "haproxy") -> Iterator[Server]:
    """Run HAProxy with one thread per worker."""
    program = require("haproxy")
    port = free_port()
    fields = (
        '{"time":"%T","client":"%ci","method":"%HM","target":"%HP","status":%ST,"bytes":%B,'
        '"duration":%Ta,"time_to_first_byte":%Tr,"backend":"%s","request_id":"%ID"}'
    )
    values = {
        "PORT": port,
        "BACKEND": setup.backend_port,
        "WORKERS": setup.workers,
        "SSL": f"ssl crt {tls.write_certificate(setup.directory)}" if setup.tls else "",
        "SCHEME": "https" if setup.tls else "http",
        "LOG_TARGET": "log stdout format raw local0" if setup.access_log else "",
        "LOG_FRONTEND": f"log global\n    log-format '{fields}'" if setup.access_log else "",
    }
    path = fill("haproxy.cfg", setup.directory / f"{name}.cfg", values)
    command = [program, "-db", "-f", str(path)]
    with run(name, command, port, setup.directory, tls=setup.tls) as server:
        yield server


@contextlib.contextmanager
def aiohttp_proxy(setup: Setup, name: str = "aiohttp") -> Iterator[Server]:
    """Run the plain aiohttp server + client proxy on uvloop."""
    if setup.tls:
        raise NotInstalledError("not measured with TLS")
    port = free_port()
    command = [
        sys.executable,
        str(PEERS / "aiohttp_proxy.py"),
        str(port),
        str(setup.backend_port),
        str(setup.workers),
        str(setup.directory / f"{name}.log") if setup.access_log else "",
    ]
    with run(name, command, port, setup.directory) as server:
        yield server


@contextlib.contextmanager
def gateway(setup: Setup, name: str = "gateway") -> Iterator[Server]:
    """Run this gateway: supervisor, control process and workers."""
    port = free_port()
    values = {
        "NAME": name,
        "DIRECTORY": setup.directory,
        "PORT": port,
        "ADMIN_PORT": free_port(),
        "BACKENDS": _backend_lines(setup),
        "WORKERS": setup.workers,
        "TLS": _gateway_tls(setup),
        "ACCESS_ENABLED": str(setup.access_log).lower(),
        "ACCESS_FILE": setup.directory / f"{name}.log",
    }
    config = fill("gateway.yaml", setup.directory / f"{name}.yaml", values)
    places = {"config": config, "port": port, "backend": setup.backend_port}
    command = [part.format(**places) for part in setup.gateway_command]
    with run(name, command, port, setup.directory, tls=setup.tls) as server:
        yield server


@contextlib.contextmanager
def delaying_backends(
    directory: Path, weights: Sequence[int], mean: float, *, is_constant: bool = False
) -> Iterator[Server]:
    """Run one backend per weight on neighbouring ports, answering after `mean` seconds, or so on average."""
    first = free_port_range(len(weights))
    ports = ",".join(f"{first + index}:{weight}" for index, weight in enumerate(weights))
    command = [sys.executable, "-m", "benchmarks.backend", ports, str(mean)]
    command += ["always"] if is_constant else []
    with run("backends", command, first, directory) as server:
        yield server


Starter = Callable[[Setup], contextlib.AbstractContextManager[Server]]

PROXIES: dict[str, Starter] = {
    "gateway": gateway,
    "nginx": nginx,
    "nginx-again": lambda setup: nginx(setup, "nginx-again"),
    "haproxy": haproxy,
    "aiohttp": aiohttp_proxy,
}


def _backend_lines(setup: Setup) -> str:
    return "\n".join(
        f'      - {{url: "http://127.0.0.1:{setup.backend_port + index}", weight: {weight}}}'
        for index, weight in enumerate(setup.weights)
    )


def _nginx_certificate(setup: Setup) -> str:
    if not setup.tls:
        return ""
    path = tls.write_certificate(setup.directory)
    return f"ssl_certificate {path}; ssl_certificate_key {path};"


def _gateway_tls(setup: Setup) -> str:
    if not setup.tls:
        return ""
    path = tls.write_certificate(setup.directory)
    return f'tls: {{certificate: "{path}", key: "{path}"}}'


def nginx_command(
    directory: Path, kind: str, values: Mapping[str, object], name: str = "backend"
) -> list[str]:
    """Fill in one of nginx' configurations and return the command line. Raises NotInstalledError."""
    program = require("nginx")
    user = "user root;" if os.geteuid() == 0 else ""
    common = {"DIRECTORY": directory, "USER": user}
    path = fill(f"nginx_{kind}.conf", directory / f"{name}.conf", {**common, **values})
    return [program, "-e", f"{directory}/{name}.err", "-c", str(path)]


def fill(template: str, path: Path, values: Mapping[str, object]) -> Path:
    """Write a template of `peers/` with its @PLACES@ filled in; return where it is."""
    text = (PEERS / template).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path.write_text(text)
    return path


def require(name: str) -> str:
    """Return a program's path. Raises NotInstalledError."""
    program = find_program(name)
    if program is None:
        raise NotInstalledError(f"{name} is not installed")
    return program


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_listening(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), _connected(server) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: benchmark\r\nConnection: close\r\n\r\n")
            if s.recv(64).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.05)
    printed = log.read_text(errors="replace")[-2000:]
    message = f"{server.name} did not answer within {START_SECONDS:g} s:\n{printed}"
    raise StartError(message)


def _connected(server: Server) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), 1.0)
    return tls.client_context().wrap_socket(connection) if server.tls else connection


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
