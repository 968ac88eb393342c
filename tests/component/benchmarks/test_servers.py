"""The harness's own servers: started, asked, measured, stopped."""

import http.client
import json
import os
import time
from pathlib import Path

import pytest

from benchmarks import accounting, balance, idle_connections, large_body, servers
from benchmarks.measuring import measure
from benchmarks.scenarios import SCENARIOS
from tests.fakes.processes.gateway import eventually


def _get(server: servers.Server, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_document_has_exactly_its_size() -> None:
    """A row that says 1 KB means 1,024 bytes."""
    assert len(servers.json_document()) == 1024


def test_own_backend_stands_in_for_nginx(tmp_path: Path) -> None:
    """Our backend gives the same JSON and the same large file."""
    with servers.delaying_backends(tmp_path, (1,), 0.0) as backend:
        assert _get(backend, "/any") == (200, servers.json_document().encode())
        status, body = _get(backend, "/files/1m")

    assert (status, len(body)) == (200, 1 << 20)


def test_delaying_backends_count_what_is_in_flight(tmp_path: Path) -> None:
    """One request at a time on the first of two backends is a gap between 0 and 1, reset when asked."""
    with servers.delaying_backends(tmp_path, (1, 1), 0.05) as backends:
        _get(backends, "/imbalance")
        for _ in range(3):
            assert _get(backends, "/any")[0] == 200
        gap = float(_get(backends, "/imbalance")[1])
        again = float(_get(backends, "/imbalance")[1])

    assert 0.1 < gap <= 1.0
    assert again == 0.0


def test_server_is_gone_after_its_block(tmp_path: Path) -> None:
    """Nothing outlives the measurement."""
    with servers.delaying_backends(tmp_path, (1,), 0.0) as backend:
        os.kill(backend.pid, 0)

    with pytest.raises(ProcessLookupError):
        os.kill(backend.pid, 0)


def test_server_that_ends_at_once_tells_what_it_printed(tmp_path: Path) -> None:
    """The reason is in the error, and there is no waiting for the deadline."""
    began = time.monotonic()
    command = ["sh", "-c", "echo no such option; exit 2"]
    with pytest.raises(servers.StartError, match="no such option"), servers.run("it", command, 1, tmp_path):
        pass

    assert time.monotonic() - began < servers.START_SECONDS / 2


def test_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is not installed makes a row that says so."""
    monkeypatch.setattr(servers, "SYSTEM_DIRECTORIES", ())
    monkeypatch.setenv("PATH", str(tmp_path))

    with (
        pytest.raises(servers.NotInstalledError, match="haproxy is not installed"),
        servers.haproxy(servers.Setup(tmp_path, 1)),
    ):
        pass


def test_plain_aiohttp_proxy_passes_on_and_grows_with_idle_connections(tmp_path: Path) -> None:
    """The peer works, and memory per connection is a plausible figure."""
    with (
        servers.delaying_backends(tmp_path, (1,), 0.0) as backend,
        servers.aiohttp_proxy(servers.Setup(tmp_path, backend.port, workers=2)) as proxy,
    ):
        assert _get(proxy, "/any")[1] == servers.json_document().encode()
        assert len(_get(proxy, "/files/1m")[1]) == 1 << 20
        assert len(accounting.tree(proxy.pid)) == 2
        assert sum(balance.connections_by_process(proxy)) == 0
        assert 1000 < idle_connections.bytes_per_connection(proxy, few=50, many=400, settle=0.2) < 100_000


def test_large_bodies_pass_both_ways(tmp_path: Path) -> None:
    """Throughput, CPU time and growth are measured over a whole body."""
    with servers.delaying_backends(tmp_path, (1,), 0.0) as backend:
        for carry in (large_body.download, large_body.upload):
            carried = carry(backend)

            assert carried.bytes_per_second > 1e7
            assert carried.cpu_seconds > 0
            assert 0 <= carried.growth < 64 << 20


@pytest.mark.needs_nginx
@pytest.mark.needs_wrk
def test_measurement_of_a_proxy_counts_every_request(tmp_path: Path) -> None:
    """Requests succeed, and CPU per request and memory are plausible for nginx."""
    tmp_path.chmod(0o755)
    with servers.backend(tmp_path) as backend, servers.nginx(servers.Setup(tmp_path, backend.port)) as proxy:
        for name in ("get", "varied", "post", "megabyte", "upload"):
            sample = measure(proxy, SCENARIOS[name], 1)

            assert (name, sample.errors) == (name, 0)
            assert sample.requests > 20
            assert 1e-6 < sample.cpu_per_request < 0.1
            assert sample.pss > 1 << 20


@pytest.mark.needs_nginx
@pytest.mark.needs_haproxy
def test_peers_write_one_json_line_per_request(tmp_path: Path) -> None:
    """The rows with an access log compare with proxies that do write one."""
    tmp_path.chmod(0o755)
    with servers.backend(tmp_path) as backend:
        setup = servers.Setup(tmp_path, backend.port, access_log=True)
        for name, log in (("nginx", "nginx.log"), ("haproxy", "haproxy.out"), ("aiohttp", "aiohttp.log")):
            with servers.PROXIES[name](setup) as proxy:
                _get(proxy, "/asked-for")
                # the client has its answer before the line is written; a proxy told to stop may drop it
                eventually(lambda: "asked-for" in (tmp_path / log).read_text(), f"a line of {name}")  # noqa: B023
            lines = [line for line in (tmp_path / log).read_text().splitlines() if "asked-for" in line]

            assert len(lines) == 1
            assert json.loads(lines[0])["status"] == 200
