"""TLS in the whole gateway: files that change, files that are bad, workers that start anew."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.component.gateway.conftest import Start, configuration
from tests.fakes.authority import Authority
from tests.fakes.processes.gateway import eventually
from tests.fakes.processes.whole import Instance, WholeGateway

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def connected(gateway: WholeGateway, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A client's connection."""
    with (
        socket.create_connection(("127.0.0.1", gateway.port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        yield secure


def ask(connection: ssl.SSLSocket) -> bytes:
    """Send a request, and give the status of its answer."""
    connection.sendall(REQUEST)
    return connection.recv(65536).split()[1]


def names(connection: ssl.SSLSocket) -> set[str]:
    """The names in the certificate that was shown."""
    certificate: Any = connection.getpeercert()
    return {value for _, value in certificate["subjectAltName"]}


def shown(gateway: WholeGateway, context: ssl.SSLContext) -> set[str]:
    """The names that a new connection is shown."""
    with connected(gateway, context) as connection:
        return names(connection)


def test_files_that_change_are_taken_up_and_bad_ones_are_not(
    three: list[Instance], start: Start, tmp_path: Path
) -> None:
    """
    A new pair reaches every worker while open connections stay; half of a pair changes nothing and says why.

    A worker that starts while the files are bad has what was good.
    """
    authority = Authority(tmp_path)
    tls = authority.write(tmp_path / "mine", "localhost", "one.example")
    listen = [{"address": "127.0.0.1:0", "tls": tls}]
    gateway = start(three, listen=listen)
    client = authority.client()

    with connected(gateway, client) as kept:
        assert b"200" == ask(kept)
        authority.write(tmp_path / "mine", "localhost", "two.example")
        eventually(lambda: len(gateway.events("configuration_applied")) == 2, "the new pair is in force")
        gateway.wait_until_ready(workers=2, ready=3)
        assert [{"localhost", "two.example"}] * 8 == [shown(gateway, client) for _ in range(8)]
        assert tls["certificate"] in gateway.events("configuration_applied")[1]["changed"]

        good = Path(tls["certificate"]).read_bytes()
        Path(tls["certificate"]).write_bytes(good[: len(good) // 2])
        eventually(lambda: gateway.events("configuration_rejected"), "the bad file is rejected")
        [rejected] = gateway.events("configuration_rejected")
        assert "listen[0].tls.certificate" in rejected["problems"][0]
        assert "has no certificate in PEM" in rejected["problems"][0]
        [victim] = set(gateway.workers) - {holder(gateway, kept)}
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(set(gateway.workers) - {victim}) == 2, "it is replaced")
        gateway.wait_until_ready(workers=2, ready=3)
        assert [{"localhost", "two.example"}] * 8 == [shown(gateway, client) for _ in range(8)]
        assert b"200" == ask(kept)
        assert {"localhost", "one.example"} == names(kept)


def holder(gateway: WholeGateway, connection: ssl.SSLSocket) -> int:
    """The worker that holds the other end of a connection."""
    port = connection.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, inode = (line.split()[at] for at in (1, 2, 9))
        if (int(local[-4:], 16), int(remote[-4:], 16)) == (gateway.port, port):
            for pid in gateway.workers:
                links = (str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())
                if f"socket:[{inode}]" in links:
                    return pid
    raise AssertionError("nobody holds it")


def test_change_of_a_section_applies_without_new_workers(
    three: list[Instance], start: Start, tmp_path: Path
) -> None:
    """The address stays and speaks TLS as before: only new connections see the difference."""
    authority = Authority(tmp_path)
    tls: dict[str, Any] = authority.pair("localhost")
    gateway = start(three, workers=1, listen=[{"address": "127.0.0.1:0", "tls": tls}])
    workers = gateway.workers
    old = authority.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert {"localhost"} == shown(gateway, old)

    changed = [{"address": "127.0.0.1:0", "tls": {**tls, "minimum_version": "1.3"}}]
    gateway.write(configuration(three, workers=1, listen=changed))
    eventually(lambda: len(gateway.events("configuration_applied")) == 2, "it is in force")
    gateway.wait_until_ready(workers=1, ready=3)

    def is_refused() -> bool:
        try:
            shown(gateway, old)
        except ssl.SSLError:
            return True
        return False

    eventually(is_refused, "TLS 1.2 is refused")
    assert {"localhost"} == shown(gateway, authority.client())
    assert workers == gateway.workers


def test_listener_that_begins_to_speak_tls_gets_new_workers(
    three: list[Instance], start: Start, tmp_path: Path
) -> None:
    """On the same socket; connections of the old workers stay plain until they end."""
    authority = Authority(tmp_path)
    gateway = start(three, workers=1, listen=[{"address": "127.0.0.1:0"}])
    port, workers = gateway.port, gateway.workers

    listen = [{"address": "127.0.0.1:0", "tls": authority.pair("localhost")}]
    gateway.write(configuration(three, workers=1, listen=listen))
    eventually(lambda: len(gateway.events("configuration_applied")) == 2, "it is in force")
    eventually(lambda: not set(workers) & set(gateway.workers), "the old worker is gone")

    assert {"localhost"} == shown(gateway, authority.client())
    assert port == gateway.port
