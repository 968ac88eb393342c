"""One bounded run of load from another process: wrk with our Lua scripts."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass

from benchmarks.scenarios import Scenario
from benchmarks.servers import HERE

MARK = "BENCHMARK "


class LoadError(Exception):
    """The load could not be made; the message holds what the generator printed."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What the generator counted. Times in seconds."""

    requests: int
    duration: float
    bytes: int
    p50: float
    p99: float
    errors: int
    """Failed connects, reads, writes, timeouts, and answers with a status above 399."""


def is_installed() -> bool:
    """Whether wrk is on this machine."""
    return shutil.which("wrk") is not None


def command(scenario: Scenario, url: str, seconds: float) -> list[str]:
    """Return wrk's command line; it takes whole seconds only, so they are rounded up."""
    return [
        "wrk",
        "-t1",
        f"-c{scenario.connections}",
        f"-d{max(1, -int(-seconds // 1))}s",
        "--timeout=10s",
        "-s",
        str(HERE / "lua" / scenario.script),
        url + scenario.path,
        "--",
        scenario.method,
        str(scenario.body_bytes),
    ]


def parse(output: str) -> LoadResult:
    """
    Read the line that our scripts print at the end.

    Raises:
        LoadError: there is none.

    """
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    if not lines:
        message = f"the load generator gave no report:\n{output[-2000:]}"
        raise LoadError(message)
    values = json.loads(lines[-1].removeprefix(MARK))
    return LoadResult(
        requests=values["requests"],
        duration=values["duration"],
        bytes=int(values["bytes"]),
        p50=values["p50"],
        p99=values["p99"],
        errors=sum(values[kind] for kind in ("connect", "read", "write", "status", "timeout")),
    )


def run(scenario: Scenario, url: str, seconds: float) -> LoadResult:
    """Load a URL for some seconds and return what was counted."""
    done = subprocess.run(
        command(scenario, url, seconds),
        env={**os.environ, "BENCHMARK_LUA": str(HERE / "lua")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    return parse(done.stdout)
