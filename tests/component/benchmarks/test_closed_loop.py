"""Our load generator in wrk's place."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import load, servers
from benchmarks.scenarios import SCENARIOS


@pytest.mark.parametrize("name", ["get", "varied", "post"])
def test_report_is_that_of_wrk(tmp_path: Path, name: str) -> None:
    """The same line is printed, and every request is counted once."""
    with servers.delaying_backends(tmp_path, (1,), 0.005) as backend:
        command = [sys.executable, "-m", "benchmarks.closed_loop", name, backend.url, "1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    result = load.parse(done.stdout)

    assert result.errors == 0
    assert result.requests > 100
    assert result.bytes == result.requests * servers.JSON_BYTES
    assert 0.0001 < result.p50 <= result.p99


def test_command_names_the_generator_that_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without wrk our own generator makes the load."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert load.generator() == "pcs_gateway.loadtest"
    assert "benchmarks.closed_loop" in load.command(SCENARIOS["get"], "http://127.0.0.1:1", 1)
