"""`pcs-gateway serve` as a program."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fakes.processes.gateway import eventually

TEXT = """
listen: [{{address: "{listen}"}}]
admin: {{address: "127.0.0.1:0"}}
state: {{directory: state}}
workers: 1
alerts: {{evaluate_every: 1s}}
pools: {{pcs: {{backends: [{{url: "http://127.0.0.1:9"}}]}}}}
"""


def serve(directory: Path, listen: str) -> subprocess.Popen[str]:
    """Run `serve` in a directory that has a config/gateway.yaml."""
    (directory / "config").mkdir(exist_ok=True)
    (directory / "config" / "gateway.yaml").write_text(TEXT.format(listen=listen))
    command = [sys.executable, "-m", "pcs_gateway", "serve"]
    return subprocess.Popen(command, cwd=directory, stderr=subprocess.PIPE, text=True)


def test_the_process_becomes_the_supervisor(tmp_path: Path) -> None:
    """`serve` says which file it read and what has no effect; its pid is the supervisor's, SIGINT ends it."""
    with serve(tmp_path, "127.0.0.1:0") as process:

        def facts() -> dict[str, Any]:
            found: dict[str, Any] = json.loads((tmp_path / "state" / "listeners.json").read_text())
            return found

        supervisor = eventually(facts, "listeners.json")["supervisor"]
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=30)

    assert process.pid == supervisor
    assert 0 == process.returncode
    assert "pcs-gateway: config/gateway.yaml:6: alerts has no effect" in told
    assert f"pcs-gateway: serving by {tmp_path}/config/gateway.yaml\n" in told


def test_an_address_in_use_is_one_line_and_status_1(tmp_path: Path) -> None:
    """Nothing but the reason is told, with no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with serve(tmp_path, address) as process:
            _, told = process.communicate(timeout=30)

    reason = (
        f"pcs-gateway: cannot listen on {address}: the address is already in use; does another gateway run?"
    )
    assert 1 == process.returncode
    assert reason == told.splitlines()[-1]
    assert "Traceback" not in told
