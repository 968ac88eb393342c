"""config/minimal.yaml in front of `python -m http.server`, which is what a newcomer tries first."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pcs_gateway.config.document import parse
from tests.fakes.processes.gateway import REPOSITORY, eventually
from tests.fakes.processes.whole import WholeGateway, get


@pytest.fixture
def file_server(tmp_path: Path) -> Iterator[str]:
    """Serve a folder with one file; gives the port."""
    (tmp_path / "hello.txt").write_text("hello " * 1000)
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    ) as server:
        assert server.stdout is not None
        told = re.search(r"port (\d+)", server.stdout.readline())
        assert told is not None
        yield told[1]
        server.kill()


@pytest.fixture
def minimal(file_server: str, tmp_path: Path) -> Iterator[WholeGateway]:
    """A gateway with that file, but for the ports."""
    text = (REPOSITORY / "config" / "minimal.yaml").read_text("utf-8")
    data: dict[str, Any] = parse(text.replace(":8000", f":{file_server}"), "minimal.yaml", {}).data
    gateway = WholeGateway(tmp_path, data)
    yield gateway
    gateway.stop()


def test_files_are_served(minimal: WholeGateway) -> None:
    """A server that knows HTTP/1.0 only, and closes after each answer, is a backend like any other."""
    eventually(lambda: get(minimal.address).status == 200, "a ready backend")

    found = get(minimal.address, "/hello.txt")
    missing = get(minimal.address, "/nothing.txt")

    assert (200, "hello " * 1000) == (found.status, found.body)
    assert 404 == missing.status
    assert "SimpleHTTP" in found.fields["server"]
